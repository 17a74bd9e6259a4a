"""A real Ray cluster of two simulated nodes on loopback: head and one more, 127.0.0.2 and 127.0.0.3.

Every process of it is found by the temporary folder in its environment and ended by its pid; `ray stop` would end every
Ray of the machine. Object stores are small and the CPUs are declared, not taken.
"""

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

RAY = Path(sys.executable).parent / "ray"
STORE_BYTES = 80 * 1024 * 1024
START_S = 240.0


@dataclass(frozen=True)
class RayCluster:
    """Where the cluster's Jobs API listens."""

    address: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def shared() -> RayCluster:
    """The cluster of this test session, started when it is first asked for and ended with the session."""
    if not RAY.exists():
        pytest.skip("Ray is not installed (about 400 MB with what it needs): `make test-ray` installs it")
    stack = contextlib.ExitStack()
    cluster = stack.enter_context(two_nodes())
    atexit.register(stack.close)
    return cluster


@contextmanager
def two_nodes() -> Generator[RayCluster]:
    """Start both nodes of two cores and two accelerators each, wait until they are up, and end all of it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    gcs, dashboard = free_port(), free_port()
    try:
        listen = [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
        _start(folder, "127.0.0.2", ["--head", *listen, '--resources={"accelerator_type:A100": 1}'], 30000)
        join = [f"--address=127.0.0.2:{gcs}", '--resources={"accelerator_type:L4": 1}']
        _start(folder, "127.0.0.3", join, 31000, market="spot")
        address = f"http://127.0.0.1:{dashboard}"
        _wait(address)
        yield RayCluster(address)
    finally:
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, host: str, more: list[str], ports: int, market: str = "") -> None:
    env = os.environ | {
        "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_ENABLE_METRICS_COLLECTION": "0",
        "RAY_NODE_MARKET_TYPE": market,
    }  # fmt: skip
    words = [
        str(RAY), "start", f"--node-ip-address={host}", "--num-cpus=2", "--num-gpus=2", "--disable-usage-stats",
        f"--object-store-memory={STORE_BYTES}", f"--dashboard-agent-listen-port={free_port()}",
        f"--min-worker-port={ports}", f"--max-worker-port={ports + 900}",
        f"--temp-dir={folder}", *more,
    ]  # fmt: skip
    if "--head" not in more:
        words = [word for word in words if not word.startswith("--temp-dir")]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=START_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(address: str) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            if httpx.get(f"{address}/api/jobs/", timeout=10, trust_env=False).status_code == 200:
                return
        time.sleep(0.5)
    raise AssertionError("Ray's Jobs API did not come up")


def _end(folder: Path) -> None:
    mark = f"RAY_TMPDIR={folder}".encode()
    until = time.monotonic() + 30
    while (left := _marked(mark)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def _marked(mark: bytes) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found
