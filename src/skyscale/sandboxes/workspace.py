"""The contract of interactive sandboxes: a place that keeps its files while its processes come and go.

- A `Workspace` belongs to one holder and lives until `close()`. Each command is a fresh process; when it ends, every
  process that it left behind is ended too. Only files persist.
- The isolation is that of an episode: own namespaces and user, no network, no capabilities, a filter of system calls.
- Files are read and written by a process inside, never by a path on the host, so nothing that the code plants
  (links, pipes, directories in the way) can lead us elsewhere.
- One command at a time; a second one is refused with `WorkspaceBusy`. What code does is a `CommandResult`, what a path
  cannot mean is a `FileRefused`, and a broken workspace is `SandboxFailure`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from skyscale.errors import Conflict

Language = Literal["python3", "bash"]
OutputSink = Callable[[Literal["stdout", "stderr"], bytes], None]
"""Told of output as it comes; called in the event loop, must not block."""


class CommandStatus(StrEnum):
    """How a command ended."""

    OK = "ok"
    """By itself, whatever its exit code."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    """By a signal, its own doing included."""
    CANCELLED = "cancelled"
    """The sandbox was destroyed while it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceLimits:
    """What one workspace may use; enforced by the kernel or from outside."""

    memory_bytes: int = 512 * 1024 * 1024
    """Of all its processes together, and of the address space of each."""
    cpu_s: int = 300
    """Of each process."""
    max_processes: int = 64
    disk_bytes: int = 64 * 1024 * 1024
    """Of its files, which are kept in memory."""
    output_bytes: int = 1024 * 1024
    """Of stdout and of stderr of one command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to run."""

    code: str
    language: Language
    timeout_s: float
    stdin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What came of a command."""

    status: CommandStatus
    exit_code: int
    """As a shell counts: 128 + signal for a process that was killed."""
    duration_ms: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One name in a directory."""

    name: str
    kind: Literal["file", "directory", "link", "other"]
    size_bytes: int
    modified_at: float
    """Unix time."""


class FileTrouble(StrEnum):
    """Why a path cannot be read or written."""

    MISSING = "missing"
    NOT_A_FILE = "not_a_file"
    NOT_A_DIRECTORY = "not_a_directory"
    LINK = "link"
    TOO_LARGE = "too_large"
    NO_SPACE = "no_space"
    REFUSED = "refused"


class FileRefused(Exception):
    """A path inside a workspace cannot be read or written."""

    def __init__(self, trouble: FileTrouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class WorkspaceBusy(Conflict):
    """A command is running in this sandbox."""

    code, hint = "sandbox_busy", "Wait for it to end, or use a second sandbox."


class Workspace(Protocol):
    """One interactive sandbox."""

    workspace_id: str

    @property
    def is_busy(self) -> bool:
        """Whether a command is running."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it can still be used; a broken one only waits to be closed."""
        ...

    async def run(self, command: Command, on_output: OutputSink) -> CommandResult:
        """Run one command to its end. Cancelling the call ends the command. Raises WorkspaceBusy."""
        ...

    async def write_file(self, path: str, content: bytes) -> None:
        """Replace the file at this relative path, making its directories. Raises FileRefused."""
        ...

    async def read_file(self, path: str, max_bytes: int) -> bytes:
        """The file at this relative path. Raises FileRefused."""
        ...

    async def list_files(self, path: str, max_entries: int) -> list[FileEntry]:
        """The directory at this relative path ("" is the root), by name. Raises FileRefused."""
        ...

    async def close(self) -> None:
        """End every process and forget every file; safe to call twice."""
        ...


class WorkspaceBackend(Protocol):
    """A way to make workspaces."""

    name: str

    async def start(self) -> None:
        """Make ready, and end what a dead control plane left behind. Raises SandboxFailure."""
        ...

    async def create(self, workspace_id: str, limits: WorkspaceLimits) -> Workspace:
        """A fresh workspace. Raises SandboxFailure."""
        ...

    async def stop(self) -> None:
        """End every workspace and helper process."""
        ...

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here; empty before the first workspace."""
        ...
