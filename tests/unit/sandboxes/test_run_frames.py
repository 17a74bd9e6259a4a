"""What a process that watches over runs claims of one: taken as it is meant, or a violation."""

import pytest

from skyscale.sandboxes.frames import Frame
from skyscale.sandboxes.programs import _execution  # pyright: ignore[reportPrivateUsage]
from skyscale.sandboxes.sandbox import CallStatus, Limits

LIMITS = Limits(output_bytes=8)


def told(value: str) -> tuple[CallStatus, int, str, str]:
    run = _execution(Frame("ran", CallStatus.OK, "", value), LIMITS, 1.0)
    return run.status, run.exit_code, run.stdout, run.stderr


def test_the_outputs_are_parted_by_length() -> None:
    assert told("0,3\na\nbc") == (CallStatus.OK, 0, "a\nb", "c")
    assert told("0,0\n") == (CallStatus.OK, 0, "", "")
    assert told("-11,1\né") == (CallStatus.KILLED, -11, "é", "")


def test_more_than_the_limit_is_cut_and_stated() -> None:
    assert told("0,9\n" + "x" * 9) == (CallStatus.OUTPUT_LIMIT, 0, "x" * 8, "")
    assert told("0,5\n" + "é" * 5) == (CallStatus.OUTPUT_LIMIT, 0, "é" * 5, "")


@pytest.mark.parametrize(
    "value", ["", "0", "0,1", "0,5\nabc", "0,-1\nabc", "a,1\nb", "0,1,2\nb", "256,0\n", "-65,0\n", "9" * 5000 + ",0\n"]
)
def test_anything_else_is_a_violation(value: str) -> None:
    assert told(value)[0] == CallStatus.PROTOCOL_VIOLATION
