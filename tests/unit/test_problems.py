"""The embedded problems, their loader, and what the tests tell apart."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.envs.problems.__main__ import EMBEDDED, render
from skyscale.envs.problems.generate import FAMILIES
from skyscale.envs.registry import load_problem_set, public
from skyscale.errors import Invalid, NotFound
from skyscale.wire.problems import Problem, Split

SET = load_problem_set()
LINE = {
    "id": "one",
    "family": "plus",
    "prompt": "Write f.",
    "difficulty": "easy",
    "split": "train",
    "style": "calls",
    "entry_point": "f",
    "test_cases": ["assert f(1) == 2"],
}


def _write(path: Path, *lines: dict[str, object] | str) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def _score(problem: Problem, code: str) -> float:
    """The share of passed tests; runs our own solutions in this process, never a model's."""
    passed = 0
    for case in problem.test_cases:
        space: dict[str, object] = {}
        exec(code, space)
        with contextlib.suppress(AssertionError):
            exec(case, space)
            passed += 1
    for test in problem.stdin_tests:
        printed, lines = io.StringIO(), iter(test.stdin.splitlines())
        with contextlib.redirect_stdout(printed):
            exec(code, {"input": lambda lines=lines: next(lines)})
        passed += printed.getvalue().rstrip() == test.stdout.rstrip()
    return passed / max(len(problem.test_cases), len(problem.stdin_tests))


def test_generating_again_gives_the_same_bytes() -> None:
    assert render() == EMBEDDED.read_text(encoding="utf-8")


def test_the_set_is_large_and_of_both_styles_and_all_difficulties() -> None:
    assert len(SET.problems) >= 300
    assert {(p.style, p.difficulty.value) for p in SET.problems} == {
        (style, difficulty) for style in ("calls", "stdin") for difficulty in ("easy", "medium", "hard")
    }
    assert len({p.prompt for p in SET.problems}) == len(SET.problems)


def test_every_reference_solution_passes_and_every_wrong_one_does_not() -> None:
    for problem in SET.problems:
        assert problem.solution is not None
        assert len(problem.wrong_solutions) >= 2, problem.id
        assert _score(problem, problem.solution) == 1.0, problem.id
        for wrong in problem.wrong_solutions:
            assert _score(problem, wrong) < 1.0, (problem.id, wrong)


def test_a_mistake_costs_most_of_the_reward() -> None:
    scores = [_score(p, wrong) for p in SET.problems for wrong in p.wrong_solutions]
    assert sum(scores) / len(scores) < 0.1


def test_no_family_is_in_both_splits_and_held_out_is_about_a_seventh() -> None:
    heldout = {p.family for p in SET.heldout()}
    assert heldout == {f.name for f in FAMILIES if f.heldout}
    assert not heldout & {p.family for p in SET.train()}
    assert 0.1 < len(heldout) / len(FAMILIES) < 0.2


def test_selections_are_by_split_and_difficulty() -> None:
    assert len(SET.train()) + len(SET.heldout()) == len(SET.problems)
    hard = SET.train("hard")
    assert hard
    assert all(p.difficulty == "hard" and p.split is Split.TRAIN for p in hard)
    assert SET.get("plus-1").family == "plus"
    with pytest.raises(NotFound, match="'nowhere'"):
        SET.get("nowhere")


def test_public_shows_the_examples_and_no_other_test() -> None:
    for problem in (SET.get("plus-1"), SET.get("print-plus-1")):
        shown = public(problem)
        assert len(shown.test_cases) == 1
        assert shown.total_tests == 6
        text = shown.model_dump_json()
        assert not any(case in text for case in problem.test_cases[1:])
        assert not any(repr(test.stdin) in text for test in problem.stdin_tests[1:])
        assert problem.solution is not None
        assert json.dumps(problem.solution) not in text


def test_a_set_is_cached_until_its_file_changes(tmp_path: Path) -> None:
    path = _write(tmp_path / "set.jsonl", LINE)
    first = load_problem_set(path)
    assert load_problem_set(path) is first
    _write(path, LINE, LINE | {"id": "two"})
    second = load_problem_set(path)
    assert len(second.problems) == 2
    assert second.content_hash != first.content_hash


def test_a_missing_file_says_what_to_use() -> None:
    with pytest.raises(NotFound) as caught:
        load_problem_set("no/such/file.jsonl")
    assert "embedded" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": "red"}, "colour"),
        ({"difficulty": "brutal"}, "difficulty"),
        ({"id": "Bad Id"}, "id"),
        ({"num_examples": -1}, "num_examples"),
        ({"num_examples": 2}, "num_examples"),
        ({"test_cases": []}, "at least one"),
        ({"entry_point": None}, "entry_point"),
        ({"test_cases": ["assert g(1) == 2"]}, "test_cases.0"),
        ({"test_cases": ["assert f(x) == 2"]}, "test_cases.0"),
        ({"test_cases": ["assert f(1) == 2; print(1)"]}, "test_cases.0"),
        ({"test_cases": ["f(1) =="]}, "test_cases.0"),
        ({"style": "stdin"}, "excludes"),
        ({"stdin_tests": [{"stdin": "1", "stdout": "1"}]}, "excludes stdin_tests"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_field(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    path = _write(tmp_path / "set.jsonl", LINE, "", LINE | {"id": "two"} | change)
    with pytest.raises(Invalid) as caught:
        load_problem_set(path)
    assert f"line 3: {complaint}" in caught.value.detail or (
        "line 3: " in caught.value.detail and complaint in caught.value.detail
    )
    assert "line 1" not in caught.value.detail


def test_all_bad_lines_are_named_up_to_twenty(tmp_path: Path) -> None:
    path = _write(tmp_path / "set.jsonl", *["not json"] * 30)
    with pytest.raises(Invalid) as caught:
        load_problem_set(path)
    assert "line 20:" in caught.value.detail
    assert "line 21:" not in caught.value.detail
    assert "and 10 more" in caught.value.detail


def test_double_ids_split_families_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="line 2: id 'one' is used twice"):
        load_problem_set(_write(tmp_path / "a.jsonl", LINE, LINE))
    with pytest.raises(Invalid, match="line 2: family 'plus' is in both splits"):
        load_problem_set(_write(tmp_path / "b.jsonl", LINE, LINE | {"id": "two", "split": "heldout"}))
    with pytest.raises(Invalid, match="no problems"):
        load_problem_set(_write(tmp_path / "c.jsonl", ""))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words_and_never_crash_the_loader(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "set.jsonl"
    path.write_bytes(data)
    with pytest.raises(Invalid):
        load_problem_set(path)
