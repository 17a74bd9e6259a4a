"""The host's app, and the server around it: joins when it answers, drains on SIGTERM, leaves nothing behind.

SIGTERM or SIGINT: it tells the control plane that it takes nothing new, lets judging go to its end (`DRAIN_S`), says
good-bye and ends its sandboxes. A second signal ends it at once. After kill -9 the kernel ends its processes, and the
next host with the same data folder whatever was left.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI

from skyscale import __version__
from skyscale.api import errors
from skyscale.api.host.membership import Membership
from skyscale.api.host.parts import HostParts, building
from skyscale.api.host.routes import router
from skyscale.api.listening import listen, url_of
from skyscale.api.middleware import Boundary
from skyscale.settings import HostSettings

DRAIN_S = 60.0
"""How long judging may go on after SIGTERM; what is left then is judged elsewhere."""
GRACE_S = 2
MAX_BODY_BYTES = 64 * 1024 * 1024
"""A batch of the largest programs with the largest test code, and a file of 32 MiB."""


def create_app(parts: HostParts) -> FastAPI:
    """The host as an ASGI app."""
    app = FastAPI(title="Skyscale sandbox host", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.parts = parts
    errors.install(app)
    app.add_middleware(Boundary, metrics=parts.metrics, max_body_bytes=MAX_BODY_BYTES, larger={})
    app.include_router(router)
    return app


def run_host(settings: HostSettings, *, on_ready: Callable[[HostParts], None]) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is called once calls are answered.

    Raises:
        OSError: the address cannot be listened on.
        SandboxFailure: this host cannot isolate code.
    """
    listener = listen(settings.host, settings.port)
    try:
        asyncio.run(_serve(settings, listener, on_ready))
    finally:
        listener.close()


async def _serve(settings: HostSettings, listener: socket.socket, on_ready: Callable[[HostParts], None]) -> None:
    async with building(settings) as parts:
        parts.url = settings.public_url or url_of(settings.host, listener.getsockname()[1])
        server = _Server(
            uvicorn.Config(
                create_app(parts), log_level="warning", access_log=False, server_header=False, lifespan="off",
                timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=75, proxy_headers=False,
            )
        )  # fmt: skip
        membership = Membership(parts)
        told, told_again = asyncio.Event(), asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, _on_signal, told, told_again)
        serving = asyncio.create_task(server.serve([listener]))
        joined = asyncio.create_task(membership.keep())
        on_ready(parts)
        await told.wait()
        await _drain(parts, told_again)
        joined.cancel()
        await asyncio.gather(joined, return_exceptions=True)
        await membership.leave()
        await membership.close()
        server.should_exit = True
        await serving


async def _drain(parts: HostParts, is_urgent: asyncio.Event) -> None:
    """Take nothing new, and wait until what is judged has its verdict."""
    parts.is_draining = parts.boxes.is_draining = True
    parts.news.set()
    idle = asyncio.create_task(parts.idle.wait())
    again = asyncio.create_task(is_urgent.wait())
    await asyncio.wait({idle, again}, timeout=DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
    for task in (idle, again):
        task.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing: we drain first."""
        yield


def _on_signal(told: asyncio.Event, told_again: asyncio.Event) -> None:
    (told_again if told.is_set() else told).set()
