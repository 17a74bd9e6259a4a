"""The calls of interactive sandboxes, made and read. Pure.

Making one may be repeated because the client gives it an id first. A program is never repeated: it may have run.
"""

from urllib.parse import quote

from skyscale.sdk.call import Call, as_bytes, get, nothing, post, reading
from skyscale.wire.base import new_id
from skyscale.wire.hosts import HostList
from skyscale.wire.sandboxes import (
    ExecReply,
    ExecRequest,
    SandboxCreate,
    SandboxFiles,
    SandboxFileWritten,
    SandboxPage,
    SandboxView,
)

PATH = "/api/sandboxes"


def create(body: SandboxCreate) -> Call[SandboxView]:
    """`POST /api/sandboxes`; gives the sandbox an id unless it has one."""
    return post(PATH, reading(SandboxView), body.model_copy(update={"sandbox_id": body.sandbox_id or new_id("sb")}))


def show(sandbox_id: str) -> Call[SandboxView]:
    """`GET /api/sandboxes/{id}`."""
    return get(f"{PATH}/{_part(sandbox_id)}", reading(SandboxView))


def listing(is_open: bool | None, cursor: str | None, limit: int | None) -> Call[SandboxPage]:
    """`GET /api/sandboxes`."""
    return get(PATH, reading(SandboxPage), is_open=is_open, cursor=cursor, limit=limit)


def destroy(sandbox_id: str) -> Call[None]:
    """`DELETE /api/sandboxes/{id}`."""
    return Call("DELETE", f"{PATH}/{_part(sandbox_id)}", nothing)


def hosts() -> Call[HostList]:
    """`GET /api/sandboxes/hosts`."""
    return get(f"{PATH}/hosts", reading(HostList))


def run(sandbox_id: str, body: ExecRequest) -> Call[ExecReply]:
    """`POST /api/sandboxes/{id}/exec`."""
    return post(
        f"{PATH}/{_part(sandbox_id)}/exec", reading(ExecReply), body, is_repeatable=False, hold_s=body.timeout_seconds
    )


def write_file(sandbox_id: str, path: str, content: bytes) -> Call[SandboxFileWritten]:
    """`PUT /api/sandboxes/{id}/files/{path}`."""
    return Call("PUT", f"{PATH}/{_part(sandbox_id)}/files/{_path(path)}", reading(SandboxFileWritten), body=content)


def read_file(sandbox_id: str, path: str) -> Call[bytes]:
    """`GET /api/sandboxes/{id}/files/{path}`."""
    return get(f"{PATH}/{_part(sandbox_id)}/files/{_path(path)}", as_bytes)


def list_files(sandbox_id: str, path: str) -> Call[SandboxFiles]:
    """`GET /api/sandboxes/{id}/files`."""
    return Call("GET", f"{PATH}/{_part(sandbox_id)}/files", reading(SandboxFiles), {"path": path})


def _part(sandbox_id: str) -> str:
    return quote(sandbox_id, safe="")


def _path(path: str) -> str:
    """Quoted, dots of `.` and `..` too: the server is to refuse those, not the URL to lose them."""
    names = [quote(name, safe="") for name in path.split("/")]
    return "/".join(name.replace(".", "%2E") if name in {".", ".."} else name for name in names)
