"""The calls about compute, made and read: jobs of one's own, accelerators, templates, control planes, costs. Pure."""

from urllib.parse import quote

from skyscale.sdk.call import Call, get, post, reading
from skyscale.wire.artifacts import JobArtifacts
from skyscale.wire.base import new_id
from skyscale.wire.costs import Spending
from skyscale.wire.gpus import GpuInventory
from skyscale.wire.health import Health
from skyscale.wire.jobs import JobCreated, JobDetail, JobPage, JobView, TrainingJobCreate
from skyscale.wire.replicas import ReplicaList
from skyscale.wire.templates import TemplateList

JOBS = "/api/training/jobs"


def create_job(body: TrainingJobCreate) -> Call[JobCreated]:
    """`POST /api/training/jobs`; gives the job an id unless it has one, so that a retry finds the first one's job."""
    return post(JOBS, reading(JobCreated), body.model_copy(update={"job_id": body.job_id or new_id("job")}))


def list_jobs(run_id: str | None, cursor: str | None, limit: int | None) -> Call[JobPage]:
    """`GET /api/training/jobs`."""
    return get(JOBS, reading(JobPage), run_id=run_id, cursor=cursor, limit=limit)


def get_job(job_id: str) -> Call[JobDetail]:
    """`GET /api/training/jobs/{id}`."""
    return get(f"{JOBS}/{job_id}", reading(JobDetail))


def cancel_job(job_id: str) -> Call[JobView]:
    """`DELETE /api/training/jobs/{id}`."""
    return Call("DELETE", f"{JOBS}/{job_id}", reading(JobView))


def artifacts(job_id: str) -> Call[JobArtifacts]:
    """`GET /api/training/jobs/{id}/artifacts`."""
    return get(f"{JOBS}/{job_id}/artifacts", reading(JobArtifacts))


def artifact_path(job_id: str, name: str) -> str:
    """Where one of them is downloaded."""
    return f"{JOBS}/{job_id}/artifacts/{quote(name)}"


def gpus() -> Call[GpuInventory]:
    """`GET /api/gpus`; providers that are slow to answer hold it."""
    return get("/api/gpus", reading(GpuInventory), hold_s=20.0)


def templates() -> Call[TemplateList]:
    """`GET /api/templates`."""
    return get("/api/templates", reading(TemplateList))


def replicas() -> Call[ReplicaList]:
    """`GET /api/replicas`."""
    return get("/api/replicas", reading(ReplicaList))


def costs() -> Call[Spending]:
    """`GET /api/costs`."""
    return get("/api/costs", reading(Spending))


def health() -> Call[Health]:
    """`GET /health`."""
    return get("/health", reading(Health))
