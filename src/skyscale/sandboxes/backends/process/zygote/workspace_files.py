"""Files of an interactive sandbox, read and written by its first process, below one directory.

- A path is walked name by name from the root's descriptor and no link is ever followed, so it cannot lead elsewhere,
  whatever the running program puts in the way at the same moment.
- Opening never blocks (a named pipe is not waited for), and only regular files are read.
- A file is written under another name and then renamed: a reader sees the old content or the new one.
"""

import contextlib
import errno
import json
import os
import stat

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DRAFT = ".skyscale-draft"
_TROUBLES = {
    errno.ENOENT: "missing", errno.EISDIR: "not_a_file", errno.ENXIO: "not_a_file", errno.ENOTDIR: "not_a_directory",
    errno.ELOOP: "link", errno.EFBIG: "too_large", errno.ENOSPC: "no_space", errno.EDQUOT: "no_space",
}  # fmt: skip


def trouble_of(error: OSError) -> str:
    """The contract's word for an error."""
    return _TROUBLES.get(error.errno or 0, "refused")


class Files:
    """What lies below one directory."""

    def __init__(self, root: str) -> None:
        self.root = os.open(root, _FOLDER)

    def write(self, path: str, content: int) -> None:
        """Put the content of a descriptor at `path`, making directories on the way."""
        *folders, name = _names(path)
        folder = self._walk(folders, is_making=True)
        try:
            draft = _new_file(_DRAFT, folder)
            try:
                _copy(content, draft)
                os.rename(_DRAFT, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(_DRAFT, dir_fd=folder)
                raise
            finally:
                os.close(draft)
        finally:
            os.close(folder)

    def read(self, path: str, destination: int, max_bytes: int) -> None:
        """Copy the regular file at `path` into a descriptor."""
        *folders, name = _names(path)
        folder = self._walk(folders)
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
            source = os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            found = os.fstat(source)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EISDIR, "not a file")
            if found.st_size > max_bytes:
                raise OSError(errno.EFBIG, "too large")
            _copy(source, destination, max_bytes)
        finally:
            os.close(source)

    def entries(self, path: str, destination: int, max_entries: int) -> None:
        """Write the names in the directory at `path` as JSON rows of name, kind, size and time."""
        folder = self._walk(_names(path) if path else [])
        try:
            names = sorted(os.listdir(folder))[:max_entries]  # noqa: PTH208
            rows = [row for row in (_row(folder, name) for name in names) if row is not None]
        finally:
            os.close(folder)
        data = memoryview(json.dumps(rows).encode())
        while data:
            data = data[os.write(destination, data) :]

    def _walk(self, names: list[str], *, is_making: bool = False) -> int:
        folder = os.dup(self.root)
        for name in names:
            try:
                if is_making:
                    _make_folder(name, folder)
                inner = _open_folder(name, folder)
            finally:
                os.close(folder)
            folder = inner
        return folder


def copy_to(path: str, source: int) -> None:
    """Make a new file of our own from a descriptor."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    try:
        _copy(source, target)
    finally:
        os.close(target)


def _names(path: str) -> list[str]:
    names = path.split("/")
    if {"", ".", ".."} & set(names):
        raise OSError(errno.EPERM, "leads elsewhere")
    return names


def _make_folder(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return  # whether it is a directory is seen when it is opened


def _new_file(name: str, folder: int) -> int:
    """A file that did not exist, so it is neither a link nor a pipe nor anybody else's."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)


def _open_folder(name: str, folder: int) -> int:
    """A directory, never through a link. gVisor (2022) follows one when O_DIRECTORY is asked for beside O_NOFOLLOW."""
    opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISDIR(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.ENOTDIR, "not a directory")
    return opened


def _copy(source: int, target: int, max_bytes: int = 1 << 62) -> None:
    left = max_bytes
    while piece := os.read(source, _CHUNK):
        left -= len(piece)
        if left < 0:
            raise OSError(errno.EFBIG, "it grew")
        data = memoryview(piece)
        while data:
            data = data[os.write(target, data) :]


def _row(folder: int, name: str) -> tuple[str, str, int, float] | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return name, kinds.get(stat.S_IFMT(found.st_mode), "other"), found.st_size, found.st_mtime
