"""Many episodes, good and hostile, through one backend: what fails on our side, and what is left behind.

    python perf/soak.py [--backend process] [--episodes 20000] [--max-s 1200]

Prints JSON with `infrastructure_failures` (verdicts that are our fault), `unexpected` (a reward other than the one that
program must get) and `leaked`: growth between the end of the warm-up and the end, by kind, beyond the slack stated in
`SLACK`. It stops early at `--max-s` and says how many episodes were played.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from skyscale.envs.judge import Judge
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.episodes import Outcome
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest

CONCURRENCY = 4
WARM_UP = 200
SLACK = {"processes": 2, "fds": 12, "mounts": 0, "cgroups": 0, "memory_mib": 48, "files": 0}
"""Of the warm pool's ups and downs; memory also of the allocator's."""
_COMMON: dict[str, Any] = {"family": "soak", "prompt": "p", "difficulty": Difficulty.EASY, "split": Split.TRAIN}
CALLS = Problem(id="calls", style="calls", entry_point="f", test_cases=["assert f(2) == 4"] * 3, **_COMMON)
STDIN = Problem(id="stdin", style="stdin", stdin_tests=[StdinTest(stdin="2", stdout="4")], **_COMMON)
PROXY = Problem(
    id="proxy", style="asserts", entry_point="f", test_code="for i in range(3):\n    assert f(i) == 2 * i", **_COMMON
)
GOOD = "def f(x): return 2 * x"
EPISODES: list[tuple[Problem, str, float]] = [
    (CALLS, GOOD, 1.0),
    (CALLS, GOOD, 1.0),
    (CALLS, GOOD, 1.0),
    (PROXY, GOOD, 1.0),
    (STDIN, "print(2 * int(input()))", 1.0),
    (CALLS, "def f(x): return 5", 0.0),
    (CALLS, "import os; os._exit(0)", 0.0),
    (CALLS, "import ctypes; ctypes.string_at(0)", 0.0),
    (CALLS, "def f(x): return bytearray(10**9)", 0.0),
    (CALLS, "import os\nos.write(3, b'xxxxxxxxxxxx')\ndef f(x): return 4", 0.0),
    (CALLS, "open('/tmp/left', 'wb').write(bytes(10**6))\ndef f(x): return x", 0.0),
    (STDIN, "while True: print('x' * 10**5)", 0.0),
    (PROXY, "import os\ndef f(x): os._exit(0)", 0.0),
]


class Soak:
    """Plays episodes and counts."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.num_played = 0
        self.failures: list[str] = []
        self.unexpected: Counter[str] = Counter()

    async def play(self, until: int, deadline: float) -> None:
        """Keep `CONCURRENCY` episodes in flight until so many were played."""
        await asyncio.gather(*(self._player(until, deadline) for _ in range(CONCURRENCY)))

    async def _player(self, until: int, deadline: float) -> None:
        while self.num_played < until and time.monotonic() < deadline:
            problem, code, reward = EPISODES[self.num_played % len(EPISODES)]
            self.num_played += 1
            verdict = await self.judge.judge(problem, code)
            if verdict.outcome is Outcome.INFRASTRUCTURE_FAILURE:
                self.failures.append(verdict.stderr)
            elif verdict.reward != reward:
                self.unexpected[f"{problem.id}: {code[:40]!r} got {verdict.reward}"] += 1


def held() -> dict[str, int]:
    """What this process and its children hold at the moment."""
    me = psutil.Process()
    family = me.children(recursive=True)
    zygotes = me.children()
    return {
        "processes": len(family),
        "fds": me.num_fds() + sum(process.num_fds() for process in zygotes),
        "mounts": sum(_num_lines(f"/proc/{process.pid}/mountinfo") for process in [me, *zygotes]),
        "cgroups": sum(1 for _ in Path("/sys/fs/cgroup").glob("**/skyscale*/**/cgroup.procs")),
        "memory_mib": (me.memory_info().rss + sum(process.memory_info().rss for process in zygotes)) >> 20,
        "files": len(list(Path("/tmp").glob("skyscale-sandbox*"))),
    }


def _num_lines(path: str) -> int:
    return len(Path(path).read_text().splitlines())


async def soaked(backend_name: str, episodes: int, max_s: float) -> dict[str, object]:
    """The JSON's content."""
    started = time.monotonic()
    judge = Judge(load_backend(backend_name, slots=2), concurrency=CONCURRENCY, limits=Limits(wall_s=5))
    await judge.start()
    try:
        soak = Soak(judge)
        await soak.play(min(WARM_UP, episodes), started + max_s)
        before = await _settled()
        await soak.play(episodes, started + max_s)
        after = await _settled()
    finally:
        await judge.stop()
    left = len(psutil.Process().children(recursive=True))
    growth = {kind: after[kind] - before[kind] for kind in before}
    leaked = {kind: grown for kind, grown in growth.items() if grown > SLACK[kind]}
    return {
        "episodes": soak.num_played,
        "infrastructure_failures": len(soak.failures),
        "leaked": sum(leaked.values()) + left,
        "leaked_by_kind": leaked | ({"processes after stop": left} if left else {}),
        "unexpected": dict(soak.unexpected),
        "growth": growth,
        "before": before,
        "after": after,
        "first_failures": soak.failures[:3],
        "seconds": round(time.monotonic() - started, 1),
    }


async def _settled() -> dict[str, int]:
    await asyncio.sleep(1.0)  # the dead are reaped and the pool is full again
    return held()


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="process")
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--max-s", type=float, default=1200)
    asked = parser.parse_args()
    print(json.dumps(asyncio.run(soaked(asked.backend, asked.episodes, asked.max_s))))


if __name__ == "__main__":
    main()
