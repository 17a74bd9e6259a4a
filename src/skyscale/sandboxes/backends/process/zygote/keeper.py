"""The keeper: a small warm interpreter that forks the first process of each interactive sandbox.

    control plane --{"make": id, "disk_bytes"} + [channel]--> keeper
    control plane <--{"made": id, "pid"} + [pidfd]----------- keeper
    control plane <--{"failed": id, "detail"}---------------- keeper

Like the zygote it is single-threaded, has an empty environment, and ends when the control socket closes; its children
are told by the kernel to die with it.
"""

import json
import os
import signal
import socket

from . import init, kernel
from .workspace_isolation import Keeping, WorkspaceBase

_MAX_MESSAGE = 4096
_INDEX = 4
"""Which block of user ids workspaces have, apart from the episodes' (`isolate.Base`) on small machines."""


def main(control_fd: int) -> None:
    """Serve requests until the control socket closes."""
    os.environ.clear()
    control = socket.socket(fileno=control_fd)
    base = WorkspaceBase(_INDEX)
    base.enter()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel; their end is seen by pidfd
    control.send(json.dumps({"hello": base.layers}).encode())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MAX_MESSAGE, 1)
        if not message:
            return
        try:
            _make(control, base, json.loads(message), descriptors[0])
        except BrokenPipeError:
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _make(control: socket.socket, base: WorkspaceBase, request: dict[str, object], channel: int) -> None:
    gate_out, gate_in = os.pipe()
    pidfd = -1
    try:
        pid, pidfd = kernel.clone(base.all_spaces)
        if pid == 0:
            os.close(gate_in)
            _become_workspace(base, int(str(request["disk_bytes"])), gate_out, channel)
        base.map_user(pid)
        os.write(gate_in, json.dumps(base.layers).encode())
    except OSError as error:
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _tell(control, {"failed": request["make"], "detail": str(error)}, [])
    else:
        _tell(control, {"made": request["make"], "pid": pid}, [pidfd])
    finally:
        for descriptor in (gate_out, gate_in, pidfd):
            if descriptor >= 0:
                os.close(descriptor)


def _tell(control: socket.socket, message: dict[str, object], descriptors: list[int]) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], descriptors)


def _become_workspace(base: WorkspaceBase, disk_bytes: int, gate: int, channel: int) -> None:
    """Never returns: the whole life of a workspace's first process."""
    code = 70
    keeping = None
    try:
        layers = os.read(gate, _MAX_MESSAGE)
        if layers:
            base.layers = json.loads(layers)
            keeping = Keeping(base, disk_bytes, channel)
            keeping.enter()
            has_landlock = keeping.layers.get("landlock") == "yes"
            code = init.serve(keeping.layers, base.readable, base.python, has_landlock=has_landlock)
    except BaseException as error:  # noqa: BLE001  nothing may return into the keeper's loop
        text = json.dumps({"broken": f"{type(error).__name__}: {error}"}).encode()
        init.open_channel(keeping.channel if keeping else channel).send(text)
    finally:
        os._exit(code)
