"""What may be asked of a sandbox, and when one must go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.boxes.rules import check_create, check_exec, check_folder, check_path, limits_of, why_destroy
from skyscale.errors import Invalid
from skyscale.wire.sandboxes import ExecRequest, SandboxCreate, SandboxLimits

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@given(st.text(alphabet="ab./\0\\é", max_size=12))
def test_an_accepted_path_stays_below_its_root(path: str) -> None:
    try:
        accepted = check_path(path)
    except Invalid:
        return
    assert not {"", ".", ".."} & set(accepted.split("/"))
    assert "\0" not in accepted


@pytest.mark.parametrize("path", ["", "/a", "a//b", "..", "a/..", "./a", "a/", "a\0b", "\udcff", "\ufffd", "é" * 128])
def test_these_paths_are_refused(path: str) -> None:
    with pytest.raises(Invalid, match="path"):
        check_path(path)


def test_a_directory_may_be_the_root_and_end_with_a_slash() -> None:
    assert [check_folder(path) for path in ("", ".", "a/", "a/b")] == ["", "", "a", "a/b"]
    with pytest.raises(Invalid):
        check_folder("/")


def test_programs_that_no_interpreter_takes_are_refused() -> None:
    for fields in ({"code": "a\0"}, {"code": "\ud800"}, {"code": "", "stdin": "\udcff"}):
        with pytest.raises(Invalid):
            check_exec(ExecRequest.model_construct(**({"stdin": ""} | fields)))
    check_exec(ExecRequest(code="print(1)", stdin="a\0b"))
    with pytest.raises(Invalid, match="backend"):
        check_create(SandboxCreate(backend="moon"), ["process"])


def test_limits_are_in_bytes() -> None:
    assert limits_of(SandboxLimits(memory_mb=100, disk_mb=2, output_kb=3)).memory_bytes == 100 * 1024 * 1024


@pytest.mark.parametrize(
    ("age_s", "unused_s", "is_busy", "is_alive", "word"),
    [
        (10, 10, False, True, None),
        (100, 0, True, True, "time to live"),
        (50, 30, False, True, "nobody used"),
        (50, 30, True, True, None),
        (1, 0, False, False, "broke"),
    ],
)
def test_a_sandbox_goes_for_one_of_three_reasons(
    age_s: int, unused_s: int, is_busy: bool, is_alive: bool, word: str | None
) -> None:
    reason = why_destroy(
        NOW, expires_at=NOW + timedelta(seconds=100 - age_s), last_used_at=NOW - timedelta(seconds=unused_s), idle_s=30,
        is_busy=is_busy, is_alive=is_alive,
    )  # fmt: skip
    assert (word is None) == (reason is None)
    assert word is None or word in str(reason)
