"""Jobs as processes of this host: one session per attempt, one folder per job, no supervisor daemon.

    data_dir/jobs/<job id>/{log, lock, exit-<attempt>}

- Each attempt is `local_runner.py` with the command as its child. It outlives a killed control plane, which adopts it
  again by its handle (pid, start time, boot); its exit code is read from the folder, whoever its parent is by then.
- The environment is built from nothing: what a process needs to run, never a secret of the control plane.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from skyscale import jobs
from skyscale.errors import Unavailable
from skyscale.jobs import host_gpus, processes
from skyscale.jobs.processes import Process
from skyscale.jobs.provider import Abilities, JobLaunch, Offer, Owned, Setup
from skyscale.jobs.rules import ATTEMPT_HEADER, Seen
from skyscale.wire.jobs import JobRole

RUNNER = Path(jobs.__path__[0]) / "local_runner.py"
KILL_DEADLINE_S = 10.0
"""SIGKILL works at once unless a process hangs in the kernel; longer than this is reported."""
FEW_CORES = 8
"""Up to here policy server and trainer share the cores, and torch's default of all cores each would thrash."""

INHERITED = frozenset(
    ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
     "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
     "http_proxy", "https_proxy", "no_proxy")
)  # fmt: skip
INHERITED_PREFIXES = (
    "PYTHON",
    "HF_",
    "TRANSFORMERS_",
    "TORCH",
    "OMP_",
    "VLLM_",
    "MKL_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "SKYSCALE_",
)
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|KEY|DATABASE")
NEEDED_SECRETS = frozenset({"HF_TOKEN"})
"""Gated base models cannot be loaded without it; custom commands do not get it."""


class LocalProvider:
    """Child processes of this host."""

    name = "local"
    abilities = Abilities(gpu_models=None, runs_commands=True, runs_images=False, is_this_host=True)

    def __init__(self, setup: Setup) -> None:
        self._dir = setup.jobs_dir.absolute()

    def missing(self) -> str | None:
        """Nothing: this host is there."""

    async def start(self, launch: JobLaunch) -> str:
        """Start the attempt. Raises Unavailable when this host cannot start a process now."""
        try:
            return await asyncio.to_thread(self._start, launch)
        except OSError as error:
            raise Unavailable(f"this host could not start a process: {error}", code="start_failed") from error

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The attempt's handle, from the exit code it left or from the processes of this host."""
        return await asyncio.to_thread(self._find, job_id, attempt)

    async def poll(self, handle: str) -> Seen:
        """Running, exited with its code, or unknown when it was killed together with its runner."""
        process, folder, attempt = _parse(handle)
        is_alive = process is not None and process.is_alive()
        code = _exit_code(folder, attempt)
        if code is not None:
            return Seen("exited", code)
        return Seen("running" if is_alive else "unknown")

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """SIGTERM, grace, SIGKILL to all that was started for the job. Raises Unavailable if something survives."""
        process = _parse(handle)[0] if handle else None
        await asyncio.to_thread(_stop, self._dir / job_id, process, grace_s)

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """The tail of the job's log."""
        return await asyncio.to_thread(_tail, self._dir / job_id / "log", max_bytes)

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """None: a process of this host says itself where it listens."""
        return {}

    async def inventory(self) -> Sequence[Offer]:
        """The accelerators of this host, from its driver."""
        return await asyncio.to_thread(host_gpus.inventory)

    async def owned(self) -> Sequence[Owned]:
        """Live attempts in our folder, by the processes of this host."""
        return await asyncio.to_thread(self._owned)

    def _start(self, launch: JobLaunch) -> str:
        folder = self._dir / launch.job_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = folder / "log"
        with log.open("a") as file:
            file.write(f"{ATTEMPT_HEADER}{launch.attempt}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC ---\n")
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(RUNNER), str(folder), str(launch.attempt)],
            _environment(launch, folder, os.environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
        )
        return _handle(processes.identify(pid), folder, launch.attempt)

    def _find(self, job_id: str, attempt: int) -> str | None:
        folder = self._dir / job_id
        if _exit_code(folder, attempt) is not None:
            return _handle(None, folder, attempt)
        found = processes.of_folder(folder, attempt)
        # The runner is the oldest of them.
        return _handle(min(found, key=lambda each: (each.started, each.pid)), folder, attempt) if found else None

    def _owned(self) -> list[Owned]:
        found = processes.below(self._dir)
        return [
            Owned(folder.name, attempt, _handle(process, folder, attempt))
            for (folder, attempt), process in found.items()
        ]


def _environment(launch: JobLaunch, folder: Path, mine: Mapping[str, str]) -> dict[str, str]:
    env = {name: value for name, value in mine.items() if _is_inherited(name, launch.role)}
    cores = len(os.sched_getaffinity(0))
    if launch.role is not JobRole.CUSTOM and cores <= FEW_CORES:
        env.setdefault("OMP_NUM_THREADS", str(max(1, cores - 1) if launch.role is JobRole.TRAINER else 1))
    env["PYTHONUNBUFFERED"] = "1"
    # So that `python` is this Python, which has skyscale, though nobody has activated its virtual environment.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env | dict(launch.env) | launch.settings() | {
        "SKYSCALE_JOB_TIMEOUT_S": str(launch.timeout_s),
        "SKYSCALE_JOB_COMMAND": json.dumps(list(launch.command)),
        processes.FOLDER_VARIABLE: str(folder),
    }  # fmt: skip


def _is_inherited(name: str, role: JobRole) -> bool:
    if name in NEEDED_SECRETS:
        return role is not JobRole.CUSTOM
    if name.startswith("OTEL_"):
        return role is not JobRole.CUSTOM  # headers may hold the receiver's key
    if name.startswith("WANDB_"):
        return role is JobRole.LOGGER  # its key included: that is whom it is for
    return (name in INHERITED or name.startswith(INHERITED_PREFIXES)) and SECRET.search(name) is None


def _handle(process: Process | None, folder: Path, attempt: int) -> str:
    return json.dumps({"process": asdict(process) if process else None, "folder": str(folder), "attempt": attempt})


def _parse(handle: str) -> tuple[Process | None, Path, int]:
    parts = json.loads(handle)
    process = Process(**parts["process"]) if parts["process"] else None
    return process, Path(parts["folder"]), parts["attempt"]


def _exit_code(folder: Path, attempt: int) -> int | None:
    try:
        return int((folder / f"exit-{attempt}").read_text())
    except FileNotFoundError:
        return None


def _stop(folder: Path, process: Process | None, grace_s: float) -> None:
    if process and grace_s > 0:
        process.send(signal.SIGTERM)
        processes.wait_gone(process, grace_s)
    if process:
        process.send(signal.SIGKILL)
    if not processes.kill_all(folder, KILL_DEADLINE_S):
        raise Unavailable(f"processes of {folder.name} survive SIGKILL", code="stop_failed")
    if process:
        process.is_alive()  # reaps it


def _tail(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
