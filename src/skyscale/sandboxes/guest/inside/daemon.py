"""The first process of a virtual machine: bring it up, make one episode ready, relay between it and the host.

With `skyscale=workspace` on the kernel's command line it is an interactive sandbox instead of an episode.

    host --S entropy, clock--> daemon            daemon --R layers, S done--> host
    host --C channel bytes---> daemon --fd--> episode --fds--> daemon --C channel, O stdout, E stderr, X exit--> host

- The episode is made by the process backend's zygote, in this machine's own namespaces: the same code.
- A snapshot is taken after `R`. Every machine restored from it is told fresh entropy and the time before it gets a job,
  so that no two of them draw the same random numbers.
- Messages are one letter, a 4-byte big-endian length, and that many bytes. Output that was printed before a frame is
  sent before it.
- Ends the machine when the episode's exit has been told and the host goes away; the host kills it earlier.
"""

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyscale.sandboxes.backends.process.zygote import kernel
    from skyscale.sandboxes.guest.inside.line import Line
else:  # in the machine only this folder exists
    from sandboxes.backends.process.zygote import kernel
    from sandboxes.guest.inside.line import Line

VSOCK_PORT = 5252
PORT_NAME = "skyscale"
TMP_BYTES = 16 * 1024 * 1024
_CHUNK = 32 * 1024
_RNDADDENTROPY, _RNDRESEEDCRNG = 0x40085203, 0x5207
_PYTHON = (sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c")
_WORKSHOP = (
    "import sys; sys.path.insert(0, '/skyscale'); from sandboxes.guest.inside.workshop import main; "
    "del sys.path[0]; main({fd})"
)
_ZYGOTE = (
    "import sys; sys.path.insert(0, '/skyscale'); from sandboxes.backends.process.zygote.main import main; "
    "del sys.path[0]; main({fd}, 0, {tmp_bytes})"
)


def main() -> None:
    """Never returns."""
    for kind, path in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        kernel.mount(kind, path, kind, kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    made = (
        Workshop() if "skyscale=workspace" in Path("/proc/cmdline").read_text(encoding="ascii").split() else Episode()
    )
    line = SerialLine() if _port() else VsockLine()
    line.send(b"R", json.dumps(made.layers).encode())
    Relay(line, made).serve()


class Episode:
    """A zygote, and the one episode that it is asked for."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        boot = _ZYGOTE.format(fd=theirs.fileno(), tmp_bytes=TMP_BYTES)
        subprocess.Popen(
            [*_PYTHON, boot], env={"PYTHONHASHSEED": "0"}, pass_fds=(theirs.fileno(),), cwd="/",
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.control = ours
        self._expect("hello")
        self.channel, channel = socket.socketpair()
        self.stdout, stdout = os.pipe()
        self.stderr, stderr = os.pipe()
        socket.send_fds(ours, [b'{"spawn": ["episode"]}'], [channel.fileno(), stdout, stderr])
        channel.close()
        os.close(stdout)
        os.close(stderr)
        self._expect("spawned")
        for descriptor in (self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        self.hello = self._first_frame()
        self.layers: dict[str, str] = json.loads(self.hello.decode().split("\n", 3)[3])

    def _expect(self, word: str) -> None:
        message = self.receive()
        if word not in message:
            raise OSError(0, f"the zygote said {message}")

    def receive(self) -> dict[str, Any]:
        """The zygote's next message; its process descriptor is not needed here."""
        data, descriptors, _, _ = socket.recv_fds(self.control, 8192, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        return json.loads(data) if data else {}

    def _first_frame(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.channel.recv(size - len(data))
            if not piece:
                raise OSError(0, os.read(self.stderr, 1000).decode("utf-8", "replace"))
            data += piece
        return data


class Workshop:
    """A process that keeps one interactive sandbox; its channel is relayed as an episode's is."""

    def __init__(self) -> None:
        self.channel, channel = socket.socketpair()
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stdout, stdout = os.pipe()
        self.stderr, stderr = os.pipe()
        subprocess.Popen(
            [*_PYTHON, _WORKSHOP.format(fd=channel.fileno())], env={"PYTHONHASHSEED": "0"}, cwd="/",
            pass_fds=(channel.fileno(), control.fileno()), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
        for end in (channel, control):
            end.close()
        for descriptor in (stdout, stderr):
            os.close(descriptor)
        for descriptor in (self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        kind, body = Line(self.channel.fileno()).receive()
        if kind != b"R":
            raise OSError(0, os.read(self.stderr, 1000).decode("utf-8", "replace"))
        self.layers: dict[str, str] = json.loads(body)

    def receive(self) -> dict[str, Any]:
        """Nothing is ever said on it: its end is the process's."""
        return {} if not self.control.recv(1) else {"status": None}


class SerialLine(Line):
    """A virtio-serial port: between a snapshot and its restore the host is away, and reads return nothing."""

    is_patient = True

    def __init__(self) -> None:
        super().__init__(os.open(f"/dev/{_port()}", os.O_RDWR))


class VsockLine(Line):
    """A vsock connection, for Firecracker; connections do not survive a snapshot, listeners do."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self._listener.bind((socket.VMADDR_CID_ANY, VSOCK_PORT))
        self._listener.listen(1)
        self._connection = self._listener.accept()[0]
        super().__init__(self._connection.fileno())

    def wait_for_host(self) -> None:
        """Accept the next host."""
        self._connection.close()
        self._connection = self._listener.accept()[0]
        self.descriptor = self._connection.fileno()


class Relay:
    """The daemon's loop."""

    def __init__(self, line: Line, episode: Episode | Workshop) -> None:
        self._line = line
        self._episode = episode
        self._poll = select.poll()
        self._sources: dict[int, Callable[[], None]] = {
            line.descriptor: self._from_host,
            episode.channel.fileno(): self._from_channel,
            episode.stdout: lambda: self._from_pipe(episode.stdout, b"O"),
            episode.stderr: lambda: self._from_pipe(episode.stderr, b"E"),
            episode.control.fileno(): self._from_zygote,
        }

    def serve(self) -> None:
        """Relay until the machine is killed."""
        for descriptor in self._sources:
            self._poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor == self._line.descriptor and not events & select.POLLIN:
                    self._await_host()
                elif descriptor in self._sources:
                    self._sources[descriptor]()

    def _from_host(self) -> None:
        kind, body = self._line.receive()
        if not kind:
            self._await_host()
        elif kind == b"S":
            self._become_someone(json.loads(body))
        elif kind == b"C":
            try:
                self._episode.channel.sendall(body)
            except OSError:
                return  # it has ended, which its exit status tells

    def _await_host(self) -> None:
        """The host hung up; the next one may come over another descriptor."""
        self._forget(self._line.descriptor)
        self._line.wait_for_host()
        self._sources[self._line.descriptor] = self._from_host
        self._poll.register(self._line.descriptor, select.POLLIN)

    def _become_someone(self, identity: dict[str, Any]) -> None:
        """Fresh entropy into the kernel's generator, the host's clock, and a word that proves both."""
        entropy = bytes.fromhex(identity["entropy"])
        descriptor = os.open("/dev/urandom", os.O_RDWR)
        fcntl.ioctl(descriptor, _RNDADDENTROPY, struct.pack("ii", 8 * len(entropy), len(entropy)) + entropy)
        fcntl.ioctl(descriptor, _RNDRESEEDCRNG)
        os.close(descriptor)
        time.clock_settime(time.CLOCK_REALTIME, identity["time"])
        sample = os.urandom(16).hex()
        self._line.send(b"S", json.dumps({"id": identity["id"], "sample": sample, "time": time.time()}).encode())

    def _from_channel(self) -> None:
        data = self._episode.channel.recv(_CHUNK)
        self._from_pipe(self._episode.stdout, b"O")
        self._from_pipe(self._episode.stderr, b"E")
        self._line.send(b"C", data)
        if not data:
            self._forget(self._episode.channel.fileno())

    def _from_pipe(self, descriptor: int, kind: bytes) -> None:
        while descriptor in self._sources:
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                self._forget(descriptor)
                return
            self._line.send(kind, data)

    def _from_zygote(self) -> None:
        message = self._episode.receive()
        self._from_pipe(self._episode.stdout, b"O")
        self._from_pipe(self._episode.stderr, b"E")
        self._line.send(b"X", json.dumps({"status": message.get("status")}).encode())
        if not message:
            self._forget(self._episode.control.fileno())

    def _forget(self, descriptor: int) -> None:
        if self._sources.pop(descriptor, None):
            self._poll.unregister(descriptor)


def _port() -> str:
    """The name of our virtio-serial port's device, or nothing."""
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text(encoding="ascii").strip() == PORT_NAME:
            return name.parent.name
    return ""
