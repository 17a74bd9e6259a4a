"""The zygote: a small warm interpreter that forks an isolated child for each episode.

    control plane --{"spawn": [slot, ..]} + [channel, stdout, stderr] of each--> zygote
    control plane <--{"spawned": {slot: pid, ..}} + [pidfd] of each-------------- zygote
    control plane <--{"failed": slot, "detail"}---------------------------------- zygote
    control plane <--{"exited": slot, "status"}---------------------------------- zygote

The children of one request are forked back to back: after each fork the zygote copies every page that it writes to,
some 170 of them for a request, and this way once for all.
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

from . import checker, isolate, kernel, programs, runner, steps

PRELOADED = (
    "abc array bisect collections collections.abc contextlib copy dataclasses datetime decimal enum fractions "
    "functools heapq io itertools math numbers operator queue random re statistics string struct textwrap time types "
    "typing unicodedata cmath json traceback linecache encodings.utf_8 encodings.ascii encodings.latin_1"
)
"""What solutions commonly import, paid for once. Others are imported in the episode, from the read-only library."""

MAX_LOT = 8
"""Children of one request."""
_MAX_MESSAGE = 4096
_CONTROL, _STDOUT, _STDERR = 20, 21, 22
"""Where the control socket and our own streams are: the numbers below 4 are lent to each child in turn."""
_PLACES = (3, 1, 2)
"""Of an episode's channel, stdout and stderr."""
_GO = b"="


def main(control_fd: int, index: int, tmp_bytes: int) -> None:
    """Serve spawn requests until the control socket closes."""
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # the absent `site` makes them, and programs use them
    for name in PRELOADED.split():
        __import__(name)
    gc.collect()
    control = _arrange_descriptors(control_fd)
    base = isolate.Base(index)
    base.enter()
    base.prepare(tmp_bytes)
    runner.open_streams()
    runner.rehearse()
    runner.fix_random_state()
    zygote = _Zygote(control, base)
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"hello": base.layers}).encode())
    zygote.serve()


def _arrange_descriptors(control_fd: int) -> socket.socket:
    """Our own above those that children get, and the low ones taken, so that nothing else comes to lie there."""
    for source, target in ((control_fd, _CONTROL), (1, _STDOUT), (2, _STDERR)):
        if source != target:
            os.dup2(source, target, inheritable=False)
    if control_fd not in (_CONTROL, _STDOUT, _STDERR):
        os.close(control_fd)
    for number in (_PLACES[0], *steps.FREE):
        os.dup2(0, number, inheritable=False)
    return socket.socket(fileno=_CONTROL)


class _Zygote:
    def __init__(self, control: socket.socket, base: isolate.Base) -> None:
        self.control = control
        self.base = base
        self.poll = select.poll()
        self.children: dict[int, tuple[int, str]] = {}
        """By pidfd: pid and slot."""
        self.ready = runner.frame("ready", "ok", "", json.dumps(base.promised))

    def serve(self) -> None:
        self.poll.register(self.control, select.POLLIN)
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor != _CONTROL:
                    self._reap(descriptor)
                elif not self._handle_request():
                    self._end()
                    return

    def _handle_request(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.control, _MAX_MESSAGE, 3 * MAX_LOT)
        except ConnectionResetError:  # it closed with words of ours unread
            return False
        if not message:
            return False
        slots = json.loads(message)["spawn"]
        try:
            self._spawn(slots, descriptors)
        except OSError as error:
            for slot in slots:
                self._tell({"failed": slot, "detail": str(error)})
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _spawn(self, slots: list[str], descriptors: list[int]) -> None:
        gate_out, gate_in = os.pipe()
        try:
            born, error = self._fork_all(len(slots), descriptors, gate_out, gate_in)
            spawned: dict[str, int] = {}
            pidfds: list[int] = []
            for slot, (pid, pidfd) in zip(slots, born, strict=False):
                trouble = self._map(pid)
                if trouble is not None:
                    _bury(pid, pidfd)
                    self._tell({"failed": slot, "detail": trouble})
                    continue
                spawned[slot] = pid
                pidfds.append(pidfd)
                self.children[pidfd] = pid, slot
                self.poll.register(pidfd, select.POLLIN)
            os.write(gate_in, _GO * len(spawned))
        finally:
            os.close(gate_out)
            os.close(gate_in)
        for slot in slots[len(born) :]:
            self._tell({"failed": slot, "detail": error})
        if spawned:
            self._tell({"spawned": spawned}, pidfds)

    def _fork_all(
        self, number: int, descriptors: list[int], gate_out: int, gate_in: int
    ) -> tuple[list[tuple[int, int]], str]:
        """Pid and pidfd of each child, and why there are not as many as wanted; they wait at the gate."""
        born: list[tuple[int, int]] = []
        flags = self.base.clone_flags
        try:
            for start in range(0, 3 * number, 3):
                for offset, place in enumerate(_PLACES):
                    os.dup2(descriptors[start + offset], place)
                child = kernel.clone(flags)
                if child[0] == 0:
                    os.close(gate_in)
                    _become_episode(self.base, self.ready, gate_out)
                born.append(child)
        except (OSError, IndexError) as error:  # an IndexError: descriptors got lost on the way, there were too many
            return born, f"{type(error).__name__}: {error}"
        finally:
            for own, place in zip((0, _STDOUT, _STDERR), _PLACES, strict=True):
                os.dup2(own, place)
        return born, ""

    def _map(self, pid: int) -> str | None:
        """Give the child its user; what went wrong, else None."""
        known = self.base.layers.get("own uid")
        try:
            self.base.map_user(pid)
        except OSError as error:
            return str(error)
        if self.base.layers.get("own uid") == known:
            return None
        self.base.promised["own uid"] = self.base.layers["own uid"]
        self.ready = runner.frame("ready", "ok", "", json.dumps(self.base.promised))
        return "it would not say what uid it has"  # it was forked with the words that held until now

    def _reap(self, pidfd: int) -> None:
        pid, slot = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._tell({"exited": slot, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, object], descriptors: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors or [])
        except (BrokenPipeError, ConnectionResetError):  # the latter once, when it closed with words of ours unread
            self._end()
            sys.exit(0)

    def _end(self) -> None:
        for pidfd, (pid, _) in self.children.items():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)


def _bury(pid: int, pidfd: int) -> None:
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pidfd)


def _become_episode(base: isolate.Base, ready: bytes, gate: int) -> None:
    """Never returns: the child's whole life, from its first instruction to its end."""
    code = 70
    try:
        if os.read(gate, 1):
            code = _live(base, ready)
    except BaseException as error:  # noqa: BLE001  nothing may return into the zygote's loop
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _live(base: isolate.Base, ready: bytes) -> int:
    differs = isolate.enter_episode(base)
    if differs:
        ready = runner.frame("ready", "ok", "", json.dumps(base.promised | differs))
    runner.write_all(runner.CHANNEL, ready)
    job = runner.receive(json.loads)
    if job is None:
        return 0
    if job["kind"] == "programs":
        return programs.run(job)
    return checker.run(job) if job["kind"] in ("serve", "check") else runner.run(job)
