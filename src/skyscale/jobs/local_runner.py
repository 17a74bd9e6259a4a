"""The parent of one local job: runs the command, outlives the control plane, and leaves its exit code on disk.

Started by path with an isolated interpreter (standard library only, about 20 ms), leader of its own session:

    SKYSCALE_JOB_COMMAND='["python", "-m", ...]' python -I -S local_runner.py <folder> <attempt>

- Holds `<folder>/lock` for its life and its child's, so two attempts of a job never run at once, whoever starts them.
- Writes `exit-<attempt>`, the exit code, when the command has ended; then ends what is left of its group.
- The command is not among its arguments, so that whoever lists processes sees each job once.
- After `SKYSCALE_JOB_TIMEOUT_S` the group is killed and the exit code is 124, whether a control plane lives or not.
- SIGTERM is passed on to the group once. If this process is killed, the kernel kills the command.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
EXIT_LOCKED = 75
"""Another attempt still runs."""
EXIT_TIMEOUT = 124
"""It ran past its hard limit."""


def main(folder: str, attempt: str, command: list[str], timeout_s: float) -> int:
    """Run the command to its end; never returns normally once it ran, since the whole group is killed last."""
    os.chdir(folder)
    lock = os.open("lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _write(f"exit-{attempt}", str(EXIT_LOCKED))
        _say("another attempt of this job is still running")
        return EXIT_LOCKED
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _pass_on)
    me, child = os.getpid(), os.fork()
    if child == 0:
        _become(command, me, lock, libc)
    _limit(timeout_s, f"exit-{attempt}")
    code = _wait(child)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _write(f"exit-{attempt}", str(code))
    os.killpg(0, signal.SIGKILL)
    return code


def _become(command: list[str], parent: int, lock: int, libc: ctypes.CDLL) -> None:
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
    os.set_inheritable(lock, True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        _say(f"cannot start {command[0]!r}: {error.strerror}")
        os._exit(127)


def _pass_on(_: int, __: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)


def _limit(timeout_s: float, exit_file: str) -> None:
    def end(_: int, __: FrameType | None) -> None:
        _say(f"stopped at its hard limit of {timeout_s:g} s")
        _write(exit_file, str(EXIT_TIMEOUT))
        os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)


def _wait(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)  # also reaps orphans, which the kernel hands to us
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def _write(name: str, text: str) -> None:
    with open(f"{name}.tmp", "w") as file:  # noqa: PTH123 - pathlib would double the start-up time
        file.write(text)
    os.replace(f"{name}.tmp", name)  # noqa: PTH105


def _say(text: str) -> None:
    os.write(2, f"skyscale: {text}\n".encode())


if __name__ == "__main__":
    words, limit = json.loads(os.environ.pop("SKYSCALE_JOB_COMMAND")), float(os.environ.pop("SKYSCALE_JOB_TIMEOUT_S"))
    sys.exit(main(sys.argv[1], sys.argv[2], words, limit))
