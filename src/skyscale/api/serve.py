"""Runs the app under uvicorn until it is told to stop; prints nothing.

SIGINT and SIGTERM end it in good order: streams and held calls are let go, the local jobs of all runs are ended, and
no process is left. kill -9 leaves the jobs, which the next control plane adopts.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from skyscale.api.app import create_app
from skyscale.api.listening import listen, url_of
from skyscale.api.services import Services
from skyscale.settings import Settings
from skyscale.telemetry import logs, traces

SWITCH_S = 0.001
"""The interpreter lock changes hands after this long: the loop waits for the writer thread, and it for the loop."""
GRACE_S = 2
"""How long calls in progress may take to end once the jobs have."""


class _Server(uvicorn.Server):
    """uvicorn, telling our parts before it begins to wait for open calls."""

    def __init__(self, config: uvicorn.Config, parts: Services, on_ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._parts = parts
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What was made so far stays for good; each look of the collector through it would hold up all calls.
        gc.collect()
        gc.freeze()
        if self.started:
            self._on_ready(self._parts.address.url)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing: uvicorn would raise the signal again afterwards, and end us before the jobs are stopped."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._parts.closing.set()
        # While we still answer: jobs hold calls open, and would hold us up for as long.
        await self._parts.reconcilers.shutdown()
        # What is left are held calls of ended jobs; cancelling them is no error worth telling.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def run_server(settings: Settings, *, log_level: str = "warning", on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is called with the URL once calls are answered.

    Raises:
        OSError: the address cannot be listened on.
        SkyscaleError: a part could not start, for example no sandbox on this host.
    """
    sys.setswitchinterval(SWITCH_S)
    if logs.is_json():
        logs.start()
    traces.start("control-plane")
    app = create_app(settings)
    parts: Services = app.state.services
    listener = listen(settings.host, settings.port)
    try:
        parts.address.url = url_of(settings.host, listener.getsockname()[1])
        _serve(app, parts, listener, log_level, on_ready)
    finally:
        listener.close()
        traces.stop()


def _serve(
    app: FastAPI, parts: Services, listener: socket.socket, log_level: str, on_ready: Callable[[str], None]
) -> None:
    config = uvicorn.Config(
        app,
        log_level=log_level,
        log_config=None if logs.is_json() else LOGGING_CONFIG,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=75,
        proxy_headers=False,
    )
    server = _Server(config, parts, on_ready)

    async def serve() -> None:
        # The lifespan is ours and not uvicorn's, so that what a part raises at start reaches the caller as it is.
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(signum, server.handle_exit, signum, None)
        async with app.router.lifespan_context(app):
            await server.serve([listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
