"""Taking in files of any content: mistakes by line, splits, canonical copies, bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.envs import intake
from skyscale.envs.intake import Report, take_in
from skyscale.envs.splits import plan_splits
from skyscale.envs.stored import INDEX_FILE, PROBLEMS_FILE, StoredProblems
from skyscale.wire.problems import Split

LINE: dict[str, object] = {
    "id": "one", "prompt": "Write f.", "style": "calls", "entry_point": "f", "test_cases": ["assert f(1) == 2"],
}  # fmt: skip


def taken(folder: Path, *lines: object, fraction: float = 0.1) -> Report:
    folder.mkdir(exist_ok=True)
    text = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    (folder / "source").write_bytes(text)
    return take_in(folder / "source", folder, fraction)


@pytest.mark.parametrize(
    ("lines", "complaints"),
    [
        ([LINE, b"{not json", LINE | {"id": "b", "colour": 1}], ["line 2: not JSON", "line 3: colour: Extra"]),
        ([LINE, b'{"id": "\xff"}'], ["line 2: not UTF-8: invalid start byte at byte 8"]),
        ([LINE, LINE | {"id": "b"}, b"", LINE], ["line 4: id 'one' is used twice, first in line 1"]),
        (
            [LINE | {"family": "a", "split": "train"}, LINE | {"id": "b", "family": "a", "split": "heldout"}],
            ["line 2: family 'a' is in both splits"],
        ),
        ([b"[" * 100_000], ["line 1: not JSON"]),
        ([LINE, LINE | {"id": "b", "test_cases": ["assert f(" + "-" * 50_000 + "1) == 1"]}], ["line 2: "]),
        ([b"[]", b"3", b"null", b'"x"'], [f"line {n}: not a JSON object" for n in range(1, 5)]),
        ([], ["line 1: the file has no problems"]),
        ([b"\n\n   \n"], ["line 1: the file has no problems"]),
        ([b'{"id": "big", "prompt": "' + b"x" * 5_000_000, LINE, b"{"], ["line 1: longer than", "line 3: not JSON"]),
        ([LINE | {"tags": ["Bad Tag"]}], ["line 1: tags.0: String should match"]),
        ([LINE | {"split": "test"}], ["line 1: split: Input should be"]),
        ([LINE | {"family": ["a"]}], ["line 1: family: Input should be"]),
        ([LINE | {"prompt": "\ud800"}], ["line 1: not JSON"]),
        ([{"id": "q", "prompt": "?", "style": "answer"}], ["line 1: answer: at least one is required"]),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_line(tmp_path: Path, lines: list[object], complaints: list[str]) -> None:
    report = taken(tmp_path, *lines)
    assert report.num_errors == len(report.errors) == len(complaints)
    for error, complaint in zip(report.errors, complaints, strict=True):
        assert error.startswith(complaint)


def test_the_first_twenty_of_many_mistakes_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    report = taken(tmp_path, *([b"x"] * 30))
    assert report.num_errors == 30
    assert [error.split(":")[0] for error in report.errors] == [f"line {n}" for n in range(1, 21)]


def test_more_problems_than_the_index_may_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_PROBLEMS", 3)
    report = taken(tmp_path, *(LINE | {"id": f"p{n}"} for n in range(5)))
    assert report.errors == ["line 4: more than 3 problems"]


def test_what_was_taken_in_is_read_back_one_by_one(tmp_path: Path) -> None:
    lines = [LINE | {"id": f"p{n}", "prompt": f"é {n}", "tags": ["a"], "difficulty": "hard"} for n in range(50)]
    report = taken(tmp_path, b"\xef\xbb\xbf" + json.dumps(lines[0]).encode(), *lines[1:])
    assert not report.errors
    stored = StoredProblems("s@1", tmp_path / PROBLEMS_FILE, tmp_path / INDEX_FILE)
    assert stored.content_hash == report.content_hash
    assert [ref.id for ref in stored.refs()] == [f"p{n}" for n in range(50)]
    assert [stored.get(f"p{n}").prompt for n in (49, 0, 7)] == ["é 49", "é 0", "é 7"]
    assert stored.get("p7") is stored.get("p7")
    assert len(stored.train_ids()) == report.counts.by_split["train"]
    assert stored.train_ids("hard") == stored.train_ids()
    assert stored.train_ids("easy") == ()


def test_layout_and_defaults_do_not_change_the_content_hash(tmp_path: Path) -> None:
    first = taken(tmp_path / "a", LINE, LINE | {"id": "two"})
    spelled = json.dumps(LINE | {"difficulty": "medium", "tags": [], "num_examples": 1, "family": "one"}, indent=None)
    second = taken(tmp_path / "b", b"", spelled.replace(": ", " :  ").encode() + b"\r", LINE | {"id": "two"})
    assert first.content_hash == second.content_hash
    assert taken(tmp_path / "c", LINE | {"id": "two"}, LINE).content_hash != first.content_hash


def test_memory_is_bounded_by_the_line_and_not_by_the_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as sink:
        for n in range(60):
            sink.write(json.dumps(LINE | {"id": f"p{n}", "prompt": "x" * 1_000_000}).encode() + b"\n")
        sink.write(b"y" * 60_000_000)
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom skyscale.envs.intake import take_in\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "report = take_in(Path(sys.argv[1]), Path(sys.argv[2]), 0.1)\n"
        "print(report.num_errors, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", script, str(source), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    num_errors, grown_kib = map(int, done.stdout.split())
    assert num_errors == 1
    assert grown_kib < 60_000


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    assert taken(tmp_path_factory.mktemp("fuzz"), data).num_errors


FAMILIES = st.dictionaries(st.text(max_size=5), st.sampled_from([None, Split.TRAIN, Split.HELDOUT]), min_size=1)


@given(FAMILIES, st.floats(0, 0.9))
def test_stated_splits_are_kept_and_something_is_left_for_training(
    stated: dict[str, Split | None], share: float
) -> None:
    plan = plan_splits(stated, share)
    assert plan.keys() == stated.keys()
    assert all(plan[family] is split for family, split in stated.items() if split is not None)
    free = [family for family, split in stated.items() if split is None]
    if free:
        assert Split.TRAIN in plan.values()
    if len(free) >= 2 and share > 0:
        assert Split.HELDOUT in plan.values()
    if share == 0:
        assert all(plan[family] is Split.TRAIN for family in free)


@given(st.sets(st.text(max_size=8), min_size=30, max_size=60), st.text(max_size=8))
def test_a_set_that_grows_moves_nobody_to_the_other_side(families: set[str], more: str) -> None:
    before = plan_splits(dict.fromkeys(families), 0.5)
    after = plan_splits(dict.fromkeys(families | {more}), 0.5)
    assert all(after[family] is split for family, split in before.items())


def test_about_the_asked_share_of_families_is_held_out() -> None:
    plan = plan_splits({f"family-{n}": None for n in range(2000)}, 0.2)
    assert 340 < sum(split is Split.HELDOUT for split in plan.values()) < 460
