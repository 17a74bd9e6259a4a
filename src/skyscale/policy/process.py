"""The life of a policy server's process: listen, load, register, serve, end.

The port is open from the start and answers 503 until the model is loaded. A broken engine ends the process with
status 1, so that whoever started it starts it again.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from pydantic import SecretStr, ValidationError

from skyscale.artifacts.model_folder import require_trainable
from skyscale.artifacts.store import adopt_settings
from skyscale.decoder.models import resolve_model
from skyscale.errors import Invalid
from skyscale.policy.duty import Duty
from skyscale.policy.server import create_app
from skyscale.policy.serving import Serving
from skyscale.sdk.jobs import JobClient
from skyscale.settings import JobSettings
from skyscale.telemetry import logs

log = logging.getLogger(__name__)
EVERYWHERE = frozenset({"0.0.0.0", "::"})
CONNECT_S = 10.0
WATCH_S = 1.0
"""How often the engine is looked at."""
GRACE_S = 3
"""How long open requests may take once the process is to end."""


async def serve_alone(model: str, engine: str, host: str, port: int) -> int:
    """Serve `model` until a signal; the exit status.

    `SKYSCALE_JOB_TOKEN`, if set, is the token that `/reload` wants.
    """
    token = os.environ.get("SKYSCALE_JOB_TOKEN")
    async with _listening(model, host, port, SecretStr(token) if token else None) as (serving, server, url):
        await serving.load(engine, 0, None)
        print(f"serving {model} at {url}", flush=True)  # noqa: T201 - how a person or a script learns of the port
        return await _first_end(server, serving, None)


async def serve_job(engine: str, host: str, port: int) -> int:
    """Serve as a job of a run until the control plane says that it is enough; the exit status."""
    settings = _job_settings()
    with JobClient.from_settings(settings) as client:
        assignment = await asyncio.to_thread(client.assignment)
        logs.of_process(run_id=assignment.run_id, job_id=assignment.job_id)
        adopt_settings(assignment.artifact_settings)
        model, name = assignment.model_path, assignment.spec.base_model
        async with _listening(model, host, port, settings.job_token, name) as (serving, server, url):
            duty = Duty(client, assignment, serving)
            pointer = await asyncio.to_thread(duty.first_heartbeat)
            # Again after the run's creation: a model that came from the Hub is only here now.
            await asyncio.to_thread(lambda: require_trainable(resolve_model(model)))
            beating = asyncio.create_task(duty.run())
            try:
                await serving.load(engine, pointer.policy_version, pointer.manifest_uri)
                await duty.register(url if host not in EVERYWHERE else _seen_from(settings.url, url))
                return await _first_end(server, serving, beating)
            finally:
                beating.cancel()


def _job_settings() -> JobSettings:
    try:
        return JobSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    except ValidationError as e:
        missing = ", ".join(str(error["loc"][0]) for error in e.errors())
        raise Invalid(
            f"the environment lacks {missing}",
            hint="Jobs are started by the control plane; to serve a model on its own, give --model.",
        ) from e


@contextlib.asynccontextmanager
async def _listening(
    model: str, host: str, port: int, token: SecretStr | None, name: str | None = None
) -> AsyncGenerator[tuple[Serving, "_Server", str]]:
    with tempfile.TemporaryDirectory(prefix="skyscale-policy-") as cache:
        serving = Serving(model, Path(cache), name)
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        config = uvicorn.Config(
            create_app(serving, token), log_config=None, log_level="warning", access_log=False, lifespan="off",
            timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=30,
        )  # fmt: skip
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        server.running = running
        shown = f"[{host}]" if ":" in host else host
        try:
            yield serving, server, f"http://{shown}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving.close()
            await running
            listener.close()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: its own way ends the process before we have cleaned up."""

    running: asyncio.Task[None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """A signal ends the server, and its end ends everything else."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.should_exit = True


def _seen_from(control_plane: str, url: str) -> str:
    """A server that listens on every address is registered at the one from which the control plane is dialled."""
    there = urlsplit(control_plane)
    port = there.port or (443 if there.scheme == "https" else 80)
    with socket.create_connection((there.hostname or "", port), timeout=CONNECT_S) as probe:
        mine = str(probe.getsockname()[0])
    return f"http://{f'[{mine}]' if ':' in mine else mine}:{urlsplit(url).port}"


async def _first_end(server: _Server, serving: Serving, beating: asyncio.Task[None] | None) -> int:
    """Wait for a signal, the end of the job, or the end of the engine; the exit status."""
    # What is loaded by now stays: the collector need not look at it again whenever replies have made enough lists.
    gc.collect()
    gc.freeze()
    broken = asyncio.create_task(_until_broken(serving))
    waits: set[asyncio.Task[Any]] = {server.running, broken} | ({beating} if beating else set())
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if broken in done:
            log.error("the engine broke", exc_info=broken.result())
            return 1
        for task in done:
            task.result()
        return 0
    finally:
        broken.cancel()


async def _until_broken(serving: Serving) -> BaseException:
    # Looked at, not awaited: the engine breaks on a thread of its own, at the worst for lack of memory.
    while (failure := serving.failure()) is None:  # noqa: ASYNC110
        await asyncio.sleep(WATCH_S)
    return failure
