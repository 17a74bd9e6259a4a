"""A control plane on a real port, and sandbox hosts that work for it: real processes, or in this one."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from skyscale.api.app import create_app
from skyscale.api.host.app import create_app as create_host_app
from skyscale.api.host.membership import Membership
from skyscale.api.host.parts import HostParts, building
from skyscale.api.listening import listen
from skyscale.api.services import Services, running
from skyscale.settings import HostSettings, Settings

READY_S = 60.0


@contextlib.asynccontextmanager
async def control_plane(settings: Settings) -> AsyncGenerator[Services]:
    """The app behind a port of its own; `address.url` is where it is."""
    app = create_app(settings)
    parts: Services = app.state.services
    async with running(parts), served(app) as url:
        parts.address.url = url
        yield parts


@contextlib.asynccontextmanager
async def served(app: FastAPI) -> AsyncGenerator[str]:
    """The URL of an app that is served."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # pyright: ignore[reportAttributeAccessIssue]
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def host_here(url: str, data_dir: Path, **more: Any) -> AsyncGenerator[HostParts]:
    """A host in this process, over HTTP all the same."""
    settings = HostSettings(url=url, data_dir=data_dir, sandbox_slots=2, **more)
    async with building(settings) as parts, served(create_host_app(parts)) as parts.url:
        membership = Membership(parts)
        task = asyncio.create_task(membership.keep())
        try:
            yield parts
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await membership.leave()
            await membership.close()


class HostProcess:
    """`skyscale sandboxd` as a process."""

    def __init__(self, url: str, data_dir: Path, name: str, **environment: str) -> None:
        command = [
            sys.executable, "-m", "skyscale.cli.main", "sandboxd", "--url", url, "--port", "0", "--name", name,
            "--data-dir", str(data_dir), "--slots", "2",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + READY_S
        while not any("is ready at" in line for line in self.lines):
            assert self.process.poll() is None and time.monotonic() < deadline, self.lines
            time.sleep(0.05)
        found = re.search(r"(sbh-\w+) is ready at \S*?(http\S+?)(\x1b|$|\s)", "".join(self.lines))
        assert found, self.lines
        self.host_id, self.url = found[1], found[2]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def kill(self) -> None:
        """As a crash would."""
        self.process.kill()
        self.process.wait()

    def end(self, within_s: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def close(self) -> None:
        """End it, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def host_process(url: str, data_dir: Path, name: str, **environment: str) -> Generator[HostProcess]:
    """A host that is ready; killed at the end if it still runs."""
    host = HostProcess(url, data_dir, name, **environment)
    try:
        yield host
    finally:
        host.close()


async def until(look: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What `look` returns once it is true."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
