"""The first and only process of a gVisor container: close what gVisor leaves open, then wait for one job.

- Descriptor 0 is born as the channel; the runner wants it as 3, and an empty 0.
- gVisor mounts /proc, /sys and a writable /dev/shm whether asked or not: each is covered with an empty read-only
  tmpfs. Then root and capabilities go, new privileges are ruled out and the process backend's system-call filter is
  added, so that gVisor's own kernel offers no more to attack than the host's would.
"""

import builtins
import gc
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyscale.sandboxes.backends.process.zygote import checker, kernel, programs, runner, seccomp
    from skyscale.sandboxes.backends.process.zygote.main import PRELOADED
else:  # in the container only this folder exists
    from sandboxes.backends.process.zygote import checker, kernel, programs, runner, seccomp
    from sandboxes.backends.process.zygote.main import PRELOADED

YES = "yes"
_RUNS = {"serve": checker.run, "check": checker.run, "programs": programs.run}
"""What runs a job, by its kind; all others are the plain runner's."""
_COVERED = ("/proc", "/sys", "/dev/shm", "/dev/pts")
_NOBODY = 65534
_MS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def main(tmp_bytes: int) -> None:
    """Never returns: from the container's start to the end of its one episode."""
    os.environ.clear()
    builtins.exit = builtins.quit = sys.exit  # the absent `site` makes them, and programs use them
    for name in PRELOADED.split():
        __import__(name)
    code = 70
    try:
        _place_descriptors()
        runner.open_streams()
        runner.fix_random_state()
        layers = _isolate(tmp_bytes)
        gc.collect()
        gc.freeze()
        runner.send("ready", "ok", "", json.dumps(layers))
        job = runner.receive(json.loads)
        code = 0 if job is None else _RUNS.get(job["kind"], runner.run)(job)
    except BaseException as error:  # noqa: BLE001  the exit code below is what the outside sees
        os.write(2, f"sandbox: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def _place_descriptors() -> None:
    os.dup2(0, 3)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.closerange(4, 1024)


def _isolate(tmp_bytes: int) -> dict[str, str]:
    layers: dict[str, str] = {}
    _try(layers, "private tmp", lambda: _mount_tmp(tmp_bytes))
    _try(layers, "no proc and sys", _cover)
    _try(layers, "own uid", _become_nobody)
    _try(layers, "no capabilities", lambda: kernel.keep_capabilities(0))
    _try(layers, "no new privileges", kernel.set_no_new_privileges)
    _try(layers, "not dumpable", kernel.set_undumpable)
    _try(layers, "resource limits", _limit)
    _try(layers, "seccomp", lambda: seccomp.install(seccomp.base_program(kernel.MACHINE)))
    return layers


def _mount_tmp(tmp_bytes: int) -> None:
    kernel.mount("tmp", "/tmp", "tmpfs", _MS, f"size={tmp_bytes},mode=0700,uid={_NOBODY},gid={_NOBODY}")


def _cover() -> None:
    for path in _COVERED:
        kernel.mount("none", path, "tmpfs", _MS | kernel.MS_RDONLY, "size=4k,mode=0")


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    os.chdir("/tmp")


def _limit() -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_STACK, 8 * 1024 * 1024),
    ):
        resource.setrlimit(kind, (value, value))


def _try(layers: dict[str, str], name: str, layer: Callable[[], object]) -> None:
    try:
        layer()
    except OSError as error:
        layers[name] = f"no: {error}"
    else:
        layers[name] = YES
