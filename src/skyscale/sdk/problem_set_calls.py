"""The calls of problem sets, made and read. Pure, but for an upload, which is read from its file as it is sent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
from pydantic import ValidationError

from skyscale.errors import ProtocolError
from skyscale.sdk.call import Call, get, nothing, reading
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import Transport
from skyscale.wire.problem_sets import (
    ProblemSample,
    ProblemSetList,
    ProblemSetUpload,
    ProblemSetUploaded,
    ProblemSetView,
    UploadEvent,
)

PATH = "/api/rl/problem-sets"
LINES = "application/x-ndjson"
CHUNK_BYTES = 1 << 18
QUIET_S = 300.0
"""The longest time without news of a check."""
Tell = Callable[[str, int, int], None]
"""Told the phase (`sending`, `reading`, `solutions`), how much is done, and how much there is."""


def listing() -> Call[ProblemSetList]:
    """`GET /api/rl/problem-sets`."""
    return get(PATH, reading(ProblemSetList))


def show(ref: str) -> Call[ProblemSetView]:
    """`GET /api/rl/problem-sets/{ref}`."""
    return get(f"{PATH}/{ref}", reading(ProblemSetView))


def sample(
    ref: str, split: str | None, difficulty: str | None, tag: str | None, cursor: str | None, limit: int | None
) -> Call[ProblemSample]:
    """`GET /api/rl/problem-sets/{ref}/problems`."""
    path = f"{PATH}/{ref}/problems"
    return get(path, reading(ProblemSample), split=split, difficulty=difficulty, tag=tag, cursor=cursor, limit=limit)


def delete(ref: str) -> Call[None]:
    """`DELETE /api/rl/problem-sets/{ref}`."""
    return Call("DELETE", f"{PATH}/{ref}", nothing)


def upload(transport: Transport, path: Path, options: ProblemSetUpload, tell: Tell) -> ProblemSetUploaded:
    """`POST /api/rl/problem-sets`; sent once, because the same content again is the same version."""
    size = path.stat().st_size
    with path.open("rb") as source:
        request = transport.http.build_request(
            "POST", PATH, params=options.model_dump(mode="json"), content=_sent(source, size, tell),
            headers={"accept": LINES, "content-type": LINES, "content-length": str(size)},
            timeout=httpx.Timeout(QUIET_S, connect=5.0),
        )  # fmt: skip
        try:
            response = transport.http.send(request, stream=True)
            try:
                if response.status_code >= 400:
                    raise error_of(response.status_code, response.headers, response.read())
                return _result(response, tell)
            finally:
                response.close()
        except httpx.TransportError as error:
            raise unreachable(transport.options.base_url, error) from error


def _sent(source: BinaryIO, size: int, tell: Tell) -> Iterator[bytes]:
    sent = 0
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        tell("sending", sent, size)


def _result(response: httpx.Response, tell: Tell) -> ProblemSetUploaded:
    for line in response.iter_lines():
        try:
            event = UploadEvent.model_validate_json(line)
        except ValidationError as error:
            raise ProtocolError("the reply to an upload carried something that is not an event") from error
        if event.error is not None:
            raise error_of(event.error.status, {}, event.error.model_dump_json().encode())
        if event.result is not None:
            return event.result
        tell(event.phase, event.done, event.total)
    raise ProtocolError("the reply to an upload ended before its result")
