"""The filters, run by a small interpreter of the few BPF instructions they use."""

import struct

import pytest

from skyscale.sandboxes.backends.process.zygote import seccomp

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7


def verdict(program: bytes, number: int, *arguments: int, arch: int = X86) -> int:
    """What the kernel would answer to this call."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    position = accumulator = 0
    while True:
        operation, when_true, when_false, value = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            return value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            position += when_true if holds else when_false


def test_the_base_filter_allows_what_a_solution_needs_and_nothing_else() -> None:
    program = seccomp.base_program("x86_64")
    allowed = {number for number in range(600) if verdict(program, number) == ALLOW}
    assert {0, 1, 9, 202, 231, 257} <= allowed
    refused = {41, 42, 59, 62, 101, 155, 165, 272, 298, 304, 308, 310, 321, 323, 322, 425, 29, 240, 250, 175, 169, 135}
    assert not refused & allowed
    assert verdict(program, 435) == ENOSYS


def test_flags_and_arguments_are_looked_at() -> None:
    program = seccomp.base_program("x86_64")
    assert verdict(program, 56, 0x11) == ALLOW
    assert verdict(program, 56, 0x10000011) == verdict(program, 56, 0x80) == verdict(program, 56, 1 << 32) == EPERM
    assert (verdict(program, 53, 1), verdict(program, 53, 2)) == (ALLOW, EPERM)
    assert (verdict(program, 44, 3, 9, 9, 0, 0), verdict(program, 44, 3, 9, 9, 0, 9)) == (ALLOW, EPERM)
    assert (verdict(program, 16, 0, 0x5401), verdict(program, 16, 0, 0x5412)) == (ALLOW, EPERM)
    assert (verdict(program, 0x40000000 + 39), verdict(program, 39, arch=0x40000003)) == (EPERM, KILL)


def test_the_second_filter_takes_forks_and_our_start_up_calls_away() -> None:
    without, with_fork = (seccomp.job_program("x86_64", allow_fork=allow) for allow in (False, True))
    assert [verdict(without, n) for n in (56, 57, 58, 157, 317, 319)] == [EPERM] * 6
    assert [verdict(with_fork, n) for n in (56, 57, 157, 0)] == [ALLOW, ALLOW, EPERM, ALLOW]


def test_other_machines_have_numbers_of_their_own_or_none() -> None:
    program = seccomp.base_program("aarch64")
    assert verdict(program, 63, arch=ARM) == ALLOW
    assert verdict(program, 221, arch=ARM) == verdict(program, 198, arch=ARM) == EPERM
    assert verdict(program, 220, 0x11, arch=ARM) == ALLOW
    with pytest.raises(OSError, match="riscv64"):
        seccomp.base_program("riscv64")
