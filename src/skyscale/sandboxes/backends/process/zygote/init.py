"""The first process of an interactive sandbox: starts programs, ends what they leave, reads and writes files.

    {"op": "run", "id", "language", "code_bytes", "limits"} + [code, stdin, stdout, stderr]  -> {"id", "exited": status}
    {"op": "kill"}                                                                     ends the running program
    {"op": "write", "id", "path"} + [content]                                          -> {"id"} or {"id", "error"}
    {"op": "read", "id", "path", "max"} + [destination]                                -> {"id"} or {"id", "error"}
    {"op": "list", "id", "path", "max"} + [destination]                                -> {"id"} or {"id", "error"}

- It is PID 1 of its namespace: signals from inside do not reach it, and `kill(-1)` is everything but itself.
- A program has ended when its process has; then all that is left is killed and reaped before the reply.
- No program's code runs in this interpreter, and no descriptor of its own goes to a program.
"""

import json
import os
import select
import signal
import socket
import sys
from typing import Any

from . import kernel, workspace_files
from .workspace_isolation import CODE, ENVIRONMENT, WORKSPACE, confine_program

_CHANNEL = 3
_MAX_MESSAGE = 16384
_REAP_MS = 250
"""How soon the dead children of programs stop counting as processes."""
Message = dict[str, Any]


def serve(layers: dict[str, str], readable: list[str], python: str, *, has_landlock: bool) -> int:
    """Serve until the channel closes; returns the exit code."""
    if os.getpid() != 1:
        raise OSError(0, "not the first process of a PID namespace")  # kill(-1) would reach the host
    wake_out, wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    init = _Init(readable, python, has_landlock)
    init.tell({"ready": layers})
    poll = select.poll()
    poll.register(_CHANNEL, select.POLLIN)
    poll.register(wake_out, select.POLLIN)
    while True:
        ready = dict(poll.poll(_REAP_MS if init.running else None))
        if wake_out in ready:
            os.read(wake_out, 4096)
        init.reap()
        if _CHANNEL in ready and not init.handle():
            return 0


def _nothing(signum: int, frame: object) -> None:
    """A handler must exist for the wake-up descriptor to be written to."""


def open_channel(descriptor: int) -> socket.socket:
    """The socket to the control plane; its kind is said here, because the filter refuses to let Python ask."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=descriptor)


class _Init:
    def __init__(self, readable: list[str], python: str, has_landlock: bool) -> None:
        self.channel = open_channel(_CHANNEL)
        self.files = workspace_files.Files(WORKSPACE)
        self.readable = readable
        self.python = python
        self.has_landlock = has_landlock
        self.running: tuple[str, int] | None = None
        """Id of the command, pid of its process."""
        self.source = ""

    def tell(self, message: Message) -> None:
        self.channel.send(json.dumps(message).encode())

    def handle(self) -> bool:
        """One request; False when the other side has gone."""
        data, descriptors, _, _ = socket.recv_fds(self.channel, _MAX_MESSAGE, 4, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        request = json.loads(data)
        try:
            if request["op"] == "kill":
                _kill_all()
            elif request["op"] == "run":
                self._run(request, descriptors)
            else:
                self._file(request, descriptors[0])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _file(self, request: Message, descriptor: int) -> None:
        try:
            if request["op"] == "write":
                self.files.write(request["path"], descriptor)
            elif request["op"] == "read":
                self.files.read(request["path"], descriptor, request["max"])
            else:
                self.files.entries(request["path"], descriptor, request["max"])
        except OSError as error:
            self.tell({"id": request["id"], "error": workspace_files.trouble_of(error)})
        else:
            self.tell({"id": request["id"]})

    def _run(self, request: Message, descriptors: list[int]) -> None:
        is_python = request["language"] == "python3"
        self.source = f"{CODE}/main-{request['id'][-8:]}{'.py' if is_python else '.sh'}"
        try:
            workspace_files.copy_to(self.source, descriptors[0])
            pid = os.fork()
        except OSError as error:
            self._forget_source()
            self.tell({"id": request["id"], "error": str(error)})
            return
        if pid == 0:
            argv = [self.python, "-P", "-s", "-B", self.source] if is_python else ["/bin/bash", self.source]
            self._become(argv, request["limits"], descriptors[1:])
        self.running = request["id"], pid

    def _become(self, argv: list[str], limits: dict[str, int], streams: list[int]) -> None:
        """Never returns: the process becomes the program."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            for target, source in enumerate(streams, start=240):
                os.dup2(source, target)
            for target in (0, 1, 2):
                os.dup2(240 + target, target)
            kernel.close_from(3)
            os.setsid()
            os.chdir(WORKSPACE)
            confine_program(limits, self.readable, has_landlock=self.has_landlock)
            os.execve(argv[0], argv, ENVIRONMENT)
        except BaseException as error:  # noqa: BLE001  nothing may return into the loop
            os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(126)

    def reap(self) -> None:
        """Take in the dead; when the command's own process is among them, end the rest and say so."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.running is not None and pid == self.running[1]:
                self._finish(self.running[0], os.waitstatus_to_exitcode(status))

    def _finish(self, command_id: str, status: int) -> None:
        _kill_all()
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        self.running = None
        self._forget_source()
        self.tell({"id": command_id, "exited": status})

    def _forget_source(self) -> None:
        try:
            os.unlink(self.source)  # noqa: PTH108
        except FileNotFoundError:
            sys.stderr.flush()


def _kill_all() -> None:
    """Everything in this PID namespace but this process."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
