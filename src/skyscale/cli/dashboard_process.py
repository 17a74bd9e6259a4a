"""The dashboard's server as one child process that ends when we do, however we end.

- It runs in a process group of its own: Ctrl-C reaches us alone, and we end it in order.
- It ends by itself when its stdin closes, which the kernel does for us even on SIGKILL; on Linux the kernel sends it
  SIGTERM too (PR_SET_PDEATHSIG).
- Its output goes to a file, and the end of that file into the message if it cannot start: the cause, not a guess.
- Started before the control plane, when this process has one thread: what runs between fork and exec is then safe.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from skyscale.errors import Unavailable

READY_S = 90.0
STOP_S = 5.0
POLL_S = 0.1
NUM_PORTS = 20
PR_SET_PDEATHSIG = 1
TAIL_LINES = 8
KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "DATABASE_URL", "NODE_EXTRA_CA_CERTS", "SYSTEMROOT")
KEPT_PREFIXES = ("SKYSCALE_", "BETTER_AUTH_", "GRAFANA_", "LC_", "PG")


def setup_code() -> str:
    """A code for the first account, 80 random bits in letters that are not mistaken for each other."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def free_port(host: str, wanted: int, *, is_exact: bool) -> int:
    """The wanted port, or the next free one after it. Raises Unavailable when exactly this one is taken."""
    for port in range(wanted, wanted + (1 if is_exact else NUM_PORTS)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Unavailable(
        f"port {wanted} is taken" if is_exact else f"the ports {wanted} to {wanted + NUM_PORTS - 1} are taken",
        code="address_in_use", hint="choose another --dashboard-port (0 takes a free one)",
    )  # fmt: skip


class DashboardProcess:
    """Started at once; `wait_until_ready` says when it answers."""

    def __init__(
        self, node: Path, bundle: Path, *, host: str, port: int, log_path: Path, settings: Mapping[str, str]
    ) -> None:
        # Next reads the address to listen on from HOSTNAME, which elsewhere is the machine's name.
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        self.url = f"http://{shown}:{port}"
        self.log_path = log_path
        environment = environment_for(os.environ) | dict(settings)
        environment |= {"HOSTNAME": host, "PORT": str(port), "NODE_ENV": "production", "SKYSCALE_ENDS_WITH_STDIN": "1"}
        environment["NEXT_TELEMETRY_DISABLED"] = "1"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [node, "--require", "./preload.cjs", "server.js"],
                cwd=bundle, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,
                preexec_fn=_ends_with_us(),  # noqa: PLW1509 - see the module's docstring
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def wait_until_ready(self, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Return when it answers. Raises Unavailable, with the end of its log, when it ends or takes too long."""
        deadline = time.monotonic() + READY_S
        while not is_stopping():
            if self.has_ended():
                raise self._trouble(f"ended with exit code {self._process.returncode}")
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise self._trouble(f"has not answered for {READY_S:.0f} s")
            time.sleep(POLL_S)

    def needs_setup(self) -> bool:
        """Whether there is no account yet."""
        return b'"isSetupNeeded":true' in self._get("/api/account")

    def stop(self) -> None:
        """End it; safe to call twice."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def tail(self) -> str:
        """The end of its log, without the frames of stacks."""
        said = self.log_path.read_text(errors="replace").strip().splitlines()
        lines = [line for line in said if line.strip() and not line.startswith("    at ")][-TAIL_LINES:]
        return "\n  ".join(lines or ["(it wrote nothing)"])

    def _answers(self) -> bool:
        try:
            return bool(self._get("/api/account"))
        except (URLError, OSError):
            return False

    def _get(self, path: str) -> bytes:
        # Not the SDK: this is not the control plane. No proxy of the environment stands between us and our child.
        with build_opener(ProxyHandler({})).open(self.url + path, timeout=10) as reply:
            return reply.read()

    def _trouble(self, what: str) -> Unavailable:
        return Unavailable(
            f"the dashboard {what}:\n  {self.tail()}", code="dashboard_failed", hint=f"its whole log is {self.log_path}"
        )


def environment_for(ours: Mapping[str, str]) -> dict[str, str]:
    """What of our environment is the dashboard's business; cloud credentials are not."""
    return {name: value for name, value in ours.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}


def _ends_with_us() -> Callable[[], None] | None:
    """For the child, between fork and exec: be told when our parent ends. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask
