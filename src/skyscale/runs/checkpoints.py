"""Published versions as their users see them: listed, and handed out for download.

- The manifest in the artifact store decides what exists; the database only adds what the run makes of it.
- A download is an address: one that the store signs, or a file of this host that the API sends.
- No store is asked inside a transaction or on the event loop.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from skyscale.artifacts.store import ArtifactStore, open_store
from skyscale.artifacts.versions import MANIFEST, version_prefix
from skyscale.errors import NotFound
from skyscale.runs import queries
from skyscale.runs.ports import Evaluations
from skyscale.runs.service import existing
from skyscale.store.engine import Database
from skyscale.wire.base import utc_now
from skyscale.wire.checkpoints import (
    Checkpoint,
    CheckpointDownload,
    CheckpointDownloads,
    CheckpointFile,
    CheckpointList,
)
from skyscale.wire.policies import Manifest

SIGNED_S = 3600.0
"""How long a signed address works: the start of a download of many gigabytes, not its length, must fall into it."""


class Checkpoints:
    """Reads what runs have published; changes nothing."""

    def __init__(
        self,
        database: Database,
        evaluations: Evaluations,
        artifact_root: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._evaluations = evaluations
        self._artifact_root = artifact_root
        self._clock = clock

    async def kept(self, run_id: str) -> CheckpointList:
        """All that are kept, newest first. Raises NotFound, and Unavailable while the store does not answer."""
        manifests = await self._manifests(run_id, None)
        return CheckpointList(run_id=run_id, checkpoints=await self._described(run_id, manifests))

    async def downloads(self, run_id: str, version: int) -> CheckpointDownloads:
        """One version and an address for each of its files. Raises NotFound."""
        manifests = await self._manifests(run_id, version)
        if not manifests:
            raise NotFound(
                f"run {run_id} keeps no version {version}",
                code="version_not_found",
                hint=f"`skyscale checkpoints list {run_id}` shows what is kept; keep_versions says how many are.",
            )
        checkpoint = (await self._described(run_id, manifests))[0]
        expires_at = self._clock() + timedelta(seconds=SIGNED_S)
        store = await asyncio.to_thread(open_store, self._artifact_root)
        addresses: list[CheckpointDownload] = []
        for file in checkpoint.files:
            signed = store.download_url(f"{version_prefix(run_id, version)}/{file.name}", SIGNED_S)
            path = f"/api/rl/runs/{run_id}/checkpoints/{version}/files/{file.name}"
            addresses.append(
                CheckpointDownload(name=file.name, url=signed or path, expires_at=expires_at if signed else None)
            )
        return CheckpointDownloads(checkpoint=checkpoint, downloads=addresses)

    async def file(self, run_id: str, version: int, name: str) -> Path | str:
        """The file on this host, or a signed address of it. Raises NotFound for what the version does not have."""
        found = await self.downloads(run_id, version)
        url = next((each.url for each in found.downloads if each.name == name), None)
        if url is None:
            raise NotFound(f"version {version} has no file {name!r}", code="file_not_found")
        if not url.startswith("/"):
            return url
        store = await asyncio.to_thread(open_store, self._artifact_root)
        return Path(unquote(urlsplit(store.uri(f"{version_prefix(run_id, version)}/{name}")).path))

    async def _manifests(self, run_id: str, version: int | None) -> Sequence[tuple[Manifest, list[str]]]:
        async with self._database.read() as connection:
            await existing(connection, run_id)
        return await asyncio.to_thread(_read, self._artifact_root, run_id, version)

    async def _described(self, run_id: str, manifests: Sequence[tuple[Manifest, Sequence[str]]]) -> list[Checkpoint]:
        async with self._database.read() as connection:
            run = await existing(connection, run_id)
            published = {each.version for each in await queries.policies_of(connection, run_id, 0, run.newest_version)}
            rewards = {each.version: each.reward for each in await self._evaluations.results(connection, run_id)}
        store = await asyncio.to_thread(open_store, self._artifact_root)
        in_use = run.versions_in_use
        return [
            Checkpoint(
                run_id=run_id, version=each.version, parent=each.parent, created_at=each.created_at,
                uri=store.uri(version_prefix(run_id, each.version)),
                size_bytes=sum(file.size_bytes for file in each.files), files=_files(each, names),
                reward=rewards.get(each.version), is_newest=each.version == run.newest_version,
                is_best=each.version == run.best_version, is_in_use=each.version in in_use,
            )
            for each, names in manifests
            if each.version in published
        ]  # fmt: skip


def _read(artifact_root: str, run_id: str, version: int | None) -> list[tuple[Manifest, list[str]]]:
    store = open_store(artifact_root)
    prefix = f"runs/{run_id}/versions" if version is None else version_prefix(run_id, version)
    folders: dict[str, list[str]] = {}
    for key in store.list(prefix):
        folder, _, name = key.rpartition("/")
        folders.setdefault(folder, []).append(name)
    found = [(_manifest(store, folder), names) for folder, names in folders.items() if MANIFEST in names]
    kept = [(manifest, names) for manifest, names in found if manifest is not None]
    return sorted(kept, key=lambda each: each[0].version, reverse=True)


def _manifest(store: ArtifactStore, folder: str) -> Manifest | None:
    """None when retention was faster than we."""
    try:
        return Manifest.model_validate_json(store.get_bytes(f"{folder}/{MANIFEST}"))
    except (NotFound, ValidationError):
        return None


def _files(manifest: Manifest, names: Sequence[str]) -> list[CheckpointFile]:
    known = [CheckpointFile(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256) for file in manifest.files]
    listed = {file.name for file in known} | {MANIFEST}
    return known + [CheckpointFile(name=name, size_bytes=None, sha256=None) for name in names if name not in listed]
