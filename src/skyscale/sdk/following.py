"""Following a run's events to its end, through lost connections and restarts of the control plane.

Each event is given once, in order: a reconnection asks for what comes after the last one received. A control plane
that answers with a page instead of a stream is asked again every `POLL_S`. The generators end when the run has.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator

import httpx

from skyscale.errors import SkyscaleError
from skyscale.sdk import operator_calls as calls
from skyscale.sdk.event_stream import EventStreamParser
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import AsyncTransport, Patience, Transport
from skyscale.wire.runs import Event, EventPage, RunStatus

POLL_S = 0.5
# The server comments on a silent stream every 15 s; twice that without a byte means that the connection is dead.
SILENCE_S = 30.0
ENDED = (RunStatus.STOPPED, RunStatus.COMPLETED, RunStatus.FAILED)


def _request(http: httpx.Client | httpx.AsyncClient, run_id: str, parser: EventStreamParser) -> httpx.Request:
    return http.build_request(
        "GET",
        f"/api/rl/runs/{run_id}/events",
        params={"after": parser.last_seq},
        headers={"accept": "text/event-stream", "last-event-id": parser.last_id},
        timeout=httpx.Timeout(10.0, read=SILENCE_S),
    )


def _is_stream(response: httpx.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/event-stream")


def _may_have_ended(line: str, event: Event | None) -> bool:
    # The stream of a run that has ended stays open and silent: a word about the run itself, or a comment sent into
    # silence, is the moment to leave it and ask.
    return line.startswith(":") or (event is not None and event.kind.startswith("run."))


def _new(page: EventPage, parser: EventStreamParser) -> list[Event]:
    return [event for event in page.events if parser.take(event) is not None]


def follow(transport: Transport, run_id: str, after: int) -> Generator[Event]:
    """Events of the run with a `seq` above `after`, as they happen, until the run has ended."""
    parser = EventStreamParser(after)
    patience = Patience(transport.options.retry_for_s)
    while True:
        try:
            has_ended = transport.send(calls.get_run(run_id)).status in ENDED
            missed = _new(transport.send(calls.events(run_id, parser.last_seq, None)), parser)
            for event in missed:
                yield event
            if missed:
                continue
            if has_ended:
                return
            for event in _connection(transport, run_id, parser):
                patience = Patience(transport.options.retry_for_s)
                yield event
            time.sleep(POLL_S)
        except SkyscaleError as error:
            time.sleep(patience.pause_after(error))


def _connection(transport: Transport, run_id: str, parser: EventStreamParser) -> Generator[Event]:
    parser.reconnected()
    try:
        response = transport.http.send(_request(transport.http, run_id, parser), stream=True)
        try:
            if response.status_code >= 400:
                raise error_of(response.status_code, response.headers, response.read())
            if not _is_stream(response):
                return
            for line in response.iter_lines():
                if event := parser.feed(line):
                    yield event
                if _may_have_ended(line, event):
                    return
        finally:
            response.close()
    except httpx.TransportError as error:
        raise unreachable(transport.options.base_url, error) from error


async def follow_async(transport: AsyncTransport, run_id: str, after: int) -> AsyncGenerator[Event]:
    """Like `follow`, on an event loop."""
    parser = EventStreamParser(after)
    patience = Patience(transport.options.retry_for_s)
    while True:
        try:
            has_ended = (await transport.send(calls.get_run(run_id))).status in ENDED
            missed = _new(await transport.send(calls.events(run_id, parser.last_seq, None)), parser)
            for event in missed:
                yield event
            if missed:
                continue
            if has_ended:
                return
            async for event in _connection_async(transport, run_id, parser):
                patience = Patience(transport.options.retry_for_s)
                yield event
            await asyncio.sleep(POLL_S)
        except SkyscaleError as error:
            await asyncio.sleep(patience.pause_after(error))


async def _connection_async(transport: AsyncTransport, run_id: str, parser: EventStreamParser) -> AsyncGenerator[Event]:
    parser.reconnected()
    try:
        response = await transport.http.send(_request(transport.http, run_id, parser), stream=True)
        try:
            if response.status_code >= 400:
                raise error_of(response.status_code, response.headers, await response.aread())
            if not _is_stream(response):
                return
            async for line in response.aiter_lines():
                if event := parser.feed(line):
                    yield event
                if _may_have_ended(line, event):
                    return
        finally:
            await response.aclose()
    except httpx.TransportError as error:
        raise unreachable(transport.options.base_url, error) from error
