"""A request that belongs to another control plane is passed on to it, and its answer back, as it comes.

- The caller has been admitted here; its credentials travel along, and the other control plane asks for them again.
- A request is passed on once: an answer is better than a circle.
"""

from collections.abc import AsyncGenerator, Awaitable

import httpx
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from skyscale.api.services import Services
from skyscale.boxes.holder import HeldElsewhere
from skyscale.errors import Unavailable

MARK = "x-skyscale-forwarded"
OF_THE_LINE = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive", "upgrade", "te"}
)
READ_S = 3600.0
"""A program's output may pause for as long as a program may run."""


async def here_or_there(request: Request, parts: Services, work: Awaitable[Response]) -> Response:
    """The answer of `work`, or of the control plane that holds the sandbox. Raises HeldElsewhere, Unavailable."""
    try:
        return await work
    except HeldElsewhere as error:
        url = await parts.reconcilers.leadership.url_of(error.holder)
        if url is None or MARK in request.headers:
            raise
        return await _forward(request, parts.http, url, error)


async def _forward(request: Request, http: httpx.AsyncClient, url: str, why: HeldElsewhere) -> Response:
    headers = {name: value for name, value in request.headers.items() if name not in OF_THE_LINE} | {MARK: "1"}
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked = http.build_request(
        request.method, url.rstrip("/") + path, headers=headers, content=await request.body(),
        timeout=httpx.Timeout(10.0, read=READ_S),
    )  # fmt: skip
    try:
        answer = await http.send(asked, stream=True)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{why.detail}, at {url}, which does not answer: {type(error).__name__}", code=why.code, hint=why.hint
        ) from error
    kept = {name: value for name, value in answer.headers.items() if name not in OF_THE_LINE and name != "x-request-id"}
    return StreamingResponse(_pieces(answer), answer.status_code, kept)


async def _pieces(answer: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
