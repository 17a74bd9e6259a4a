"""Files of a sandbox: paths checked by rule, bytes moved by the process inside, refusals as errors with a hint."""

from datetime import UTC, datetime
from typing import Protocol

from skyscale.boxes import rules
from skyscale.errors import Invalid, NotFound, SkyscaleError, TooLarge
from skyscale.sandboxes.workspace import FileRefused, FileTrouble, Workspace
from skyscale.wire.sandboxes import SandboxFile, SandboxFiles, SandboxFileWritten

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_ENTRIES = 1000


class Held(Protocol):
    """A sandbox to work with."""

    @property
    def workspace(self) -> Workspace:
        """Where its files are."""
        ...


class Holder(Protocol):
    """Whoever finds sandboxes: a control plane's `BoxService`, or a sandbox host."""

    async def use(self, caller: str, sandbox_id: str) -> Held:
        """A sandbox that counts as used now."""
        ...


class BoxFiles:
    """Reading and writing in sandboxes that can be reached from here; programs may be running meanwhile."""

    def __init__(self, boxes: Holder) -> None:
        self._boxes = boxes

    async def write(self, caller: str, sandbox_id: str, path: str, content: bytes) -> SandboxFileWritten:
        """Replace a file, making its directories. Raises Invalid, TooLarge, and as `BoxService.use`."""
        rules.check_path(path)
        box = await self._boxes.use(caller, sandbox_id)
        try:
            await box.workspace.write_file(path, content)
        except FileRefused as error:
            raise _explained(error.trouble, path) from error
        return SandboxFileWritten(path=path, size_bytes=len(content))

    async def read(self, caller: str, sandbox_id: str, path: str) -> bytes:
        """A file. Raises NotFound, Invalid, TooLarge, and as `BoxService.use`."""
        rules.check_path(path)
        box = await self._boxes.use(caller, sandbox_id)
        try:
            return await box.workspace.read_file(path, MAX_FILE_BYTES)
        except FileRefused as error:
            raise _explained(error.trouble, path) from error

    async def list(self, caller: str, sandbox_id: str, path: str) -> SandboxFiles:
        """A directory. Raises NotFound, Invalid, and as `BoxService.use`."""
        folder = rules.check_folder(path)
        box = await self._boxes.use(caller, sandbox_id)
        try:
            found = await box.workspace.list_files(folder, MAX_ENTRIES + 1)
        except FileRefused as error:
            raise _explained(error.trouble, path) from error
        entries = [
            SandboxFile(
                name=entry.name, kind=entry.kind, size_bytes=entry.size_bytes, modified_at=_time(entry.modified_at)
            )
            for entry in found[:MAX_ENTRIES]
        ]
        return SandboxFiles(path=folder, entries=entries, is_truncated=len(found) > MAX_ENTRIES)


def _time(seconds: float) -> datetime:
    # The code inside sets these times as it likes; ours end with the year 9999.
    return datetime.fromtimestamp(min(max(seconds, 0.0), 253_402_300_000.0), UTC)


def _explained(trouble: FileTrouble, path: str) -> SkyscaleError:
    match trouble:
        case FileTrouble.MISSING:
            return NotFound(f"there is no {path!r} in this sandbox", code="file_not_found", hint="List its directory.")
        case FileTrouble.NOT_A_FILE:
            return Invalid(f"path: {path!r} is not a regular file", code="not_a_file")
        case FileTrouble.NOT_A_DIRECTORY:
            return Invalid(f"path: a part of {path!r} is not a directory", code="not_a_directory")
        case FileTrouble.LINK:
            return Invalid(f"path: {path!r} goes through a link, and links are not followed", code="link_refused")
        case FileTrouble.TOO_LARGE:
            return TooLarge(f"{path!r} is larger than {MAX_FILE_BYTES} bytes", code="file_too_large")
        case FileTrouble.NO_SPACE:
            return TooLarge("the sandbox's disk is full", code="disk_full", hint="Remove files, or ask for more disk.")
        case FileTrouble.REFUSED:
            return Invalid(f"path: {path!r} cannot be used", code="file_refused")
