"""Converters on rows of the published shapes, written for this test."""

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest

from skyscale.cli.main import run
from skyscale.envs.importers.formats import Outcome, converted, rows_of
from skyscale.errors import Invalid, Unavailable

HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum of xs."""\n',
    "canonical_solution": "    return sum(xs)\n",
    "test": "METADATA = {'author': 'x'}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 3\n"
    "    assert candidate([]) == 0\n",
    "entry_point": "total",
}
HELPER = {
    "task_id": "HumanEval/901",
    "prompt": 'def shift(s):\n    return "".join(chr(ord(c) + 1) for c in s)\n\n\n'
    'def unshift(s):\n    """Undo shift."""\n',
    "canonical_solution": '    return "".join(chr(ord(c) - 1) for c in s)\n',
    "test": "def check(candidate):\n    for word in ['ab', 'cd']:\n        assert candidate(shift(word)) == word\n",
    "entry_point": "unshift",
}
MBPP = {
    "task_id": 7, "text": "Write a function to double a number.", "code": "def double(n):\r\n  return 2 * n",
    "test_list": ["assert double(2) == 4", "assert double(-1)==-2"], "test_setup_code": "", "challenge_test_list": [],
}  # fmt: skip
SANITIZED = {
    "source_file": "x.ipynb", "task_id": 8, "prompt": "Write a function to take a root.",
    "code": "import math\ndef root(n):\n  return math.sqrt(n)", "test_imports": ["import math"],
    "test_list": ["assert math.isclose(root(4), 2, rel_tol=0.01)", "assert root(9) == math.sqrt(9)"],
}  # fmt: skip
APPS_STDIN = {
    "problem_id": 3, "question": "Print n plus 1.", "difficulty": "introductory", "url": "u", "starter_code": "",
    "solutions": json.dumps(["print(int(input()) + 1)"]),
    "input_output": json.dumps({"inputs": ["4\n", ["5", ""]], "outputs": ["5\n", ["6"]]}),
}  # fmt: skip
APPS_CALL = {
    "problem_id": 4, "question": "Reverse.", "difficulty": "competition", "starter_code": "class Solution:\n  ...",
    "solutions": json.dumps(["class Solution:\n    def rev(self, xs):\n        return xs[::-1]"]),
    "input_output": json.dumps({"fn_name": "rev", "inputs": [[[1, 2]], [["a"]]], "outputs": [[2, 1], [["a"]]]}),
}  # fmt: skip


def lcb(cases: object, **fields: object) -> dict[str, object]:
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()
    return {
        "question_title": "t", "question_content": "Add two.", "platform": "leetcode", "question_id": "3001",
        "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
        "difficulty": "hard",
        "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
        "private_test_cases": packed, "metadata": json.dumps({"func_name": "add"}),
    } | fields  # fmt: skip


LCB = lcb([{"input": "5\n6", "output": "11", "testtype": "functional"}])
LCB_STDIN = lcb(
    [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}], question_id="abc_a", metadata="{}", starter_code="",
    public_test_cases=json.dumps([{"input": "0 0\n", "output": "0\n", "testtype": "stdin"}]),
)  # fmt: skip
GSM8K = {"question": "Ann has 3 and buys 4. How many?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"}


def one(row: dict[str, object], format_name: str) -> tuple[dict[str, object], str]:
    outcome = Outcome()
    lines = list(converted([row], format_name, outcome))
    assert not outcome.skipped, outcome.reasons
    (kind,) = outcome.kinds
    return lines[0], kind


@pytest.mark.parametrize(
    ("row", "format_name", "kind"),
    [
        (HUMANEVAL, "humaneval", "asserts (rewritten)"), (HELPER, "humaneval", "asserts (proxied)"),
        (MBPP, "mbpp", "calls"), (SANITIZED, "mbpp", "asserts (proxied)"), (APPS_STDIN, "apps", "stdin"),
        (APPS_CALL, "apps", "calls"), (LCB, "livecodebench", "calls"), (LCB_STDIN, "livecodebench", "stdin"),
        (GSM8K, "gsm8k", "answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_each_shape_becomes_the_best_style_that_it_allows(row: dict[str, object], format_name: str, kind: str) -> None:
    line, found = one(row, format_name)
    assert found == kind
    assert str(line["id"]).startswith({"livecodebench": "lcb"}.get(format_name, format_name))


def test_details_of_conversions() -> None:
    mbpp, _ = one(MBPP, "mbpp")
    assert mbpp["entry_point"] == "double"
    assert "assert double(2) == 4" in str(mbpp["prompt"])
    apps, _ = one(APPS_STDIN, "apps")
    assert apps["stdin_tests"] == [{"stdin": "4\n", "stdout": "5\n"}, {"stdin": "5\n", "stdout": "6"}]
    assert apps["difficulty"] == "easy"
    call, _ = one(APPS_CALL, "apps")
    assert call["test_cases"] == ["assert rev([1, 2]) == [2, 1]", "assert rev(['a']) in ([['a']], ['a'])"]
    assert str(call["solution"]).endswith("return Solution().rev(*arguments)\n")
    found, _ = one(LCB, "livecodebench")
    assert found["test_cases"] == ["assert add(1, 2) == 3", "assert add(5, 6) == 11"]
    assert found["num_examples"] == 1
    answer, _ = one(GSM8K, "gsm8k")
    assert answer["answer"] == "7"


def test_code_that_needs_one_process_is_weak() -> None:
    row = HUMANEVAL | {"test": "def check(candidate):\n    assert candidate(lambda x: x) == 1\n"}
    line, kind = one(row, "humaneval")
    assert kind == "trust: weak"
    assert line["trust"] == "weak"


def test_rows_that_cannot_be_are_counted_with_reasons() -> None:
    outcome = Outcome()
    rows: list[dict[str, object]] = [
        {}, MBPP | {"code": "def ("}, MBPP | {"test_list": []}, MBPP, MBPP, MBPP | {"test_list": 5, "task_id": 9},
    ]  # fmt: skip
    assert [line["id"] for line in converted(rows, "mbpp", outcome)] == ["mbpp-7"]
    assert outcome.skipped == 5
    assert [reason.split(":")[0] for reason in outcome.reasons] == [f"row {n}" for n in (1, 2, 3, 5, 6)]
    with pytest.raises(Invalid, match="known are humaneval, mbpp"):
        list(converted([], "nope", outcome))


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("bomb-went-off"),)  # type: ignore[return-value]


def test_a_pickle_that_would_execute_something_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bomb = base64.b64encode(zlib.compress(pickle.dumps(_Bomb()))).decode()
    large = base64.b64encode(zlib.compress(b"\0" * (65 * 1024 * 1024))).decode()
    outcome = Outcome()
    rows = [LCB | {"private_test_cases": packed} for packed in (bomb, large, "not base64!")]
    assert not list(converted(rows, "livecodebench", outcome))
    assert "is not plain data" in outcome.reasons[0]
    assert "more than" in outcome.reasons[1]
    assert not list(tmp_path.iterdir())


def test_files_are_read_as_lines_or_as_one_array(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text(json.dumps(MBPP) + "\n\n" + json.dumps(GSM8K))
    (tmp_path / "array").write_text(json.dumps([MBPP, GSM8K]))
    assert list(rows_of(str(tmp_path / "lines"))) == list(rows_of(str(tmp_path / "array"))) == [MBPP, GSM8K]
    (tmp_path / "bad").write_text("{}\n{oops\n")
    with pytest.raises(Invalid, match="line 2 is not JSON"):
        list(rows_of(str(tmp_path / "bad")))


def test_without_the_package_the_hub_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("skyscale.envs.importers.formats.import_module", missing)
    with pytest.raises(Unavailable) as caught:
        list(rows_of("hf:org/set"))
    assert "skyscale[datasets]" in caught.value.hint


def test_the_command_converts_and_the_result_passes_its_own_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "mbpp.jsonl", tmp_path / "ours.jsonl"
    source.write_text("\n".join(map(json.dumps, (MBPP, SANITIZED, {}))))
    assert run(["problems", "import", "--format", "mbpp", "--dry-run", str(source)]) == 0
    shown = capsys.readouterr()
    assert not shown.out
    assert "1 calls" in shown.err
    assert "1 asserts (proxied)" in shown.err
    assert "1 skipped" in shown.err
    assert run(["problems", "import", "--format", "mbpp", "--out", str(target), str(source)]) == 0
    assert run(["problems", "check", str(target)]) == 0
    assert "2 problems" in capsys.readouterr().out
    target.write_text(target.read_text() + "{oops\n")
    assert run(["problems", "check", str(target)]) == 1
    assert "line 3: not JSON" in capsys.readouterr().err
