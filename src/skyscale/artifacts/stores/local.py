"""A folder as an artifact store.

A put writes a temporary file in `.incoming`, syncs it, renames it into place and syncs the folder, so a name in the
tree always stands for whole, durable bytes. A delete renames the folder into `.incoming` first, so that it vanishes at
once. A put that fails takes its temporary file with it. What a crash leaves in `.incoming` is garbage that no key
reaches; the first `check` a day later deletes it.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from skyscale.artifacts.store import Digest, Piece, checked_key
from skyscale.errors import Invalid, NotFound, Unavailable

_CHUNK_BYTES = 1 << 20
_INCOMING = ".incoming"
"""Begins with a dot, which no key may."""
_ABANDONED_S = 24 * 3600.0
"""Nothing takes so long to write: what is older in `.incoming` is of a process that was killed."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalStore:
    """Artifacts below one local folder, which is made on the first put."""

    def __init__(self, root_uri: str) -> None:
        parts = urlsplit(root_uri)
        if parts.netloc not in ("", "localhost"):
            raise Invalid(f"{root_uri!r} names another machine; a local store is file:///absolute/path")
        self._root = Path(url2pathname(parts.path))
        if not self._root.is_absolute() or ".." in self._root.parts:
            raise Invalid(f"{root_uri!r} is not an absolute path")

    def put_file(self, key: str, path: Path) -> Digest:
        """See `ArtifactStore.put_file`."""
        with path.open("rb", buffering=0) as source:
            return self.put_pieces(key, iter(lambda: source.read(_CHUNK_BYTES), b""))

    def put_bytes(self, key: str, data: bytes) -> Digest:
        """See `ArtifactStore.put_bytes`."""
        return self.put_pieces(key, (data,))

    def put_pieces(self, key: str, pieces: Iterable[Piece]) -> Digest:
        """See `ArtifactStore.put_pieces`."""
        target, temporary = self._path(key), self._incoming()
        with self._put(key, temporary):
            with temporary.open("xb", buffering=0) as sink:
                digest = _write(sink, pieces)
                os.fsync(sink.fileno())
            _rename_durably(temporary, target)
        return digest

    def put_same(self, key: str, source: str) -> None:
        """See `ArtifactStore.put_same`: another name of the file, which nobody writes to, or a copy of it."""
        target, path, temporary = self._path(key), self._existing(source), self._incoming()
        try:
            os.link(path, temporary)
        except FileNotFoundError as error:
            raise NotFound(f"no artifact {source!r} in {self._root.as_uri()}") from error
        except OSError:
            self.put_file(key, path)
        else:
            with self._put(key, temporary):  # a name of the very file that is there already is not renamed
                _rename_durably(temporary, target)

    def get_bytes(self, key: str) -> bytes:
        """See `ArtifactStore.get_bytes`."""
        return self._existing(key).read_bytes()

    def fetch(self, key: str, into: Path) -> Path:
        """See `ArtifactStore.fetch`: the store's own file, nothing is copied."""
        del into
        return self._existing(key)

    def exists(self, key: str) -> bool:
        """See `ArtifactStore.exists`."""
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        """See `ArtifactStore.list`."""
        # Not `Path.rglob`, which takes five times as long: of versions that come quickly there are hundreds of files.
        keys: list[str] = []
        for folder, below, names in os.walk(self._path(prefix) if prefix else self._root):
            parent = Path(folder).relative_to(self._root).as_posix()
            if parent == ".":
                below[:] = (name for name in below if name != _INCOMING)
            keys += names if parent == "." else [f"{parent}/{name}" for name in names]
        return sorted(keys)

    def delete_prefix(self, prefix: str) -> None:
        """See `ArtifactStore.delete_prefix`."""
        doomed = self._incoming()
        try:
            self._path(prefix).rename(doomed)
        except FileNotFoundError:
            return
        _remove(doomed)

    def uri(self, key: str) -> str:
        """See `ArtifactStore.uri`."""
        return self._path(key).as_uri()

    def download_url(self, key: str, expires_s: float) -> None:
        """See `ArtifactStore.download_url`: a folder has no server."""

    def check(self) -> None:
        """See `ArtifactStore.check`: writes and deletes a small file, and deletes what crashes have left."""
        probe = self._incoming()
        probe.write_bytes(b"skyscale")
        probe.unlink()
        for left in probe.parent.iterdir():
            with suppress(OSError):  # its writer has just finished, or is another user's and it stays
                if time.time() - left.lstat().st_ctime > _ABANDONED_S:
                    _remove(left)

    @contextmanager
    def _put(self, key: str, temporary: Path) -> Generator[None]:
        """Leaves nothing of a put that failed, and says so when there is no room for it."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise Unavailable(
                f"there is no room for {key} in {self._root.as_uri()}: {error.strerror}",
                code="disk_full", hint="Delete old runs or files, or give the artifact folder more space.",
            ) from error  # fmt: skip
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _existing(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise NotFound(f"no artifact {key!r} in {self._root.as_uri()}")
        return path

    def _incoming(self) -> Path:
        folder = self._root / _INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        return folder / secrets.token_hex(8)


def _write(sink: FileIO, pieces: Iterable[Piece]) -> Digest:
    digest = hashlib.sha256()
    size_bytes = 0
    for piece in pieces:
        digest.update(piece)
        rest = memoryview(piece)
        while rest.nbytes:
            written = sink.write(rest)  # one call writes 2 GiB at most
            size_bytes, rest = size_bytes + written, rest[written:]
    return Digest(size_bytes, digest.hexdigest())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _rename_durably(temporary: Path, target: Path) -> None:
    _make_folder_durably(target.parent)
    temporary.replace(target)
    _sync_folder(target.parent)


def _make_folder_durably(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder_durably(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
