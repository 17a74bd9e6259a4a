"""The first process of a gVisor container that is an interactive sandbox: the porter, and how it makes what it serves.

- Programs live in a PID namespace of their own and see `/box` as their root: the system's programs and the
  interpreter, read-only, and `/workspace` and `/tmp` in memory. No `/proc`, no `/sys` is below it, and what could
  leave a changed root goes with the capabilities.
- The porter stays outside of both, with gVisor's `/proc`, so that it sees what they use.
"""

import json
import os
import resource
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyscale.sandboxes.backends.process.zygote import init, kernel, seccomp
    from skyscale.sandboxes.guest.inside.line import Line
    from skyscale.sandboxes.guest.inside.porter import Porter
else:  # in the container only this folder exists
    from sandboxes.backends.process.zygote import init, kernel, seccomp
    from sandboxes.guest.inside.line import Line
    from sandboxes.guest.inside.porter import Porter

BOX = "/box"
PYTHON = "/opt/bin/python3"
_NOBODY = 65534
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_DEVICES = {"null": (1, 3), "zero": (1, 5), "urandom": (1, 9)}
_CODE_BYTES = 8 * 1024 * 1024
_CHANNEL = 3
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIMITS = {"CORE": 0, "NOFILE": 256, "MEMLOCK": 0, "STACK": 8 * 1024 * 1024}


def main() -> None:
    """Never returns: from the container's start to the host's going away."""
    os.environ.clear()
    code = 70
    try:
        os.dup2(0, _CHANNEL)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.closerange(4, 1024)
        line = Line(_CHANNEL)
        kind, body = line.receive()
        if kind == b"Q":
            ours = _make(json.loads(body)["disk_bytes"])
            line.send(b"R", json.dumps(_ready(ours)).encode())
            Porter(line, ours, _usage).serve()
        code = 0
    except BaseException as error:  # noqa: BLE001  the exit code below is what the outside sees
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _ready(init_socket: socket.socket) -> dict[str, str]:
    message = json.loads(init_socket.recv(65536) or b"{}")
    if "ready" not in message:
        raise OSError(0, str(message.get("broken", "its first process ended")))
    return message["ready"]


def _usage() -> tuple[int, int]:
    """Resident bytes and number of all processes but this one; gVisor does not tell whose children they are."""
    total, num_processes = 0, 0
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/statm", encoding="ascii") as file:  # noqa: PTH123
                _, resident, shared, *_ = file.read().split()
        except (OSError, ValueError):
            continue  # it ended while we looked
        num_processes += 1
        total += max(0, int(resident) - int(shared)) * _PAGE
    return total, num_processes


def _make(disk_bytes: int) -> socket.socket:
    """The first process of the programs' PID namespace: our end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = kernel.syscall("clone", kernel.CLONE_NEWPID | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        _become_init(disk_bytes, theirs.fileno())
    theirs.close()
    return ours


def _become_init(disk_bytes: int, channel: int) -> None:
    """Never returns."""
    code = 70
    try:
        os.dup2(channel, _CHANNEL)
        os.closerange(4, 1024)
        _mount(disk_bytes)
        os.chroot(BOX)
        os.chdir("/")
        os.setsid()
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        os.chdir("/workspace")
        kernel.keep_capabilities(0)
        kernel.set_no_new_privileges()
        kernel.set_undumpable()
        for name, value in _LIMITS.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        seccomp.install(seccomp.keeping_program(kernel.MACHINE))
        names = (
            "pid namespace", "private root", "private tmp", "own uid", "no capabilities", "no new privileges",
            "not dumpable", "resource limits", "seccomp",
        )  # fmt: skip
        code = init.serve(dict.fromkeys(names, "yes"), [], PYTHON, has_landlock=False)
    except BaseException as error:  # noqa: BLE001  nothing may return into the porter's code
        text = json.dumps({"broken": f"{type(error).__name__}: {error}"}).encode()
        init.open_channel(_CHANNEL).send(text)
    finally:
        os._exit(code)


def _mount(disk_bytes: int) -> None:
    owner = f"mode=0700,uid={_NOBODY},gid={_NOBODY}"
    sizes = {"/workspace": disk_bytes, "/tmp": disk_bytes // 4, "/code": _CODE_BYTES}
    for path, size in sizes.items():
        kernel.mount("files", BOX + path, "tmpfs", _SAFE, f"size={size},{owner}")
    kernel.mount("devices", f"{BOX}/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "size=16k,mode=0755")
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{BOX}/dev/{name}", 0o20666, os.makedev(major, minor))
        os.chmod(f"{BOX}/dev/{name}", 0o666)  # noqa: PTH101
