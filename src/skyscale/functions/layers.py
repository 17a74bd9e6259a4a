"""Requirements as layers: one read-only archive per set of packages, made once, and named by its hash.

- pip runs on this host with wheels only, so that no package's code is run here; its index is pip's own configuration.
- Sandboxes hold files in memory that cannot be mapped as programs, so compiled packages are refused, at deploy.
- An archive appears under its name when it is whole; what was half made is forgotten.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from skyscale.errors import Invalid, TooLarge, Unavailable
from skyscale.functions import rules

DEADLINE_S = 180.0
JOB = "`gpu` (its `model` may be `cpu`): such a call is a job, which takes any package and any image"
MAX_LAYER_BYTES = 32 * 1024 * 1024
_TAIL = 1500
_UNREACHABLE = ("Failed to establish a new connection", "Connection refused", "timed out", "name resolution")
PYTHON_TAG = f"{sys.implementation.cache_tag}"


class Layers:
    """The archives below one folder."""

    def __init__(self, folder: Path, *, deadline_s: float = DEADLINE_S) -> None:
        self._folder = folder
        self._deadline_s = deadline_s
        self._making: dict[str, asyncio.Lock] = {}

    def keep_only(self, needed: Iterable[Sequence[str]]) -> None:
        """Remove every archive but these packages', and what was half made; for a start, before anything is called."""
        names = {f"{rules.layer_of(each, PYTHON_TAG)}.zip" for each in needed}
        for entry in self._folder.glob("*"):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name not in names:
                entry.unlink(missing_ok=True)

    async def ensure(self, requirements: Sequence[str]) -> Path | None:
        """The archive of these packages, made unless it is there; None when there are none.

        Raises:
            Invalid: pip found no such packages, or they have compiled parts. TooLarge: they are too large.
            Unavailable: pip or its index cannot be reached, or took longer than the deadline.
        """
        name = rules.layer_of(requirements, PYTHON_TAG)
        if name is None:
            return None
        path = self._folder / f"{name}.zip"
        lock = self._making.setdefault(name, asyncio.Lock())
        async with lock:
            if not path.exists():
                await self._make(sorted(requirements), path)
        self._making.pop(name, None)
        return path

    async def _make(self, requirements: Sequence[str], path: Path) -> None:
        if find_spec("pip") is None:
            raise Unavailable("requirements need pip where the control plane runs", code="extra_missing", hint="pip")
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".making-") as draft:
            target = Path(draft) / "packages"
            await self._install(requirements, target)
            await asyncio.to_thread(_archive, target, Path(draft) / "layer.zip")
            (Path(draft) / "layer.zip").rename(path)

    async def _install(self, requirements: Sequence[str], target: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pip", "install", "--target", str(target), "--only-binary", ":all:", "--no-compile",
            "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "10", "--quiet", "--no-color",
            "--", *requirements,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder, start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._deadline_s):
                said, _ = await process.communicate()
        except TimeoutError as error:
            raise Unavailable(
                f"requirements: pip took longer than {self._deadline_s:g} s",
                code="requirements_timeout", hint="Try again; what was downloaded is in pip's cache.",
            ) from error  # fmt: skip
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                await process.wait()
        if process.returncode != 0:
            raise _refusal(said.decode("utf-8", "replace"))


def _refusal(said: str) -> Invalid | Unavailable:
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-3:]
    text = " ".join(errors)[-_TAIL:]
    if any(each in said for each in _UNREACHABLE):
        return Unavailable(
            f"requirements: the package index cannot be reached: {text}",
            code="index_unreachable", hint="Let the control plane reach an index (PIP_INDEX_URL, PIP_FIND_LINKS).",
        )  # fmt: skip
    return Invalid(
        f"requirements: {text}", code="requirements_refused",
        hint=f"Only wheels are taken, so that no package's code runs on the control plane. Else use {JOB}.",
    )  # fmt: skip


def _archive(source: Path, target: Path) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.parts[len(source.parts)] != "bin")
    compiled = [path.name for path in files if path.suffix in {".so", ".pyd"}]
    if compiled:
        raise Invalid(
            f"requirements: {compiled[0]} is compiled, which a function's sandbox cannot load",
            code="requirements_compiled", hint=f"Use pure Python packages, or {JOB}.",
        )  # fmt: skip
    if sum(path.stat().st_size for path in files) > MAX_LAYER_BYTES:
        raise TooLarge(f"requirements: more than {MAX_LAYER_BYTES // rules.MB} MB of packages")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            info = zipfile.ZipInfo(str(path.relative_to(source)))  # the same bytes whenever it is made
            archive.writestr(info, path.read_bytes())
    target.chmod(0o444)
    shutil.rmtree(source)
