"""Prepared calls: a layer is on when all its calls were answered as expected, and is told of when not."""

import errno
import os
import resource
import struct
from pathlib import Path

import pytest

from skyscale.sandboxes.backends.process.zygote import kernel, steps
from skyscale.sandboxes.backends.process.zygote.steps import Step, put_on

NOWHERE = 999


def closing(descriptor: int) -> kernel.Prepared:
    return kernel.prepared("close", descriptor)


def test_a_layer_whose_call_fails_is_off_with_the_first_reason_and_all_other_calls_are_made() -> None:
    first, second = os.pipe()
    failing = kernel.prepared("chdir", b"/nowhere")
    failed = put_on(
        [Step("a", closing(NOWHERE)), Step("a", failing), Step("a", closing(first)), Step("b", closing(second))]
    )
    assert failed == {"a": f"no: [Errno {errno.EBADF}] {os.strerror(errno.EBADF)}"}
    for descriptor in (first, second):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(descriptor)


def test_an_unexpected_answer_is_a_failure() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    opening = kernel.prepared("openat", -100, b"/dev/null", os.O_RDONLY)
    assert list(put_on([Step("a", opening, descriptor + 1)])) == ["a"]
    os.close(descriptor)


def test_calls_pass_numbers_and_memory_as_they_are() -> None:
    now = struct.unpack("@QQ", resource_limit())
    same = kernel.prepared("prlimit64", 0, 4, struct.pack("@QQ", *now), None)  # 4: core dumps
    assert (put_on([Step("limits", same)]), struct.unpack("@QQ", resource_limit())) == ({}, now)


def resource_limit() -> bytes:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    return struct.pack("@QQ", soft % 2**64, hard % 2**64)


def test_every_capability_that_the_kernel_knows_is_dropped() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    dropped = [call[2] for call in kernel.dropping_capabilities() if call[1] == 24]  # PR_CAPBSET_DROP
    assert dropped == list(range(last + 1))


def test_needed_layers_have_steps() -> None:
    named = {step.layer for step in [*steps.private_tmp(1 << 20), *steps.own_process()]}
    assert {"private tmp", "no capabilities", "no new privileges", "not dumpable", "resource limits"} < named
