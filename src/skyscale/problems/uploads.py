"""A file on its way in: received into a folder of its own, checked by a process of its own.

- At most one chunk of it is in memory; more than `max_bytes` is refused while it arrives.
- The folder vanishes with `discard`, with the object, or when the control plane starts the next time.
- A disk that is full is an error that says so, and leaves nothing.
"""

import asyncio
import errno
import logging
import shutil
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from skyscale.envs.intake import REPORT_FILE, Report
from skyscale.errors import BadRequest, Invalid, SkyscaleError, TooLarge, Unavailable
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.base import new_id

log = logging.getLogger(__name__)
Tell = Callable[[str, int, int], None]
"""Told the phase, how much is done, and how much there is."""
WRITE_BYTES = 1 << 20
STALL_S = 60.0
"""An upload of which nothing arrives for so long is given up."""
CHECK_S = 900.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Staged:
    """A received file and the folder for what is made of it."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = parent / new_id("upload")
        self.folder.mkdir()
        self.source = self.folder / "source.jsonl"
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove it; again changes nothing."""
        self._remove()


async def receive(chunks: AsyncIterator[bytes], parent: Path, max_bytes: int) -> Staged:
    """The whole of `chunks` on disk.

    Raises:
        TooLarge: more than `max_bytes`. BadRequest: it stalled. Unavailable: the disk is full.
    """
    staged = Staged(parent)
    try:
        async with full_disk_is_unavailable():
            with staged.source.open("xb") as sink:
                async for part in _gathered(chunks, max_bytes):
                    await asyncio.to_thread(sink.write, part)
    except BaseException:
        await to_its_end(asyncio.to_thread(staged.discard))
        raise
    return staged


async def check(staged: Staged, heldout_fraction: float, tell: Tell) -> Report:
    """Have the file checked; its canonical copy and index are in the folder afterwards.

    Raises:
        Invalid: it has mistakes, which are named; or it breaks the process that reads it.
        Unavailable: the disk is full.
    """
    arguments = ["-m", "skyscale.envs.intake", staged.source, staged.folder, repr(heldout_fraction)]
    with (staged.folder / "intake.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        async with asyncio.timeout(CHECK_S), full_disk_is_unavailable():
            assert process.stdout is not None
            async for line in process.stdout:
                _listen(orjson.loads(line), tell)
            await process.wait()
    except TimeoutError as error:
        raise Invalid(f"the file could not be checked within {CHECK_S:.0f} s: upload it in parts") from error
    finally:
        if process.returncode is None:
            process.kill()
            await to_its_end(process.wait())
    report = _report(staged, process.returncode)
    _refuse(report)
    return report


def _listen(message: dict[str, int], tell: Tell) -> None:
    if "errno" in message:
        raise OSError(message["errno"], "the copy of an upload could not be written")
    tell("reading", message["done"], message["total"])


def _report(staged: Staged, exit_code: int | None) -> Report:
    try:
        return Report.model_validate_json((staged.folder / REPORT_FILE).read_bytes())
    except FileNotFoundError as error:
        tail = (staged.folder / "intake.log").read_text(errors="replace")[-2000:]
        log.error("checking an uploaded problem set ended with exit code %s: %s", exit_code, tail)
        detail = f"the file breaks what reads it (exit code {exit_code}), by its size or its nesting"
        raise Invalid(detail, code="problem_set_unreadable", hint="Upload it in parts to find the lines.") from error


def _refuse(report: Report) -> None:
    if report.num_errors:
        raise refusal(report.errors, report.num_errors)


def refusal(errors: list[str], num_errors: int) -> SkyscaleError:
    """The error that names the mistakes, the first of them at least."""
    more = [f"and {num_errors - len(errors)} more"] if num_errors > len(errors) else []
    detail = "this problem set is refused:\n" + "\n".join([*errors, *more])
    return Invalid(detail, code="problem_set_invalid", hint="docs/problem-format.md describes each field.")


async def _gathered(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncGenerator[bytes]:
    """The same bytes in parts that are worth a passage to a thread."""
    received, waiting = 0, bytearray()
    try:
        while True:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            received += len(chunk)
            if received > max_bytes:
                raise TooLarge(
                    f"a problem set may have {max_bytes} bytes", code="problem_set_too_large", hint="Upload several."
                )
            waiting += chunk
            if len(waiting) >= WRITE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    except TimeoutError as error:
        raise BadRequest(f"nothing of the upload arrived for {STALL_S:.0f} s", code="upload_stalled") from error
    if waiting:
        yield bytes(waiting)


@asynccontextmanager
async def full_disk_is_unavailable() -> AsyncGenerator[None]:
    """What is written in the block fails as Unavailable `disk_full` when there is no room."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        hint = "Delete problem sets or old artifacts, or give the data folder more space."
        raise Unavailable("the disk of the control plane is full", code="disk_full", hint=hint) from error
