"""The zygote: a small warm interpreter that forks an isolated child for each episode.

    control plane --{"spawn": slot} + [channel, stdout, stderr]--> zygote
    control plane <--{"spawned": slot, "pid"} + [pidfd]------------- zygote
    control plane <--{"failed": slot, "detail"}--------------------- zygote
    control plane <--{"exited": slot, "status"}--------------------- zygote

Single-threaded, one poll loop. It ends, and kills every child, when the control socket closes. Its environment is empty
from birth: a child could read a parent's environment block out of its own memory.
"""

import builtins
import gc
import json
import os
import select
import signal
import socket
import sys

from . import checker, isolate, kernel, programs, runner

PRELOADED = (
    "abc array bisect collections collections.abc contextlib copy dataclasses datetime decimal enum fractions "
    "functools heapq io itertools math numbers operator queue random re statistics string struct textwrap time types "
    "typing unicodedata cmath json traceback linecache encodings.utf_8 encodings.ascii encodings.latin_1"
)
"""What solutions commonly import, paid for once. Others are imported in the episode, from the read-only library."""

_MAX_MESSAGE = 4096
_AS_KNOWN = b"="
"""To the episode: the zygote's layers are those that it has inherited."""


def main(control_fd: int, index: int, tmp_bytes: int) -> None:
    """Serve spawn requests until the control socket closes."""
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # the absent `site` makes them, and programs use them
    for name in PRELOADED.split():
        __import__(name)
    control = socket.socket(fileno=control_fd)
    base = isolate.Base(index)
    base.enter()
    runner.open_streams()
    runner.rehearse()
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"hello": base.layers}).encode())
    _Zygote(control, base, tmp_bytes).serve()


class _Zygote:
    def __init__(self, control: socket.socket, base: isolate.Base, tmp_bytes: int) -> None:
        self.control = control
        self.base = base
        self.tmp_bytes = tmp_bytes
        self.poll = select.poll()
        self.children: dict[int, tuple[int, str]] = {}
        """By pidfd: pid and slot."""

    def serve(self) -> None:
        self.poll.register(self.control, select.POLLIN)
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor != self.control.fileno():
                    self._reap(descriptor)
                elif not self._handle_request():
                    self._end()
                    return

    def _handle_request(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.control, _MAX_MESSAGE, 3)
        except ConnectionResetError:  # it closed with words of ours unread
            return False
        if not message:
            return False
        slot = json.loads(message)["spawn"]
        try:
            self._spawn(slot, *descriptors)
        except OSError as error:
            self._tell({"failed": slot, "detail": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _spawn(self, slot: str, channel: int, stdout: int, stderr: int) -> None:
        gate_out, gate_in = os.pipe()
        known = self.base.layers.copy()
        pid, pidfd = kernel.clone(self.base.clone_flags)
        if pid == 0:
            os.close(gate_in)
            _become_episode(self.base, self.tmp_bytes, gate_out, (channel, stdout, stderr))
        try:
            self.base.map_user(pid)
            is_known = self.base.layers == known
            os.write(gate_in, _AS_KNOWN if is_known else json.dumps(self.base.layers).encode())
        except OSError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(pidfd)
            raise
        finally:
            os.close(gate_out)
            os.close(gate_in)
        self.children[pidfd] = pid, slot
        self.poll.register(pidfd, select.POLLIN)
        self._tell({"spawned": slot, "pid": pid}, [pidfd])

    def _reap(self, pidfd: int) -> None:
        pid, slot = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._tell({"exited": slot, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, object], descriptors: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors or [])
        except BrokenPipeError:
            self._end()
            sys.exit(0)

    def _end(self) -> None:
        for pidfd, (pid, _) in self.children.items():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)


def _become_episode(base: isolate.Base, tmp_bytes: int, gate: int, descriptors: tuple[int, int, int]) -> None:
    """Never returns: the child's whole life, from its first instruction to its end."""
    code = 70
    try:
        layers = os.read(gate, _MAX_MESSAGE)
        if layers:
            if layers != _AS_KNOWN:
                base.layers = json.loads(layers)
            code = _live(base, tmp_bytes, descriptors)
    except BaseException as error:  # noqa: BLE001  nothing may return into the zygote's loop
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _live(base: isolate.Base, tmp_bytes: int, descriptors: tuple[int, int, int]) -> int:
    episode = isolate.Episode(base, tmp_bytes)
    episode.enter(*descriptors)
    runner.send("ready", "ok", "", json.dumps(episode.layers))
    job = runner.receive(json.loads)
    if job is None:
        return 0
    if job["kind"] == "programs":
        return programs.run(job)
    return checker.run(job) if job["kind"] in ("serve", "check") else runner.run(job)
