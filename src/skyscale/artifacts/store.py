"""The artifact store contract: keys to bytes, durable and whole.

- A key is `segment/segment/...`; a segment begins with a letter, a digit or `_` and never means a place outside.
- After `put_*` returns, the bytes survive a crash of the machine; before it returns, no reader sees a part of them.
- A key may be put again; readers see the old bytes or the new, never a mixture.
- Every store is named by the URI of its root, and every key by `uri(key)`, which `open_uri` resolves anywhere.
"""

import importlib
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

from skyscale.errors import Invalid, Unavailable

log = logging.getLogger(__name__)

Piece = bytes | memoryview

_LEAVES = {"file": "skyscale.artifacts.stores.local:LocalStore", "s3": "skyscale.artifacts.stores.s3:S3Store"}
"""URI scheme to the class that serves it: `module:class`, called with the root URI."""

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@-]{0,199}")
MAX_KEY_CHARS = 800
MAX_SAME_BYTES = 5_000_000_000
"""S3 copies no more in one call."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What was stored under a key."""

    size_bytes: int
    sha256: str
    """Lower-case hexadecimal."""


class ArtifactStore(Protocol):
    """One place that keeps artifacts; safe to use from several threads."""

    def put_file(self, key: str, path: Path) -> Digest:
        """Store the file's bytes, hashed while they are read."""
        ...

    def put_bytes(self, key: str, data: bytes) -> Digest:
        """Store `data`."""
        ...

    def put_pieces(self, key: str, pieces: Iterable[Piece]) -> Digest:
        """Store the pieces one behind the other; memory never holds a second copy of all of them."""
        ...

    def put_same(self, key: str, source: str) -> None:
        """Store under `key` what is under `source`, without the bytes coming by; `MAX_SAME_BYTES` at most.

        Either lives on when the other is replaced or deleted. Raises NotFound.
        """
        ...

    def get_bytes(self, key: str) -> bytes:
        """The bytes under `key`. Raises NotFound."""
        ...

    def fetch(self, key: str, into: Path) -> Path:
        """A local file with the bytes of `key`: `into`, or a file that the store itself has and nobody may change.

        Raises NotFound. The parent of `into` is made when it is needed.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there are bytes under `key`."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Every key below the folder `prefix` (all keys for ""), sorted."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Remove the key `prefix` and every key below it; nothing there is no error."""
        ...

    def uri(self, key: str) -> str:
        """The address of `key` for other processes."""
        ...

    def download_url(self, key: str, expires_s: float) -> str | None:
        """A URL that anybody may fetch `key` from until it expires; None where the store has no server of its own."""
        ...

    def check(self) -> None:
        """Raise what would be raised later (no bucket, wrong keys, no permission to write); leaves nothing behind."""
        ...


def open_store(root_uri: str) -> ArtifactStore:
    """The store at `root_uri`, for example `file:///srv/artifacts`. Raises Invalid for a scheme without a store."""
    scheme = urlsplit(root_uri).scheme
    leaf = _LEAVES.get(scheme)
    if leaf is None:
        raise Invalid(f"no artifact store serves {root_uri!r}; schemes that are served: {', '.join(_LEAVES)}")
    module_name, _, class_name = leaf.partition(":")
    return cast("ArtifactStore", getattr(importlib.import_module(module_name), class_name)(root_uri))


def adopt_settings(values: Mapping[str, str]) -> None:
    """From now on open stores in this process with these settings; what they do not name stays as it was."""
    os.environ.update(values)


def require_store(root_uri: str) -> None:
    """Raise what makes the store unusable for good (no bucket, wrong keys); warn of one that does not answer now."""
    try:
        open_store(root_uri).check()
    except Unavailable as error:
        log.warning("%s; what needs it waits and tries again", error.detail)


def open_uri(uri: str) -> tuple[ArtifactStore, str]:
    """The store and the key in it that an `ArtifactStore.uri` stands for; the store's root is the key's folder."""
    root_uri, _, key = uri.rpartition("/")
    return open_store(root_uri), checked_key(key)


def checked_key(key: str) -> str:
    """`key` unchanged. Raises Invalid for one that could leave the store or that another store could not hold."""
    if len(key) > MAX_KEY_CHARS or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise Invalid(f"artifact key {key[:100]!r} is not of the form name/name/...")
    return key
