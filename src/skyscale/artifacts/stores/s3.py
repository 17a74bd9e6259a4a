"""A bucket of an S3-compatible service as an artifact store; its address and keys are `S3Settings`.

- A put is atomic: one PUT, or a multipart upload that becomes the object only when it is completed. Every part carries
  a checksum that the service verifies, and the whole carries its SHA-256, which `fetch` and `get_bytes` verify.
- A download that breaks off goes on where it broke off, of the same object (If-Match) or not at all.
- What may pass (5xx, refused or dropped connections) is tried again until `S3_RETRY_S` is over, then `Unavailable`.
  What will not pass (wrong key, missing bucket) is told at once.
- A prefix is deleted key by key. Who needs a folder to vanish at once deletes what makes it complete first.
"""

import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pydantic import ValidationError

from skyscale.artifacts.store import Digest, Piece, checked_key
from skyscale.errors import Forbidden, Invalid, NotFound, ProtocolError, Unavailable
from skyscale.settings import S3Settings

try:
    import obstore
    from obstore import exceptions as s3_errors
    from obstore.store import S3Store as Bucket
except ImportError as error:
    raise Invalid(
        "artifacts on S3 need the package obstore", code="extra_missing", hint="pip install 'skyscale[s3]'"
    ) from error

if TYPE_CHECKING:
    from obstore import GetOptions

_PART_BYTES = 8 << 20
"""S3 allows 10,000 parts: enough for files of 80 GB."""
_CHUNK_BYTES = 1 << 20
_HASH = "sha256"
_TRIES = 2
"""A body that does not match its hash is fetched once more: the damage may be of the way, not of the object."""
_CHECK_S = 10.0
"""Whoever checks waits for the answer."""
_CONNECT = timedelta(seconds=5)
_REQUEST = timedelta(seconds=120)
"""Longest request; one part, or one stretch of a download."""


