"""In a virtual machine: the process that keeps one interactive sandbox, by the process backend's keeper.

It is told to make the sandbox once, after the machine was restored, and is its porter from then on. Its channel is the
daemon's, which relays bytes and nothing else.
"""

import functools
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyscale.sandboxes.backends.process.workspaces.memory import usage
    from skyscale.sandboxes.guest.inside.line import Line
    from skyscale.sandboxes.guest.inside.porter import Porter
else:  # in the machine only this folder exists
    from sandboxes.backends.process.workspaces.memory import usage
    from sandboxes.guest.inside.line import Line
    from sandboxes.guest.inside.porter import Porter

_KEEPER = (
    "import sys; sys.path.insert(0, '/skyscale'); from sandboxes.backends.process.zygote.keeper import main; "
    "del sys.path[0]; main({fd})"
)
_MAX_MESSAGE = 65536


def main(channel: int) -> None:
    """Never returns."""
    code = 70
    try:
        line = Line(channel)
        keeper = _start_keeper()
        line.send(b"R", _received(keeper, "hello"))
        kind, body = line.receive()
        if kind == b"Q":
            ours, pid = _make(keeper, json.loads(body)["disk_bytes"])
            line.send(b"R", _received(ours, "ready"))
            Porter(line, ours, functools.partial(usage, pid)).serve()
        code = 0
    except BaseException as error:  # noqa: BLE001  the exit code below is what the outside sees
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _start_keeper() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", _KEEPER.format(fd=theirs.fileno())],
        env={"PYTHONHASHSEED": "0"}, pass_fds=(theirs.fileno(),), cwd="/", stdin=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    theirs.close()
    return ours


def _received(source: socket.socket, word: str) -> bytes:
    """The layers in its next message, as text."""
    message = json.loads(source.recv(_MAX_MESSAGE) or b"{}")
    if word not in message:
        raise OSError(0, str(message.get("broken", f"no {word}")))
    return json.dumps(message[word]).encode()


def _make(keeper: socket.socket, disk_bytes: int) -> tuple[socket.socket, int]:
    """The sandbox's first process: our end of its socket, and its number here."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps({"make": "workspace", "disk_bytes": disk_bytes}).encode()
    socket.send_fds(keeper, [request], [theirs.fileno()])
    theirs.close()
    data, descriptors, _, _ = socket.recv_fds(keeper, _MAX_MESSAGE, 1)
    for descriptor in descriptors:
        os.close(descriptor)
    message = json.loads(data or b"{}")
    if "made" not in message:
        raise OSError(0, str(message.get("detail", "the keeper ended")))
    return ours, message["pid"]
