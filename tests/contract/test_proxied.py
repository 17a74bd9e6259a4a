"""Test code judged beside the candidate's code: what is rewritten, proxied, refused, and what cheats get from it."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from skyscale.envs.judge import Judge
from skyscale.envs.test_code import plan_for
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.loading import load_backend
from skyscale.sandboxes.sandbox import Limits
from skyscale.wire.episodes import Verdict
from skyscale.wire.problems import Difficulty, Problem, Split, Trust
from tests.contract.hostile import HANGS
from tests.contract.made_set import MADE_SET

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOUBLE = """
def check(candidate):
    for n in (3, 40):
        assert candidate(n) == 2 * n
    assert candidate('ab') == 'abab'
    try:
        candidate(None)
        raise RuntimeError('no exception')
    except TypeError:
        pass
"""


def problem(test_code: str, **changes: object) -> Problem:
    return Problem(
        id="p", family="t", prompt="p", difficulty=Difficulty.EASY, split=Split.TRAIN, style="asserts", entry_point="f",
        test_code=test_code,
    ).model_copy(update=changes)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judge() -> AsyncIterator[Judge]:
    made = Judge(load_backend("process", slots=2), concurrency=2, limits=Limits(wall_s=1.0))
    try:
        await made.start()
    except SandboxFailure as failure:
        pytest.skip(failure.detail)
    yield made
    await made.stop()


def statuses(verdict: Verdict) -> list[str]:
    return [test.status for test in verdict.tests]


async def test_each_statement_that_can_fail_is_a_test(judge: Judge) -> None:
    good = await judge.judge(problem(DOUBLE), "def f(x): return x * 2")
    assert (good.reward, good.total_tests, good.trust) == (1.0, 3, Trust.STRONG)
    partly = await judge.judge(problem(DOUBLE), "def f(x):\n print('seen', x)\n return x + x if x != 40 else 0")
    assert statuses(partly) == ["wrong_answer", "passed", "passed"]
    assert partly.stdout.startswith("seen 3\n")


async def test_a_made_set_is_rewritten_or_proxied_and_solved(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    plans = [plan_for(p) for p in MADE_SET]
    num_rewritten = sum(plan.is_rewritten for plan in plans)
    with capsys.disabled():
        sys.stdout.write(f"\n{num_rewritten} of {len(plans)} test codes are rewritten to calls, the rest proxied\n")
    assert (len(plans), num_rewritten) == (20, 9)
    verdicts = await asyncio.gather(*(judge.judge(p, p.solution or "") for p in MADE_SET))
    assert {p.id: v.reward for p, v in zip(MADE_SET, verdicts, strict=True)} == {p.id: 1.0 for p in MADE_SET}, verdicts
    wrong = await asyncio.gather(*(judge.judge(p, p.wrong_solutions[0]) for p in MADE_SET))
    assert max(v.reward for v in wrong) < 1.0


async def test_hostile_hangs_end_the_tests(judge: Judge) -> None:
    for name in ("endless loop", "endless loop at import"):
        verdict = await judge.judge(problem(DOUBLE), HANGS[name])
        assert statuses(verdict) == ["timeout"] * 3


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("def f(x): raise StopIteration", "exception"),
        ("def f(x): raise SystemExit(0)", "exception"),
        ("import os\ndef f(x): os._exit(0)", "killed"),
        ("def f(x): return object()", "unsupported_value"),
        ("def f(x): return bytearray(10**10)", "memory"),
        ("def f(x):\n while True: pass", "timeout"),
        ("import os\ndef f(x): os.write(3, b'x' * 99)", "protocol_violation"),
        (
            "import os\np = b'call\\nok\\n\\n6'\nos.write(3, len(p).to_bytes(4, 'big') + p)\nf = abs",
            "protocol_violation",
        ),
    ],
)
async def test_no_test_forgives_an_end_that_is_no_answer(judge: Judge, code: str, status: str) -> None:
    forgiving = (
        "for _ in range(1):\n    try:\n        list(map(f, [1]))\n        assert True\n    except:\n        pass"
    )
    verdict = await judge.judge(problem(forgiving), code)
    assert (verdict.reward, statuses(verdict)) == (0.0, [status]), verdict


async def test_exceptions_cross_as_their_nearest_builtin_class(judge: Judge) -> None:
    check = "try:\n    f(1)\n    assert False\nexcept LookupError as e:\n    assert e.args == ('k', 1), e.args"
    code = "class Mine(KeyError): pass\ndef f(x): raise Mine('k', x)"
    assert (await judge.judge(problem(check), code)).reward == 1.0
    assert (await judge.judge(problem(check), "def f(x): raise ValueError('k', 1)")).reward == 0.0


async def test_the_candidate_cannot_reach_what_the_tests_hold(judge: Judge) -> None:
    check = "given = [3, 1, 2]\nassert f(given) == sorted(given)\nassert given == [3, 1, 2]"
    cheat = "def f(x):\n x.clear()\n return []"
    assert statuses(await judge.judge(problem(check), cheat)) == ["wrong_answer", "passed"]
    hunting = "import sys\ndef f(x): return [m for m in sys.modules if 'tests' in m] + ['check' in globals()]"
    check = "result = f(1)\nassert result == [False], result"
    assert (await judge.judge(problem(check), hunting)).reward == 1.0


async def test_results_before_an_end_are_kept(judge: Judge) -> None:
    check = "for i in range(2):\n    assert f(i) == i\nx = f(7)\nassert x == 7\nassert f(8) == 8"
    code = "import os\ndef f(x):\n if x == 7: os._exit(0)\n return x"
    assert statuses(await judge.judge(problem(check), code)) == ["passed", "killed", "killed"]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("assert f(lambda x: x) == 1", "hands over code"),
        ("def g(x): return x\nassert f(g) == 1", "hands over code"),
        ("assert f.calls == 1", "looks into"),
        ("assert f(Node(1)) == 1", "Node"),
        ("x = 1", "no tests"),
        ("assert f(", "not Python"),
    ],
)
async def test_what_needs_one_process_is_refused_unless_marked_weak(judge: Judge, check: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        await judge.judge(problem(check), "f = len")


async def test_weak_tests_share_the_process_and_the_verdict_says_so(judge: Judge) -> None:
    check = "assert f(lambda x: x + 1)(1) == 2\nassert f(len)([]) == 0"
    verdict = await judge.judge(problem(check, trust=Trust.WEAK), "def f(g): return g")
    assert (verdict.reward, verdict.trust) == (1.0, Trust.WEAK)
    verdict = await judge.judge(problem(check, trust=Trust.WEAK), "def f(g): return abs")
    assert (verdict.reward, statuses(verdict)) == (0.0, ["wrong_answer", "exception"])
