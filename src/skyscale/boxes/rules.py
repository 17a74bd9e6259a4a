"""What may be asked of a sandbox, and when one must go. Pure.

starting --made--> ready <--program--> busy
    \\________________|__________________/
                     v
                 destroyed   by its caller, its ttl, being idle, its own end, or its control plane's
"""

from datetime import datetime, timedelta

from skyscale.errors import Invalid
from skyscale.sandboxes.workspace import WorkspaceLimits
from skyscale.wire.sandboxes import MAX_PATH_CHARS, ExecRequest, SandboxCreate, SandboxLimits

MAX_NAME_BYTES = 255
_MB = 1024 * 1024


def limits_of(limits: SandboxLimits) -> WorkspaceLimits:
    """The wire's limits in the contract's units."""
    return WorkspaceLimits(
        memory_bytes=limits.memory_mb * _MB,
        cpu_s=limits.cpu_seconds,
        max_processes=limits.max_processes,
        disk_bytes=limits.disk_mb * _MB,
        output_bytes=limits.output_kb * 1024,
    )


def check_create(request: SandboxCreate, backends: list[str]) -> None:
    """Raise Invalid for what cannot be made here."""
    if request.backend not in backends:
        raise Invalid(f"backend: {request.backend!r} has no interactive sandboxes; there are: {', '.join(backends)}")
    if any("\0" in text for pair in request.metadata.items() for text in pair):
        raise Invalid("metadata: holds a NUL character")


def check_exec(request: ExecRequest) -> None:
    """Raise Invalid for a program that no interpreter would take."""
    for name, text in (("code", request.code), ("stdin", request.stdin)):
        if not _is_unicode(text):
            raise Invalid(f"{name}: holds an unpaired surrogate, which is no text")
    if "\0" in request.code:
        raise Invalid("code: holds a NUL character, which no program may")


def check_path(path: str) -> str:
    """The path, relative and plain. Raises Invalid for one that leaves the sandbox or names nothing."""
    if not path or len(path) > MAX_PATH_CHARS:
        raise Invalid(f"path: must have 1 to {MAX_PATH_CHARS} characters")
    if "\0" in path or "\ufffd" in path or not _is_unicode(path):
        raise Invalid("path: must be UTF-8 without NUL")
    if path.startswith("/"):
        raise Invalid("path: must be relative to the sandbox's working directory")
    for name in path.split("/"):
        if name in {"", ".", ".."}:
            raise Invalid(f"path: must not have {name!r} as a part")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise Invalid(f"path: a name is longer than {MAX_NAME_BYTES} bytes")
    return path


def check_folder(path: str) -> str:
    """A path as `check_path`, or "" for the working directory itself."""
    stripped = path.removesuffix("/") if path != "/" else path
    return check_path(stripped) if stripped not in {"", "."} else ""


def why_destroy(
    now: datetime, *, expires_at: datetime, last_used_at: datetime, idle_s: int, is_busy: bool, is_alive: bool
) -> str | None:
    """Why a live sandbox must be destroyed now, if it must."""
    if not is_alive:
        return "it broke: its first process ended or did not answer"
    if now >= expires_at:
        return "its time to live is over"
    if not is_busy and now >= last_used_at + timedelta(seconds=idle_s):
        return f"nobody used it for {idle_s} s"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
