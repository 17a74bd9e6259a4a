"""Carries an interactive sandbox's requests and output between one stream to the host and its first process.

    host --D data, Q request--> porter --request + files in memory, pipes--> zygote/init.py --> programs
    host <--R layers, O, E output, F content, A answer, B broken-- porter <--replies, pipes-- zygote/init.py

- Data that precede a request belong to it: the source and the input of a program, or the content of a file.
- What a program printed is sent before the answer that says it ended: by then every process of it is gone.
- It watches the memory and the number of all processes together, and has a program ended that exceeds its limits.
- No program's code runs in this process, and none can reach it: it lives outside of their PID namespace.
"""

import json
import os
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyscale.sandboxes.backends.process.workspaces.memory import WATCH_S
    from skyscale.sandboxes.guest.inside.line import Line
else:  # in the machine only this folder exists
    from sandboxes.backends.process.workspaces.memory import WATCH_S
    from sandboxes.guest.inside.line import Line

_CHUNK = 64 * 1024
_MAX_MESSAGE = 65536
_MAX_DATA = 256 * 1024 * 1024
Message = dict[str, Any]


class Porter:
    """One sandbox's."""

    def __init__(self, line: Line, init: socket.socket, usage: Callable[[], tuple[int, int]]) -> None:
        """`usage` tells the resident bytes and the number of all processes of the sandbox."""
        self._line, self._init, self._usage = line, init, usage
        self._poll = select.poll()
        self._sources: dict[int, Callable[[], bool]] = {}
        self._data = bytearray()
        self._results: dict[str, int] = {}
        """By request: the file in memory that takes what is read."""
        self._running: Message | None = None
        self._outputs: dict[int, bytes] = {}
        self._watched_at = 0.0

    def serve(self) -> None:
        """Until the host or the first process goes away."""
        self._listen(self._line.descriptor, self._from_host)
        self._listen(self._init.fileno(), self._from_init)
        while True:
            timeout = WATCH_S * 1000 if self._running else None
            for descriptor, _ in self._poll.poll(timeout):
                if descriptor in self._sources and not self._sources[descriptor]():
                    return
            self._watch()

    def _listen(self, descriptor: int, source: Callable[[], bool]) -> None:
        self._sources[descriptor] = source
        self._poll.register(descriptor, select.POLLIN)

    # -- from the host -------------------------------------------------------------------------------------------

    def _from_host(self) -> bool:
        kind, body = self._line.receive()
        if kind == b"D" and len(self._data) + len(body) <= _MAX_DATA:
            self._data += body
        elif kind == b"Q":
            self._request(json.loads(body))
        else:
            return False
        return True

    def _request(self, request: Message) -> None:
        data, self._data = self._data, bytearray()
        operation, files = request["op"], list[int]()
        try:
            if operation == "run":
                size = request.pop("code_bytes")
                files = [_file(data[:size]), _file(data[size:]), *self._pipes()]
                self._running = request
            elif operation == "write":
                files = [_file(data)]
            elif operation in ("read", "list"):
                files = [_file(b"")]
                self._results[request["id"]] = os.dup(files[0])
            socket.send_fds(self._init, [json.dumps(request).encode()], files)
        finally:
            for descriptor in files:
                os.close(descriptor)

    def _pipes(self) -> list[int]:
        """The program's ends of two pipes; ours are listened to."""
        theirs: list[int] = []
        for kind in (b"O", b"E"):
            reading, writing = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reading, False)
            self._outputs[reading] = kind
            self._listen(reading, lambda reading=reading: self._from_pipe(reading))
            theirs.append(writing)
        return theirs

    # -- from inside ---------------------------------------------------------------------------------------------

    def _from_pipe(self, descriptor: int) -> bool:
        """One piece of output; True, since its end is nothing special."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        if data:
            self._line.send(self._outputs[descriptor], data)
        else:
            self._forget(descriptor)
        return True

    def _forget(self, descriptor: int) -> None:
        del self._sources[descriptor], self._outputs[descriptor]
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _from_init(self) -> bool:
        data = self._init.recv(_MAX_MESSAGE)
        message: Message = json.loads(data) if data else {"broken": "its first process ended"}
        if "broken" in message:
            self._line.send(b"B", json.dumps(message).encode())
            return False
        if self._running is not None and message["id"] == self._running["id"]:
            for descriptor in list(self._outputs):
                while descriptor in self._outputs:  # every writer is gone, so each has an end
                    self._from_pipe(descriptor)
            message["verdict"] = self._running.get("verdict")
            self._running = None
        result = self._results.pop(message["id"], None)
        if result is not None:
            self._send_result(result, is_wanted="error" not in message)
        self._line.send(b"A", json.dumps(message).encode())
        return True

    def _send_result(self, descriptor: int, *, is_wanted: bool) -> None:
        offset = 0
        while is_wanted and (piece := os.pread(descriptor, _CHUNK, offset)):
            self._line.send(b"F", piece)
            offset += len(piece)
        os.close(descriptor)

    def _watch(self) -> None:
        """A few times a second while a program runs."""
        if self._running is None or time.monotonic() < self._watched_at + WATCH_S:
            return
        self._watched_at = time.monotonic()
        limits = self._running["limits"]
        num_bytes, num_processes = self._usage()
        if "verdict" in self._running:
            return
        if num_bytes > limits["memory_bytes"]:
            self._running["verdict"] = "memory"
        elif num_processes > limits["max_processes"] + _SPARE_PROCESSES:
            self._running["verdict"] = "processes"
        if "verdict" in self._running:
            self._init.send(json.dumps({"op": "kill"}).encode())


_SPARE_PROCESSES = 16
"""Beyond the limit before they are counted against it: the kernel's own limit answers first, where it has one."""


def _file(content: bytes | bytearray) -> int:
    """A new file in memory, to be read from its beginning."""
    descriptor = os.memfd_create("content", os.MFD_CLOEXEC)
    data = memoryview(content)
    while data:
        data = data[os.write(descriptor, data) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
