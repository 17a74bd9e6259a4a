"""The pure parts of rollouts: notes, reward parts, token strings."""

import pytest
from tokenizers import Tokenizer

from skyscale.errors import BadRequest
from skyscale.rollouts import notes, rules
from skyscale.rollouts.tokens import STARTER_FOLDER, read_table, token_strings
from skyscale.wire.base import utc_now
from skyscale.wire.episodes import Outcome, Verdict
from skyscale.wire.episodes import TestResult as Result
from tests.unit.test_buffer_rules import spec


def verdict(stderr: str, *tests: Result) -> Verdict:
    return Verdict(
        outcome=Outcome.SCORED, reward=0.5, done=True, passed_tests=1, total_tests=2, tests=list(tests), stdout="",
        stderr=stderr, exit_code=1, duration_ms=3.14159,
    )  # fmt: skip


def test_notes_come_back_by_program_and_later_ones_win() -> None:
    tests = (Result(passed=True, status="passed"), Result(passed=False, status="timeout", detail="5 s"))
    early = notes.encode(["a", "\ud800", "a"], [verdict("", *tests), verdict("no"), verdict("", *tests)])
    late = notes.encode(["b", "\ud800"], [verdict("x"), verdict("yes")])
    entries = notes.decode([early, late])
    found = notes.entry_of(entries, "a")
    assert found is not None and notes.tests_of(found) == list(tests) and found["ms"] == 3.14
    assert [(notes.entry_of(entries, code) or {}).get("stderr") for code in ("b", "\ud800", "c")] == ["x", "yes", None]


def test_a_note_of_a_group_is_small() -> None:
    failed = [Result(passed=False, status="exception", detail="NameError: name 'foo' is not defined")] * 8
    codes = [f"def f(x): return {i}" for i in range(8)]
    assert len(notes.encode(codes, [verdict("Traceback ...\nNameError", *failed)] * 8)) < 600


@pytest.mark.parametrize(
    ("trajectory", "parts"),
    [
        ({"code": "x" * 600, "reward": 0.74, "passed_tests": 3, "total_tests": 4}, {"tests": 0.75, "length": -0.01}),
        ({"code": "", "reward": 0.3, "total_tests": 0}, {"reward": 0.3}),
        ({"code": "", "reward": 0.3, "reward_parts": {"style": 0.1, "tests": 0.2}}, {"style": 0.1, "tests": 0.2}),
    ],
)
def test_a_reward_is_taken_apart(trajectory: dict[str, object], parts: dict[str, float]) -> None:
    assert rules.reward_parts(trajectory) == parts


def test_token_strings_are_what_the_tokenizer_decodes() -> None:
    tokenizer = Tokenizer.from_file(str(STARTER_FOLDER / "tokenizer.json"))
    ids = list(range(tokenizer.get_vocab_size()))
    strings = token_strings(spec(), "file:///nowhere", ids)
    assert strings == [tokenizer.decode([id_], skip_special_tokens=False) for id_ in ids]
    assert token_strings(spec(), "file:///nowhere", [10**6]) == ["<1000000>"]


def test_other_kinds_of_vocabularies_are_read() -> None:
    pieces = {"\u2581def": 0, "<0x0A>": 1, "x": 2}
    added = [{"id": 3, "content": "</s>"}]
    assert read_table({"model": {"vocab": pieces}, "added_tokens": added}) == {0: " def", 1: "\n", 2: "x", 3: "</s>"}
    unigram = {"model": {"vocab": [["<unk>", 0.0], ["\u2581a", -1.5]]}}
    assert read_table(unigram) == {0: "<unk>", 1: " a"}


def test_cursors_come_back_and_others_are_refused() -> None:
    now = utc_now()
    assert rules.read_cursor(rules.write_cursor(now, "grp-1")) == (now, "grp-1")
    for wrong in ("", "x", "MjAyMA", "\u00e9"):
        with pytest.raises(BadRequest):
            rules.read_cursor(wrong)
