"""Policy versions in an artifact store: immutable folders of files, described by a manifest that is written last.

    runs/<run_id>/versions/v000001/model.safetensors, config.json, ..., manifest.json

A folder with a manifest is complete. Publishing the same files again keeps the first manifest, so a retry after a crash
announces the very same version. A folder that was written and never announced may be replaced by other content.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from skyscale.artifacts.store import ArtifactStore, Digest, Piece, checked_key, open_uri
from skyscale.errors import NotFound, ProtocolError
from skyscale.wire.base import utc_now
from skyscale.wire.policies import Manifest, ManifestFile

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
Content = Path | Sequence[Piece]
"""What a file is to hold: a file's bytes, or pieces of one byte per item."""


@dataclass(frozen=True, slots=True)
class Published:
    """A complete version folder in the store."""

    manifest_uri: str
    manifest_sha256: str
    files: Sequence[ManifestFile]


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A verified version on local disk."""

    path: Path
    """Holds every file of the manifest; it may be the store's own and must not be changed."""
    manifest: Manifest


def version_prefix(run_id: str, version: int) -> str:
    """Key of a version's folder."""
    return f"runs/{run_id}/versions/v{version:06d}"


def publish_version(store: ArtifactStore, *, run_id: str, version: int, parent: int, folder: Path) -> Published:
    """`publish_files` of the files of `folder`, but not of its subfolders."""
    paths = (path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    contents: dict[str, Content] = {path.name: path for path in paths}
    return publish_files(store, run_id=run_id, version=version, parent=parent, contents=contents)


def publish_files(
    store: ArtifactStore, *, run_id: str, version: int, parent: int, contents: Mapping[str, Content]
) -> Published:
    """Store files by name, then their manifest.

    When it returns, the version is complete and durable. It may be called again for a version.
    """
    prefix = version_prefix(run_id, version)
    earlier = _published_before(store, prefix, parent, contents)
    if earlier is not None:
        return earlier
    files = [_manifest_file(name, _put(store, f"{prefix}/{name}", contents[name])) for name in sorted(contents)]
    manifest = Manifest(
        run_id=run_id, version=version, parent=parent, encoding="full", files=files, created_at=utc_now()
    )
    digest = store.put_bytes(f"{prefix}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
    return Published(store.uri(f"{prefix}/{MANIFEST}"), digest.sha256, files)


def open_version(manifest_uri: str, cache_dir: Path) -> VersionFolder:
    """Fetch a version's files and verify the size and hash of each.

    Raises:
        ProtocolError: the manifest or a file is missing or not what it should be; the text names the file.
    """
    store, manifest_key = open_uri(manifest_uri)
    manifest = _read_manifest(store, manifest_key, manifest_uri)
    target = cache_dir / manifest.run_id / f"v{manifest.version:06d}"
    folders = {_fetched(store, file, target).parent for file in manifest.files}
    if len(folders) != 1:
        raise ProtocolError(f"the files of {manifest_uri} do not form one folder")
    return VersionFolder(folders.pop(), manifest)


def prune_versions(store: ArtifactStore, run_id: str, keep: int, in_use: set[int]) -> list[int]:
    """Delete all but the newest `keep` versions and those `in_use`; returns the versions that were deleted."""
    prefix = f"runs/{run_id}/versions"
    names = {key.removeprefix(f"{prefix}/").split("/")[0] for key in store.list(prefix)}
    versions = sorted(int(name[1:]) for name in names if name[:1] == "v" and name[1:].isdigit())
    doomed = [version for version in versions[: max(0, len(versions) - keep)] if version not in in_use]
    for version in doomed:
        # The manifest goes first: half a folder must not look complete in a store that deletes file by file.
        store.delete_prefix(f"{version_prefix(run_id, version)}/{MANIFEST}")
        store.delete_prefix(version_prefix(run_id, version))
    return doomed


def _put(store: ArtifactStore, key: str, content: Content) -> Digest:
    return store.put_file(key, content) if isinstance(content, Path) else store.put_pieces(key, content)


def _published_before(
    store: ArtifactStore, prefix: str, parent: int, contents: Mapping[str, Content]
) -> Published | None:
    key = f"{prefix}/{MANIFEST}"
    if not store.exists(key):
        return None
    data = store.get_bytes(key)
    manifest = Manifest.model_validate_json(data)
    if manifest.parent == parent and manifest.files == [
        _manifest_file(name, _digest(contents[name])) for name in sorted(contents)
    ]:
        return Published(store.uri(key), hashlib.sha256(data).hexdigest(), manifest.files)
    store.delete_prefix(key)
    store.delete_prefix(prefix)
    return None


def _read_manifest(store: ArtifactStore, key: str, manifest_uri: str) -> Manifest:
    try:
        return Manifest.model_validate_json(store.get_bytes(key))
    except (NotFound, ValidationError) as e:
        raise ProtocolError(f"{manifest_uri} is missing or not a manifest: {e}") from e


def _fetched(store: ArtifactStore, file: ManifestFile, target: Path) -> Path:
    if "/" in checked_key(file.name):
        raise ProtocolError(f"the manifest names {file.name!r}, which is not a file of its folder")
    try:
        path = store.fetch(file.name, target / file.name)
        found = _digest(path)
    except (NotFound, FileNotFoundError) as e:
        raise ProtocolError(f"file {file.name!r} of the version is missing") from e
    if found != Digest(file.size_bytes, file.sha256):
        raise ProtocolError(
            f"file {file.name!r} has {found.size_bytes} bytes and sha256 {found.sha256[:12]}..., "
            f"its manifest says {file.size_bytes} and {file.sha256[:12]}..."
        )
    return path


def _manifest_file(name: str, digest: Digest) -> ManifestFile:
    return ManifestFile(name=name, size_bytes=digest.size_bytes, sha256=digest.sha256)


def _digest(content: Content) -> Digest:
    if isinstance(content, Path):
        with content.open("rb", buffering=0) as source:
            return _digest_of(iter(lambda: source.read(_CHUNK_BYTES), b""))
    return _digest_of(content)


def _digest_of(pieces: Iterable[Piece]) -> Digest:
    digest = hashlib.sha256()
    size_bytes = 0
    for piece in pieces:
        digest.update(piece)
        size_bytes += len(piece)
    return Digest(size_bytes, digest.hexdigest())
