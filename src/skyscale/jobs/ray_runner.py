"""The parent of one job on a Ray node: runs the command, ends it at its hard limit, passes its exit code on.

Its source travels in the job's environment to an isolated interpreter (standard library only), so nothing need be
installed, and what Ray shows as the job's command stays short:

    SKYSCALE_JOB_COMMAND='["python", ...]' SKYSCALE_JOB_TIMEOUT_S=3600 SKYSCALE_JOB_ASK=0 \\
        python -I -S -c "$SKYSCALE_JOB_RUNNER"

- With SKYSCALE_JOB_ASK=1 it asks the control plane first whether this attempt is still wanted: Ray starts a job that
  was stopped while it waited. Runs' processes ask that themselves.
- Ray signals every process of the job by itself on a stop, so SIGTERM is not passed on, only waited through.
- When the command has ended, whatever it left behind in its session is killed.
"""

import contextlib
import ctypes
import json
import os
import signal
import urllib.error
import urllib.request
from typing import NoReturn

PR_SET_PDEATHSIG = 1
EXIT_TIMEOUT, EXIT_CANNOT_START, GONE = 124, 127, 410
ASK_S = 10.0


def main(limit_s: float, command: list[str], *, asks: bool) -> int:
    """Run the command; its exit code, 128 + n for signal n."""
    if asks and _is_given_up():
        _say("this attempt is not wanted any more")
        return 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    me, child = os.getpid(), os.fork()
    if child == 0:
        _become(command, me)
    signal.signal(signal.SIGALRM, lambda _, __: _end(limit_s))
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _become(command: list[str], parent: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        _say(f"cannot start {command[0]!r}: {error.strerror}")
        os._exit(EXIT_CANNOT_START)


def _end(limit_s: float) -> None:
    _say(f"stopped at its hard limit of {limit_s:g} s")
    _leave(EXIT_TIMEOUT)


def _leave(code: int) -> NoReturn:
    session = os.getsid(0)
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the start-up time
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGKILL)
    os._exit(code)


def _is_given_up() -> bool:
    url = f"{os.environ['SKYSCALE_URL']}/api/jobs/{os.environ['SKYSCALE_JOB_ID']}/heartbeat"
    headers = {"Authorization": f"Bearer {os.environ['SKYSCALE_JOB_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, b"{}", headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=ASK_S):
            return False
    except urllib.error.HTTPError as error:
        return error.code == GONE
    except OSError:
        return False


def _say(text: str) -> None:
    os.write(2, f"skyscale: {text}\n".encode())


if __name__ == "__main__":
    os.environ.pop("SKYSCALE_JOB_RUNNER")
    words, limit = json.loads(os.environ.pop("SKYSCALE_JOB_COMMAND")), float(os.environ.pop("SKYSCALE_JOB_TIMEOUT_S"))
    _leave(main(limit, words, asks=os.environ.pop("SKYSCALE_JOB_ASK") == "1"))