class S3Store:
    """Artifacts below a prefix of one bucket."""

    def __init__(self, root_uri: str, settings: S3Settings | None = None) -> None:
        parts = urlsplit(root_uri)
        if not parts.netloc or parts.query or parts.fragment:
            raise Invalid(f"{root_uri!r} is not of the form s3://bucket/folder")
        self._settings = settings or _settings()
        self._root = root_uri.rstrip("/")
        prefix = parts.path.strip("/")
        self._bucket_name = parts.netloc
        self._bucket = _open(parts.netloc, checked_key(prefix) if prefix else None, self._settings)

    def put_file(self, key: str, path: Path) -> Digest:
        """See `ArtifactStore.put_file`."""
        with path.open("rb") as source:
            digest = Digest(path.stat().st_size, hashlib.file_digest(source, _HASH).hexdigest())
        self._put(key, path, digest)
        return digest

    def put_bytes(self, key: str, data: bytes) -> Digest:
        """See `ArtifactStore.put_bytes`."""
        digest = Digest(len(data), hashlib.sha256(data).hexdigest())
        self._put(key, data, digest)
        return digest

    def put_pieces(self, key: str, pieces: Iterable[Piece]) -> Digest:
        """See `ArtifactStore.put_pieces`: by a file, since the hash goes before the bytes and a part may go twice."""
        with tempfile.NamedTemporaryFile(prefix="skyscale-") as spool:
            for piece in pieces:
                spool.write(piece)
            spool.flush()
            return self.put_file(key, Path(spool.name))

    def put_same(self, key: str, source: str) -> None:
        """See `ArtifactStore.put_same`: the service copies the object and its hash."""
        with self._told(source):
            obstore.copy(self._bucket, checked_key(source), checked_key(key))

    def get_bytes(self, key: str) -> bytes:
        """See `ArtifactStore.get_bytes`."""
        whole = bytearray()
        self._verified(key, whole.clear, whole.extend)
        return bytes(whole)

    def fetch(self, key: str, into: Path) -> Path:
        """See `ArtifactStore.fetch`: always `into`, which appears whole or not at all."""
        into.parent.mkdir(parents=True, exist_ok=True)
        temporary = into.with_name(f".{into.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb", buffering=0) as sink:
                self._verified(key, lambda: _empty(sink), sink.write)
            temporary.replace(into)
        finally:
            temporary.unlink(missing_ok=True)
        return into

    def exists(self, key: str) -> bool:
        """See `ArtifactStore.exists`."""
        try:
            with self._told(key):
                obstore.head(self._bucket, checked_key(key))
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """See `ArtifactStore.list`."""
        folder = checked_key(prefix) if prefix else None
        with self._told(prefix):
            pages = obstore.list(self._bucket, folder)  # pyright: ignore[reportUnknownMemberType] - of its Arrow form
            return sorted(meta["path"] for page in pages for meta in page)

    def delete_prefix(self, prefix: str) -> None:
        """See `ArtifactStore.delete_prefix`."""
        doomed = [*self.list(prefix), checked_key(prefix)]
        with self._told(prefix):
            obstore.delete(self._bucket, doomed)

    def uri(self, key: str) -> str:
        """See `ArtifactStore.uri`."""
        return f"{self._root}/{checked_key(key)}"

    def download_url(self, key: str, expires_s: float) -> str | None:
        """See `ArtifactStore.download_url`: signed here; the service is not asked."""
        return obstore.sign(self._bucket, "GET", checked_key(key), timedelta(seconds=expires_s))

    def check(self) -> None:
        """See `ArtifactStore.check`: writes, reads and deletes a small object."""
        impatient = self._settings.model_copy(update={"retry_s": min(_CHECK_S, self._settings.retry_s)})
        store, key = S3Store(self._root, impatient), f"_check/{secrets.token_hex(8)}"
        store.put_bytes(key, b"skyscale")
        store.get_bytes(key)
        store.delete_prefix(key)

    def _put(self, key: str, data: Path | bytes, digest: Digest) -> None:
        with self._told(key, is_put=True):
            obstore.put(
                self._bucket, checked_key(key), data, attributes={_HASH: digest.sha256}, chunk_size=_PART_BYTES,
                max_concurrency=4,
            )  # fmt: skip

    def _verified(self, key: str, restart: Callable[[], object], write: Callable[[bytes], object]) -> None:
        expected, found = None, ""
        for _ in range(_TRIES):
            restart()
            expected, found = self._download(key, restart, write)
            if expected is None or expected == found:
                return
        assert expected is not None, "without a hash, the first try was the last"
        raise ProtocolError(
            f"{self.uri(key)} is damaged: its sha256 is {found[:12]}..., it was stored with {expected[:12]}...",
            code="artifact_damaged",
        )

    def _download(
        self, key: str, restart: Callable[[], object], write: Callable[[bytes], object]
    ) -> tuple[str | None, str]:
        """The hash that the object was stored with, and the hash of what came."""
        deadline, pause_s = time.monotonic() + self._settings.retry_s, 0.1
        expected: str | None = None
        e_tag: str | None = None
        digest, done = hashlib.sha256(), 0
        while True:
            try:
                with self._told(key):
                    options: GetOptions = {"range": {"offset": done}, "if_match": e_tag} if done else {}
                    answer = obstore.get(self._bucket, checked_key(key), options=options)
                    expected, e_tag, size = answer.attributes.get(_HASH), answer.meta["e_tag"], answer.meta["size"]
                    for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
                        write(bytes(chunk))
                        digest.update(chunk)
                        done, deadline = done + len(chunk), time.monotonic() + self._settings.retry_s
                if done == size:
                    return expected, digest.hexdigest()
                trouble: Exception = Unavailable(
                    f"{self.uri(key)}: {done} of {size} bytes came", code="store_truncated"
                )
            except s3_errors.PreconditionError:  # put again meanwhile: the new bytes, from the beginning
                restart()
                digest, done, trouble = hashlib.sha256(), 0, Unavailable(f"{self.uri(key)} is being replaced")
            except Unavailable as error:
                trouble = error
            if time.monotonic() + pause_s > deadline:
                raise trouble
            time.sleep(pause_s)
            pause_s = min(5.0, 2 * pause_s)

    @contextmanager
    def _told(self, key: str, *, is_put: bool = False) -> Generator[None]:
        """Turns the service's refusals into ours."""
        try:
            yield
        except FileNotFoundError as error:
            if is_put or "NoSuchBucket" in str(error):
                raise self._no_bucket() from error
            raise NotFound(f"no artifact {key!r} in {self._root}") from error
        except (PermissionError, s3_errors.PermissionDeniedError, s3_errors.UnauthenticatedError) as error:
            raise self._denied(error) from error
        except s3_errors.PreconditionError:
            raise
        except (s3_errors.BaseError, TimeoutError, ConnectionError) as error:
            text = str(error)
            if "NoSuchBucket" in text:
                raise self._no_bucket() from error
            if "403 Forbidden" in text or "401 Unauthorized" in text:
                raise self._denied(error) from error
            raise Unavailable(
                f"the artifact store {self._root} does not answer as it should: {_first_line(error)}",
                code="store_unavailable", hint="Check S3_ENDPOINT and the service; it was tried for S3_RETRY_S.",
            ) from error  # fmt: skip

    def _no_bucket(self) -> Invalid:
        return Invalid(
            f"there is no bucket {self._bucket_name!r} at {self._settings.endpoint or 'AWS'}",
            code="bucket_missing", hint="Create it, or correct S3_BUCKET and S3_ENDPOINT.",
        )  # fmt: skip

    def _denied(self, error: Exception) -> Forbidden:
        return Forbidden(
            f"the artifact store {self._root} refuses our keys: {_first_line(error)}",
            code="store_denied", hint="Check S3_ACCESS_KEY and S3_SECRET_KEY and what they may do in the bucket.",
        )  # fmt: skip


def _settings() -> S3Settings:
    try:
        return S3Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
        raise Invalid(f"settings of artifacts on S3: {wrong}", code="setting_invalid") from error


def _open(bucket: str, prefix: str | None, settings: S3Settings) -> Bucket:
    config: dict[str, object] = {
        "region": settings.region, "virtual_hosted_style_request": settings.endpoint is None,
        "checksum_algorithm": "SHA256",
    }  # fmt: skip
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.access_key is not None and settings.secret_key is not None:
        config["access_key_id"] = settings.access_key.get_secret_value()
        config["secret_access_key"] = settings.secret_key.get_secret_value()
    return Bucket(
        bucket,
        prefix=prefix,
        config=config,  # pyright: ignore[reportArgumentType] - a TypedDict of a hundred aliases
        client_options={"allow_http": True, "timeout": _REQUEST, "connect_timeout": _CONNECT},
        retry_config={
            "max_retries": 1000,
            "retry_timeout": timedelta(seconds=settings.retry_s),
            "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    )


def _empty(sink: BinaryIO) -> None:
    sink.seek(0)
    sink.truncate()


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:300]
