"""The demo's control plane: a child process with a folder, a port and an environment of its own.

- It is started in a session of its own, so that Ctrl-C reaches the demo alone and the demo ends it in order.
- Ending: SIGTERM, on which the control plane stops its jobs; SIGKILL after a deadline, for it and for what is left.
- If the demo is killed, the kernel sends the control plane SIGTERM (Linux; PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from skyscale.cli.serve import make_folder
from skyscale.errors import Unavailable

READY_S = 90.0
# Open calls get 10 s to end and jobs as long again before the control plane kills them; a little more than that.
STOP_S = 30.0
PR_SET_PDEATHSIG = 1


def new_folder(parent: Path) -> Path:
    """A folder in `parent`, named for now, that does not exist yet."""
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    return next(path for path in (parent / f"{name}{tail}" for tail in ("", *"bcdefgh")) if not path.exists())


class DemoServer:
    """`skyscale serve` for the length of a `with` block."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.absolute()
        self.log_path = self.folder / "control-plane.log"
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        make_folder(self.folder)
        arguments = ["serve", "--host", "127.0.0.1", "--port", str(self.port), "--data-dir", str(self.folder)]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "skyscale.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
                preexec_fn=_dies_with_us(),  # noqa: PLW1509 - the demo has no other threads
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise Unavailable, with the end of its log, if the control plane has ended."""
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            tail = self.log_path.read_text(errors="replace").strip().splitlines()[-8:]
            raise Unavailable(
                f"the control plane ended with exit code {code}:\n  " + "\n  ".join(tail or ["(it wrote nothing)"]),
                code="control_plane_ended",
                hint=f"its whole log is {self.log_path}",
            )

    def wait_until_ready(self) -> None:
        """Return when it answers. Raises Unavailable when it ends or takes longer than `READY_S`."""
        from skyscale.sdk.client import Client

        deadline = time.monotonic() + READY_S
        with Client(self.url, retry_for_s=0.0, timeout_s=5.0) as client:
            while True:
                self.check()
                try:
                    return client.health()
                except Unavailable:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)

    def stop(self) -> None:
        """End it and everything it started; safe to call twice. Signals are ignored meanwhile."""
        process, self._process = self._process, None
        if process is None:
            return
        ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in ignored]
        try:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            kill_left_overs(self.folder)
        finally:
            for number, handler in before:
                signal.signal(number, handler)


def kill_left_overs(folder: Path) -> list[int]:
    """SIGKILL the processes whose environment says that they are jobs kept in this folder; returns their pids.

    A control plane that ended in order leaves none; one that was killed leaves jobs that wait for its return.
    """
    mark = f"SKYSCALE_JOB_FOLDER={folder.absolute()}{os.sep}".encode()
    killed: list[int] = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if any(each.startswith(mark) for each in environ.read_bytes().split(b"\0")):
                os.kill(int(environ.parent.name), signal.SIGKILL)
                killed.append(int(environ.parent.name))
        except OSError:
            continue  # it has ended meanwhile, or belongs to someone else
    return killed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _environment() -> dict[str, str]:
    """Ours without the settings of some other control plane."""
    from skyscale.settings import Settings

    foreign = {field.alias for field in Settings.model_fields.values()}
    return {name: value for name, value in os.environ.items() if name not in foreign}


def _dies_with_us() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    # Loaded before the fork: the child may only make calls that are safe between fork and exec.
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)  # the demo was killed before the kernel knew to tell

    return prepare
