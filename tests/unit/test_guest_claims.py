"""What comes out of a guest is bytes that its code may have forged: the readers on this side, fed by hand."""

import asyncio
import json

import pytest

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.claims import Claims
from skyscale.sandboxes.guest.mux import MAX_BODY, MuxReader, MuxViolation, pack
from skyscale.sandboxes.guest.workspace import GuestWorkspace
from skyscale.sandboxes.sandbox import CallStatus, Limits
from skyscale.sandboxes.workspace import Command, CommandStatus, WorkspaceLimits

DEEP = b"[" * 200_000
RUN = Command(code="1", language="bash", timeout_s=5)


class Recorder:
    """A carrier that plays the guest: answers each request with what it was given."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.box: GuestWorkspace | None = None
        self.is_killed = False

    def connect(self, box: GuestWorkspace) -> "Recorder":
        self.box = box
        return self

    async def send(self, data: bytes) -> None:
        if data[:1] == b"Q" and self.answers and self.box is not None:
            self.box.on_channel(self.answers.pop(0))

    def drain(self) -> None: ...

    def kill(self) -> None:
        self.is_killed = True

    async def destroy(self) -> None:
        self.kill()


def answer(**message: object) -> bytes:
    return pack(b"A", json.dumps({"id": "00000001"} | message).encode())


async def asked(*answers: bytes) -> tuple[GuestWorkspace, Recorder]:
    carrier = Recorder(*answers)
    return GuestWorkspace("sb", WorkspaceLimits(output_bytes=10), carrier.connect), carrier


@pytest.mark.parametrize(
    "said",
    [b"garbage", pack(b"Z", b""), b"A\xff\xff\xff\xff", pack(b"A", b"{"), pack(b"A", DEEP), pack(b"A", b"[]"),
     pack(b"R", b"7"), pack(b"F", b"x" * 11), b"", pack(b"B", b'{"broken": "so it says"}')],
)  # fmt: skip
async def test_what_cannot_be_a_guests_word_breaks_the_workspace_and_kills_the_machine(said: bytes) -> None:
    box, carrier = await asked(said)
    async with asyncio.timeout(5):
        with pytest.raises(SandboxFailure):
            await box.read_file("x", 10)
    assert carrier.is_killed
    assert not box.is_alive
    with pytest.raises(SandboxFailure):
        await box.run(RUN, lambda name, data: None)


@pytest.mark.parametrize(
    "row", [b"7", b"{}", b"[7]", b'[["a"]]', b'[["a", "file", "big", 1]]', b'[["a", "file", 1, "late"]]', b"x", DEEP]
)
async def test_a_listing_that_is_none_breaks_the_workspace(row: bytes) -> None:
    box, _ = await asked(pack(b"F", row) + answer())
    with pytest.raises(SandboxFailure):
        await box.list_files("", 10)


async def test_names_and_kinds_in_a_listing_are_made_harmless() -> None:
    rows = [["a\udcff", "device", 2**70, 1e308], [3, "file", 1, 2]]
    box, _ = await asked(pack(b"F", json.dumps(rows).encode()) + answer())
    found = await box.list_files("", 1)
    assert [(entry.name, entry.kind) for entry in found] == [("a\ufffd", "other")]


@pytest.mark.parametrize("status", [10**30, -(10**30), "0", None, [1], 256, -65])
async def test_an_exit_code_that_is_none_is_a_kill(status: object) -> None:
    box, _ = await asked(answer(exited=status))
    assert (await box.run(RUN, lambda name, data: None)).exit_code == 137


async def test_output_is_cut_at_the_limit_whatever_the_guest_sends() -> None:
    heard: list[bytes] = []
    box, _ = await asked(pack(b"O", b"x" * 900) * 3 + pack(b"E", b"e") + answer(exited=0))
    result = await box.run(RUN, lambda name, data: heard.append(data))
    assert (result.status, b"".join(heard)) == (CommandStatus.OUTPUT_LIMIT, b"x" * 10)
    box.on_channel(pack(b"O", b"late"))
    assert b"late" not in heard


async def test_answers_to_nobody_are_dropped() -> None:
    box, _ = await asked(pack(b"A", b'{"id": "99"}') + pack(b"F", b"") + answer(exited=0))
    assert (await box.run(RUN, lambda name, data: None)).exit_code == 0
    assert box.is_alive


def test_a_line_is_read_in_any_pieces_and_never_beyond_its_bounds() -> None:
    data = pack(b"O", b"abc") + pack(b"X", b"")
    for size in (1, 2, 5, 100):
        reader = MuxReader()
        pieces = [message for at in range(0, len(data), size) for message in reader.feed(data[at : at + size])]
        assert pieces == [(b"O", b"abc"), (b"X", b"")]
    with pytest.raises(MuxViolation):
        MuxReader().feed(b"O" + (MAX_BODY + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("value", [b"{", DEEP, b"[]", b"7", b'"x"', b"null"])
def test_a_first_frame_that_is_no_report_ends_the_episode(value: bytes) -> None:
    claims = Claims()
    body = b"ready\nok\n\n" + value[:60_000]
    claims.take_channel(len(body).to_bytes(4, "big") + body)
    assert claims.ended is CallStatus.PROTOCOL_VIOLATION


def test_more_frames_than_were_asked_for_are_a_violation() -> None:
    claims = Claims(layers={"x": "yes"})
    claims.ask(3, Limits())
    frame = b"call\nok\n\n1"
    claims.take_channel((len(frame).to_bytes(4, "big") + frame) * 4)
    assert claims.ended is CallStatus.PROTOCOL_VIOLATION
