"""Building the guest's image on first use: one builder at a time, within a deadline, kept for every later start.

An image belongs to one version of our files that run in it; its folder says which (`OURS`). An older one is left alone:
a control plane of that version may be running.
"""

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.guest.files import OURS, SANDBOXES

SUMS = "SHA256SUMS"
_VERSION = "OURS"
_BUILD_TIMEOUT_S = 300.0
_LOCK_PAUSE_S = 0.2
_SCRIPT = Path(__file__).with_name("build_daemon_rootfs.sh")


def built_or_build(cache: Path) -> Path:
    """The folder of the image of this version of ours below `cache`.

    Raises:
        SandboxFailure: it cannot be built on this host, or not in time.
    """
    wanted = version()
    found = _built(cache, wanted)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _BUILD_TIMEOUT_S
    with _locked(cache / ".lock", deadline):
        found = _built(cache, wanted)  # another process may have built it while we waited
        if found is None:
            _build(cache, deadline)
            found = _built(cache, wanted)
    if found is None:
        raise SandboxFailure("the guest image that was built is not of this version of Skyscale")
    return found


def _built(cache: Path, version: str) -> Path | None:
    """The newest complete image of this version; the checksums are written last."""
    folders = [path.parent for path in cache.glob(f"*/{_VERSION}") if (path.parent / SUMS).is_file()]
    ours = [folder for folder in folders if (folder / _VERSION).read_text(encoding="ascii").strip() == version]
    return max(ours, key=lambda folder: (folder / SUMS).stat().st_mtime, default=None)


def _build(cache: Path, deadline: float) -> None:
    process = subprocess.Popen(
        ["/bin/sh", str(_SCRIPT), str(cache)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"} | _passed_on(),
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise SandboxFailure(f"the guest image was not built in {_BUILD_TIMEOUT_S:.0f} s", hint=_HINT) from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        reason = said.strip().rpartition("\n")[2][:300] or f"exit code {process.returncode}"
        raise SandboxFailure(
            f"the guest image cannot be built here: {reason}", code="sandbox_backend_missing", hint=_HINT
        )


_HINT = (
    "It is made of Debian's packages: install apt, dpkg, e2fsprogs and cpio, or build it elsewhere with "
    "scripts/build_daemon_rootfs.sh and set FAAS_VM_KERNEL_PATH and FAAS_VM_ROOTFS_PATH."
)


def _passed_on() -> dict[str, str]:
    """How this host reaches its package mirror, and where apt is told so."""
    names = ("http_proxy", "https_proxy", "no_proxy", "APT_CONFIG", "TMPDIR")
    return {name: os.environ[name] for name in names if name in os.environ}


def version() -> str:
    """Names our files that run in the guest, and how they get there; the script computes the same."""
    listing: list[str] = []
    for name in OURS:
        path = SANDBOXES / name
        files = [path] if path.is_file() else list(path.rglob("*.py"))
        listing += [f"{file.relative_to(SANDBOXES)}" for file in files]
    lines = [f"{hashlib.sha256((SANDBOXES / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(listing)]
    script = hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()
    return hashlib.sha256(("".join(lines) + f"{script}  -\n").encode()).hexdigest()


@contextlib.contextmanager
def _locked(path: Path, deadline: float) -> Generator[None]:
    """Alone among the processes of this host. The kernel lets go of it when its holder ends, however it ends."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SandboxFailure("another process has been building the guest image for too long") from None
                time.sleep(_LOCK_PAUSE_S)
        yield
