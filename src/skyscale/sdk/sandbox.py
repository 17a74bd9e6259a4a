"""A sandbox for people and agents: run programs, keep files, no network.

    from skyscale.sdk.sandbox import Sandbox

    with Sandbox.create() as box:
        box.write("data.txt", "1 2 3")
        print(box.run("print(sum(map(int, open('data.txt').read().split())))").stdout)

Leaving the block destroys the sandbox. What a program does is in its result; what cannot be done raises a class of
`skyscale.errors`: `Conflict` while another program runs, `Gone` when the sandbox was destroyed, `TooMany` at the quota.
"""

import os
from collections.abc import Generator
from types import TracebackType
from typing import Self

import httpx
from pydantic import ValidationError

from skyscale.errors import Invalid, ProtocolError, SandboxFailure
from skyscale.sdk import sandbox_calls as calls
from skyscale.sdk.credentials import credential_for
from skyscale.sdk.problems import error_of, unreachable
from skyscale.sdk.transport import Transport
from skyscale.wire.sandboxes import (
    ExecEvent,
    ExecReply,
    ExecRequest,
    Runtime,
    SandboxCreate,
    SandboxFile,
    SandboxLimits,
    SandboxView,
)

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0
RETRY_FOR_S = 10.0


class Sandbox:
    """One sandbox; threads may share it, but it runs one program at a time."""

    def __init__(self, sandbox_id: str, transport: Transport) -> None:
        self.id = sandbox_id
        self._transport = transport

    @classmethod
    def create(
        cls,
        runtime: Runtime = "python3",
        *,
        ttl_seconds: int = 3600,
        idle_seconds: int = 900,
        backend: str = "process",
        limits: SandboxLimits | None = None,
        metadata: dict[str, str] | None = None,
        url: str | None = None,
        token: str | None = None,
    ) -> Self:
        """A new sandbox, ready. `url` is SKYSCALE_URL unless given, `token` what `skyscale login` keeps."""
        try:
            body = SandboxCreate(
                runtime=runtime, ttl_seconds=ttl_seconds, idle_seconds=idle_seconds, backend=backend,
                limits=limits or SandboxLimits(), metadata=metadata or {},
            )  # fmt: skip
        except ValidationError as error:
            raise Invalid("; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())) from error
        transport = transport_to(url, token)
        try:
            return cls(transport.send(calls.create(body)).id, transport)
        except BaseException:
            transport.close()
            raise

    @classmethod
    def connect(cls, sandbox_id: str, *, url: str | None = None, token: str | None = None) -> Self:
        """One that exists. Nothing is sent yet."""
        return cls(sandbox_id, transport_to(url, token))

    def view(self) -> SandboxView:
        """Its status, limits and times."""
        return self._transport.send(calls.show(self.id))

    def run(
        self, code: str, *, language: Runtime | None = None, timeout_seconds: float = 30.0, stdin: str = ""
    ) -> ExecReply:
        """Run a program to its end; an exit code other than 0 is no exception."""
        return self._transport.send(calls.run(self.id, _request(code, language, timeout_seconds, stdin)))

    def stream(
        self, code: str, *, language: Runtime | None = None, timeout_seconds: float = 30.0, stdin: str = ""
    ) -> Generator[ExecEvent, None, None]:
        """Output as it comes, then an event `end` with the result. Closing the generator ends the program."""
        call = calls.run(self.id, _request(code, language, timeout_seconds, stdin))
        request = self._transport.options.request(self._transport.http, call)
        request.headers["accept"] = "application/x-ndjson"
        try:
            response = self._transport.http.send(request, stream=True)
        except httpx.TransportError as error:
            raise unreachable(self._transport.options.base_url, error) from error
        try:
            if response.status_code >= 400:
                raise error_of(response.status_code, response.headers, response.read())
            for line in response.iter_lines():
                event = _event(line)
                yield event
            response.close()
        except httpx.TransportError as error:
            raise unreachable(self._transport.options.base_url, error) from error
        finally:
            response.close()

    def write(self, path: str, content: str | bytes) -> None:
        """Put a file at this relative path, making its directories."""
        data = content.encode() if isinstance(content, str) else content
        self._transport.send(calls.write_file(self.id, path, data))

    def read(self, path: str) -> bytes:
        """The file at this relative path."""
        return self._transport.send(calls.read_file(self.id, path))

    def files(self, path: str = "") -> list[SandboxFile]:
        """The directory at this relative path, by name; at most 1000 names."""
        return self._transport.send(calls.list_files(self.id, path)).entries

    def destroy(self) -> None:
        """End it and forget its files; again changes nothing."""
        self._transport.send(calls.destroy(self.id))

    def close(self) -> None:
        """Close the connections and leave the sandbox as it is."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.destroy()
        finally:
            self.close()


def transport_to(url: str | None, token: str | None) -> Transport:
    """The way to the control plane of the arguments or of the environment."""
    base_url = url or os.environ.get("SKYSCALE_URL") or DEFAULT_URL
    return Transport(base_url, token or credential_for(base_url), TIMEOUT_S, RETRY_FOR_S)


def _request(code: str, language: Runtime | None, timeout_seconds: float, stdin: str) -> ExecRequest:
    try:
        return ExecRequest(code=code, language=language, timeout_seconds=timeout_seconds, stdin=stdin)
    except ValidationError as error:
        raise Invalid("; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())) from error


def _event(line: str) -> ExecEvent:
    try:
        event = ExecEvent.model_validate_json(line)
    except ValidationError as error:
        raise ProtocolError("the stream carried something that is not an event") from error
    if event.type == "error":
        raise SandboxFailure(event.data)
    return event
