"""What jobs leave behind: files in the artifact store, below `jobs/<job id>/`, sent by the job with its own token.

- A file that is sent again replaces the earlier one; readers see the old bytes or the new.
- They outlive their job. At most `MAX_FILES` of a job, each at most what the control plane takes as a body.
"""

import asyncio
from urllib.parse import quote

from skyscale.artifacts.store import ArtifactStore
from skyscale.errors import Conflict, NotFound
from skyscale.jobs import queries
from skyscale.store.engine import Database
from skyscale.wire.artifacts import JobArtifact, JobArtifacts

MAX_FILES = 100


class JobOutputs:
    """The only writer of jobs' files."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        self._db = database
        self._store = store

    async def put(self, job_id: str, name: str, data: bytes) -> JobArtifact:
        """Keep a file. Raises NotFound for a job that does not exist, Conflict when it has too many."""
        await self._require(job_id)
        names = await self._names(job_id)
        if name not in names and len(names) >= MAX_FILES:
            raise Conflict(f"{job_id} has {MAX_FILES} artifacts already", code="too_many_artifacts", hint="Pack them.")
        digest = await asyncio.to_thread(self._store.put_bytes, _key(job_id, name), data)
        return self._described(job_id, name).model_copy(
            update={"size_bytes": digest.size_bytes, "sha256": digest.sha256}
        )

    async def get(self, job_id: str, name: str) -> bytes:
        """A file's bytes. Raises NotFound."""
        await self._require(job_id)
        try:
            return await asyncio.to_thread(self._store.get_bytes, _key(job_id, name))
        except NotFound as error:
            raise NotFound(f"{job_id} has no artifact {name!r}", code="artifact_not_found") from error

    async def of_job(self, job_id: str) -> JobArtifacts:
        """A job's files by name."""
        await self._require(job_id)
        return JobArtifacts(
            job_id=job_id, artifacts=[self._described(job_id, name) for name in await self._names(job_id)]
        )

    async def _names(self, job_id: str) -> list[str]:
        keys = await asyncio.to_thread(self._store.list, f"jobs/{job_id}")
        return [key.rpartition("/")[2] for key in keys]

    async def _require(self, job_id: str) -> None:
        async with self._db.read() as connection:
            if await queries.get(connection, job_id) is None:
                raise NotFound(f"there is no job {job_id}", code="job_not_found")

    def _described(self, job_id: str, name: str) -> JobArtifact:
        return JobArtifact(
            name=name,
            url=f"/api/training/jobs/{job_id}/artifacts/{quote(name)}",
            uri=self._store.uri(_key(job_id, name)),
        )


def _key(job_id: str, name: str) -> str:
    return f"jobs/{job_id}/{name}"
