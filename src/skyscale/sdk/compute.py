"""What both clients say about compute: jobs of one's own, accelerators, templates, control planes, costs."""

from pathlib import Path

from skyscale.sdk import compute_calls as calls
from skyscale.sdk import downloads
from skyscale.sdk.transport import AsyncTransport, Transport
from skyscale.wire.artifacts import JobArtifacts
from skyscale.wire.costs import Spending
from skyscale.wire.gpus import GpuInventory
from skyscale.wire.health import Health
from skyscale.wire.jobs import JobCreated, JobDetail, JobPage, JobView, TrainingJobCreate
from skyscale.wire.replicas import ReplicaList
from skyscale.wire.templates import TemplateList


class Compute:
    """Methods of `Client`."""

    transport: Transport

    def create_job(self, body: TrainingJobCreate) -> JobCreated:
        """Run any command as a job."""
        return self.transport.send(calls.create_job(body))

    def jobs(self, run_id: str | None = None, cursor: str | None = None, limit: int | None = None) -> JobPage:
        """A page of jobs, newest first."""
        return self.transport.send(calls.list_jobs(run_id, cursor, limit))

    def job(self, job_id: str) -> JobDetail:
        """A job with the newest part of its log."""
        return self.transport.send(calls.get_job(job_id))

    def cancel_job(self, job_id: str) -> JobView:
        """Ask a job of its own to stop; again changes nothing. Conflict for a job of a run."""
        return self.transport.send(calls.cancel_job(job_id))

    def job_artifacts(self, job_id: str) -> JobArtifacts:
        """The files that a job left behind, by name."""
        return self.transport.send(calls.artifacts(job_id))

    def gpus(self) -> GpuInventory:
        """Accelerators by provider, and what each provider still needs; at most a minute old."""
        return self.transport.send(calls.gpus())

    def templates(self) -> TemplateList:
        """Jobs to begin from."""
        return self.transport.send(calls.templates())

    def replicas(self) -> ReplicaList:
        """The control planes on this database, and which of them leads."""
        return self.transport.send(calls.replicas())

    def costs(self) -> Spending:
        """What runs, jobs of their own and services have cost together, and cost now."""
        return self.transport.send(calls.costs())

    def status(self) -> Health:
        """Version and state of the control plane; Unavailable when its database does not answer."""
        return self.transport.send(calls.health())

    def fetch_artifact(self, job_id: str, name: str, into: Path) -> int:
        """Write one of a job's files to `into`; its size in bytes. The file appears when it is whole."""
        return downloads.download(self.transport, calls.artifact_path(job_id, name), {}, into)


class AsyncCompute:
    """Methods of `AsyncClient`."""

    transport: AsyncTransport

    async def create_job(self, body: TrainingJobCreate) -> JobCreated:
        """Run any command as a job."""
        return await self.transport.send(calls.create_job(body))

    async def jobs(self, run_id: str | None = None, cursor: str | None = None, limit: int | None = None) -> JobPage:
        """A page of jobs, newest first."""
        return await self.transport.send(calls.list_jobs(run_id, cursor, limit))

    async def job(self, job_id: str) -> JobDetail:
        """A job with the newest part of its log."""
        return await self.transport.send(calls.get_job(job_id))

    async def cancel_job(self, job_id: str) -> JobView:
        """Ask a job of its own to stop; again changes nothing. Conflict for a job of a run."""
        return await self.transport.send(calls.cancel_job(job_id))

    async def job_artifacts(self, job_id: str) -> JobArtifacts:
        """The files that a job left behind, by name."""
        return await self.transport.send(calls.artifacts(job_id))

    async def gpus(self) -> GpuInventory:
        """Accelerators by provider, and what each provider still needs; at most a minute old."""
        return await self.transport.send(calls.gpus())

    async def templates(self) -> TemplateList:
        """Jobs to begin from."""
        return await self.transport.send(calls.templates())

    async def replicas(self) -> ReplicaList:
        """The control planes on this database, and which of them leads."""
        return await self.transport.send(calls.replicas())

    async def costs(self) -> Spending:
        """What runs, jobs of their own and services have cost together, and cost now."""
        return await self.transport.send(calls.costs())

    async def status(self) -> Health:
        """Version and state of the control plane; Unavailable when its database does not answer."""
        return await self.transport.send(calls.health())

    async def fetch_artifact(self, job_id: str, name: str, into: Path) -> int:
        """Write one of a job's files to `into`; its size in bytes. The file appears when it is whole."""
        return await downloads.download_async(self.transport, calls.artifact_path(job_id, name), {}, into)
