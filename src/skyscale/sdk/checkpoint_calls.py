"""The calls that read published versions, and the download of one into a folder.

- A file appears under its name when it is whole and its hash is right; until then it is `<name>.part`, from which the
  next attempt, or the next call, goes on.
- Signed addresses get no credentials of ours; paths of the API get the client's.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from skyscale.errors import Invalid, ProtocolError, SkyscaleError, Unavailable
from skyscale.sdk.call import Call, get, reading
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import Transport
from skyscale.wire.checkpoints import CheckpointDownload, CheckpointDownloads, CheckpointFile, CheckpointList

READ_TIMEOUT_S = 60.0
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Between attempts that brought nothing; one that brought bytes begins them anew."""
Tell = Callable[[str, int], None]
"""Hears of a file's name and of how many bytes just came."""


def listing(run_id: str) -> Call[CheckpointList]:
    """`GET /api/rl/runs/{id}/checkpoints`."""
    return get(f"/api/rl/runs/{run_id}/checkpoints", reading(CheckpointList))


def show(run_id: str, version: int) -> Call[CheckpointDownloads]:
    """`GET /api/rl/runs/{id}/checkpoints/{version}`."""
    return get(f"/api/rl/runs/{run_id}/checkpoints/{version}", reading(CheckpointDownloads))


def pull(transport: Transport, found: CheckpointDownloads, into: Path, tell: Tell = lambda name, size: None) -> None:
    """Fetch every file of a version; those that are there and right already are left alone.

    Raises ProtocolError for a file that is not what its manifest says, Unavailable when no more bytes come.
    """
    into.mkdir(parents=True, exist_ok=True)
    files = {file.name: file for file in found.checkpoint.files}
    for download in found.downloads:
        _fetch(transport, download, files[download.name], into, tell)


def _fetch(transport: Transport, download: CheckpointDownload, file: CheckpointFile, into: Path, tell: Tell) -> None:
    if Path(file.name).name != file.name or file.name.startswith("."):
        raise ProtocolError(f"{file.name!r} is not the name of a file")
    target, partial = into / file.name, into / f"{file.name}.part"
    if file.sha256 is not None and target.is_file() and _sha256(target) == file.sha256:
        return
    if file.sha256 is None:
        partial.unlink(missing_ok=True)  # without a hash, nobody could tell a continuation of something else
    _download(transport, download.url, partial, tell)
    if file.sha256 is not None and _sha256(partial) != file.sha256:
        partial.unlink()
        raise ProtocolError(f"{file.name} is damaged: its sha256 is not that of the manifest", code="artifact_damaged")
    partial.replace(target)


def _download(transport: Transport, url: str, partial: Path, tell: Tell) -> None:
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            return _attempt(transport, url, partial, before, tell)
        except Unavailable:
            has_come = partial.exists() and partial.stat().st_size > before
            failures = 1 if has_come else failures + 1
            if failures > len(PAUSES_S):
                raise
            time.sleep(PAUSES_S[failures - 1])


def _attempt(transport: Transport, url: str, partial: Path, done: int, tell: Tell) -> None:
    headers = {"range": f"bytes={done}-"} if done else {}
    is_ours = url.startswith("/")
    # A client of its own for signed addresses: the API's credentials are not theirs.
    http = transport.http if is_ours else httpx.Client(trust_env=transport.options.trust_env)
    try:
        with http.stream("GET", url, headers=headers, timeout=READ_TIMEOUT_S) as answer:
            if answer.status_code == 416:
                return  # everything was there already; the hash decides
            if answer.status_code >= 400:
                raise _refusal(answer, is_ours)
            with partial.open("ab" if answer.status_code == 206 else "wb") as sink:
                for piece in answer.iter_raw():
                    tell(partial.name.removesuffix(".part"), sink.write(piece))
    except httpx.TransportError as error:
        raise unreachable(transport.options.base_url if is_ours else _host(url), error) from error
    finally:
        if not is_ours:
            http.close()


def _refusal(answer: httpx.Response, is_ours: bool) -> SkyscaleError:
    content = answer.read()
    if is_ours:
        return error_of(answer.status_code, answer.headers, content)
    if answer.status_code >= 500:
        return Unavailable(f"the artifact store answered {answer.status_code}", code="store_unavailable")
    return Invalid(
        f"the artifact store refused a signed address: {answer.status_code}",
        code="store_denied",
        hint="Signed addresses work for an hour: ask again.",
    )


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
