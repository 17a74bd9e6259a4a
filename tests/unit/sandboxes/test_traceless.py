"""Which programs may share a process with their own earlier runs."""

import pytest

from skyscale.envs.registry import load_problem_set
from skyscale.sandboxes.backends.process.zygote.traceless import leaves_nothing


def judged(code: str) -> bool:
    return leaves_nothing(compile(code, "<solution>", "exec"))


@pytest.mark.parametrize(
    "code",
    [
        "print(int(input()) * 2)",
        "import sys\nfor line in sys.stdin:\n    print(line.strip())",
        "import sys\ninput = sys.stdin.readline\nprint(input())\nsys.exit(0)",
        "from collections import Counter, deque\nfrom functools import cache\nimport math, heapq as h\nprint(math.pi)",
        "from collections.abc import Sequence\ndef f(x: int, seen=[]):\n    seen.append(x)\nprint(f(1))",
        "class Node:\n    __slots__ = ('x',)\n    def __lt__(self, other): return True\nprint(Node() < 1)",
        "if __name__ == '__main__':\n    print([x for x in range(3)], {1: 2}, f'{3:>4}')",
        "prefix = [0]\npath = set()\nprint(prefix, path)",
        "import math\nqueue = []\nprint(queue, math.pi)",
        ";".join(f"x{n} = {n}" for n in range(300)) + "\nimport math",
    ],
)
def test_ordinary_programs_leave_nothing(code: str) -> None:
    assert judged(code)


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import random\nprint(random.random())",
        "import os.path",
        "from importlib import reload",
        "import sys\nsys.setrecursionlimit(10**6)",
        "from sys import setrecursionlimit as s\ns(10**6)",
        "import sys\nsys.modules.clear()",
        "import sys\nsys.stdin = None",
        "import sys\nsys.stdout.reconfigure(encoding='ascii')",
        "import sys\nsys.stdin.close()",
        "import math\nmath.pi = 3",
        "import math\ndel math.pi",
        "import builtins\nbuiltins.print = None",
        "def f():\n    def g():\n        __builtins__['print'] = None\n    g()\nf()",
        "().__class__.__base__.__subclasses__()",
        "getattr(1, 'x')",
        "exec('import os')",
        "open('x', 'w')",
        "class A:\n    def __del__(self): print('late')\na = A()",
        "lambda: __import__('os')",
        "[eval(x) for x in '1']",
        "import threading",
        "import statistics\nprint(statistics.random.random())",
        "import operator, sys\noperator.attrgetter('modules')(sys).clear()",
        "import time\ntime.sleep(1)",
        ";".join(f"x{n} = {n}" for n in range(300)) + "\nimport os",
    ],
)
def test_what_a_later_run_could_notice_is_told(code: str) -> None:
    assert not judged(code)


def test_nearly_all_of_the_embedded_programs_leave_nothing() -> None:
    programs = [each.solution for each in load_problem_set("embedded").problems if each.style == "stdin"]
    assert len(programs) > 50
    assert sum(judged(code or "") for code in programs) > 0.95 * len(programs)
