"""A control plane of its own for a benchmark: a child process on a free loopback port, gone when the block ends."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from skyscale.errors import SkyscaleError
from skyscale.sdk.client import Client

START_TIMEOUT_S = 60.0


@contextmanager
def control_plane() -> Generator[Client]:
    """A client of a fresh `skyscale serve`; raises TimeoutError with its log if it does not answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "serve.log"
        command = [sys.executable, "-m", "skyscale.cli.main", "serve", "--port", str(port), "--data-dir", folder]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        try:
            client = Client(f"http://127.0.0.1:{port}")
            _wait_until_it_answers(client, process, log)
            with client:
                yield client
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_it_answers(client: Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.health()
        except SkyscaleError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"the control plane did not answer:\n{log.read_text()}")
