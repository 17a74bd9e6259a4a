"""Interactive sandboxes: made, used and destroyed by people and agents; files stay, processes do not."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request

MAX_CODE_CHARS = 1_000_000
MAX_TTL_S = 24 * 3600
MAX_PATH_CHARS = 1024
Runtime = Literal["python3", "bash"]


class SandboxStatus(StrEnum):
    """The life of a sandbox: starting -> ready <-> busy -> destroyed, or failed when its host was lost."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    DESTROYED = "destroyed"
    FAILED = "failed"
    """The sandbox host that held it was lost; the reason says more."""


class SandboxLimits(Request):
    """What a sandbox may use; enforced by the kernel or from outside."""

    memory_mb: Annotated[int, Field(ge=32, le=8192)] = 512
    """Of all its processes together."""
    disk_mb: Annotated[int, Field(ge=1, le=2048)] = 64
    """Of its files, which are kept in memory."""
    max_processes: Annotated[int, Field(ge=1, le=512)] = 64
    cpu_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """Of each process."""
    output_kb: Annotated[int, Field(ge=1, le=8192)] = 1024
    """Of stdout and of stderr of one program; more ends it."""


class SandboxCreate(Request):
    """The body of `POST /api/sandboxes`; everything has a default."""

    sandbox_id: Annotated[str | None, Field(pattern=r"^sb-[A-Za-z0-9_-]{4,60}$")] = None
    """Made by the caller for safe retries: the same body with the same id again is the same sandbox."""
    runtime: Runtime = "python3"
    """The language of programs that do not say theirs; both are always there."""
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_S)] = 3600
    """It is destroyed after this long, used or not."""
    idle_seconds: Annotated[int, Field(ge=1, le=MAX_TTL_S)] = 900
    """It is destroyed when nobody has used it for this long."""
    backend: Annotated[str, Field(min_length=1, max_length=40)] = "process"
    limits: SandboxLimits = SandboxLimits()
    network: Literal["none"] = "none"
    """Only `none`: there is no way out of a sandbox, and none into it."""
    metadata: Annotated[
        dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=1000)]], Field(max_length=32)
    ] = {}
    """Kept and shown, never used."""


class SandboxView(Reply):
    """A sandbox."""

    id: str
    status: SandboxStatus
    runtime: Runtime
    backend: str
    network: str
    limits: SandboxLimits
    metadata: dict[str, str]
    ttl_seconds: int
    idle_seconds: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    destroyed_at: datetime | None
    reason: str | None
    """Why it was destroyed, or failed."""
    host: str | None = None
    """The sandbox host that holds it; null when the control plane itself does."""


class SandboxPage(Reply):
    """A page of sandboxes, newest first."""

    sandboxes: list[SandboxView]
    next_cursor: str | None


class ExecRequest(Request):
    """The body of `POST /api/sandboxes/{id}/exec`."""

    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)]
    language: Runtime | None = None
    """The sandbox's runtime unless it is said."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    stdin: Annotated[str, Field(max_length=MAX_CODE_CHARS)] = ""


class ExecReply(Reply):
    """What came of a program."""

    exec_id: str
    status: Literal["ok", "timeout", "memory", "output_limit", "killed", "cancelled"]
    """`ok`: it ended by itself, whatever its exit code."""
    stdout: str
    """In a stream's last line empty: it was sent before."""
    stderr: str
    exit_code: int
    """As in a shell: 128 + signal for a program that was killed."""
    duration_ms: float
    detail: str = ""


class ExecEvent(Reply):
    """One line of a streamed `exec`: output as it comes, then one `end` (or `error`, when the sandbox broke)."""

    type: Literal["stdout", "stderr", "end", "error"]
    data: str = ""
    result: ExecReply | None = None


class SandboxFile(Reply):
    """One name in a directory of a sandbox."""

    name: str
    kind: Literal["file", "directory", "link", "other"]
    size_bytes: int
    modified_at: datetime


class SandboxFiles(Reply):
    """`GET /api/sandboxes/{id}/files?path=`: a directory by name, at most 1000 names of it."""

    path: str
    entries: list[SandboxFile]
    is_truncated: bool


class SandboxFileWritten(Reply):
    """The reply to a file that was written."""

    path: str
    size_bytes: int
