"""A made set of twenty test codes in the shapes of HumanEval and MBPP, each with a right and a wrong solution."""

from skyscale.wire.problems import Difficulty, Problem, Split


def _check(*lines: str) -> str:
    return "METADATA = {'author': 'x'}\n\ndef check(candidate):\n" + "".join(f"    {line}\n" for line in lines)


_ROWS: list[tuple[str, str, str, str]] = [
    # rewritten to calls
    ("plus", _check("assert candidate(1, 2) == 3", "assert candidate(5, 7) == 12"), "return a[0] + a[1]", "return 3"),
    ("mean", _check("assert abs(candidate([1.0, 2.0]) - 1.5) < 1e-6"), "return sum(a[0]) / 2", "return 0"),
    ("none", _check("assert candidate([]) is None", "assert candidate([1]) == 1"), "return sum(a[0]) or None", "pass"),
    ("close", "import math\nassert math.isclose(f(2), 1.41421356, rel_tol=1e-3)", "return a[0] ** 0.5", "return 1"),
    ("words", "assert f('a b') == ['a', 'b']\nassert f('') == []", "return a[0].split()", "return [a[0]]"),
    ("flag", _check("assert candidate(4)", "assert not candidate(5)"), "return a[0] % 2 == 0", "return True"),
    ("set", "assert f([1, 1]) == set([1])\nassert f((2,)) == {2}", "return set(a[0])", "return a[0]"),
    ("named", "assert f(1, k=2) == {'k': 2}", "return k", "return {}"),
    ("round", "assert round(f(1), 3) == 0.333\nassert f(0) != 1", "return a[0] / 3", "return 1"),
    # proxied
    ("loop", _check("for i in range(9):", "    assert candidate(i) == i * i"), "return a[0] ** 2", "return 0"),
    ("sorted", "assert sorted(f([2, 1, 2])) == [1, 2]", "return list(set(a[0]))", "return a[0]"),
    ("inverse", _check("assert candidate(candidate('ab')) == 'ab'", "assert candidate('ab') == 'ba'"),
     "return a[0][::-1]", "return a[0]"),
    ("random", _check("import random", "rng = random.Random(0)", "for _ in range(9):",
                      "    x = rng.random()", "    assert candidate(x) == x + 1"), "return a[0] + 1", "return a[0]"),
    ("helper", _check("def same(x, y):", "    assert candidate(x) == y", "same(1, 2)", "same(5, 6)"),
     "return a[0] + 1", "return 2"),
    ("raises", _check("try:", "    candidate(-1)", "    assert False", "except ValueError:", "    pass"),
     "raise ValueError('negative')", "return 0"),
    ("both", "x = f(2)\nassert x[0] < x[1] and len(x) == 2", "return (a[0], a[0] + 1)", "return (a[0], a[0])"),
    ("order", "assert f(3) < f(4) < f(5)", "return a[0]", "return -a[0]"),
    ("kind", "assert isinstance(f(1), float)\nassert f(1) == 1", "return float(a[0])", "return 2"),
    ("table", "for x, y in {1: 'a', 2: 'b'}.items():\n    assert f(x) == y, x", "return ' ab'[a[0]]", "return 'a'"),
    ("length", "assert len(f(10)) == 10\nassert set(f(3)) == {0}", "return [0] * a[0]", "return [0]"),
]  # fmt: skip


def _problem(name: str, test_code: str, right: str, wrong: str) -> Problem:
    head = "def f(*a, **k):\n    "
    return Problem(
        id=name, family=name, prompt=name, difficulty=Difficulty.EASY, split=Split.TRAIN, style="asserts",
        entry_point="f", test_code=test_code, solution=head + right, wrong_solutions=[head + wrong],
    )  # fmt: skip


MADE_SET = [_problem(*row) for row in _ROWS]
