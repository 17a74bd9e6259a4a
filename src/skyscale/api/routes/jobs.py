"""Training jobs for people, and the two calls that every job's process makes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.auth.principal import Principal, require_job, require_operator, require_reader
from skyscale.errors import BadRequest
from skyscale.jobs.queries import JobFilter
from skyscale.wire.jobs import (
    Heartbeat,
    HeartbeatReply,
    JobAssignment,
    JobCreated,
    JobDetail,
    JobPage,
    JobRole,
    JobStatus,
    JobView,
    TrainingJobCreate,
)

router = APIRouter(tags=["jobs"])


@router.post(
    "/api/training/jobs",
    summary="Run any command as a job",
    description="Idempotent by `job_id`: the same body again is the same job, another body under the same id is a 409.",
    operation_id="create_training_job",
    status_code=202,
    response_model=JobCreated,
    openapi_extra=body_of(TrainingJobCreate),
)
async def create(request: Request, parts: Parts, caller: Caller) -> Response:
    """Queue a custom job."""
    require_operator(caller)
    return reply(await parts.jobs.create_custom(await read_body(request, TrainingJobCreate)), 202)


@router.get(
    "/api/training/jobs",
    summary="List jobs, newest first",
    operation_id="list_training_jobs",
    response_model=JobPage,
)
async def list_jobs(
    parts: Parts,
    caller: Caller,
    run_id: Annotated[str | None, Query(max_length=60)] = None,
    role: JobRole | None = None,
    status: JobStatus | None = None,
    provider: Annotated[str | None, Query(max_length=40)] = None,
    cursor: Annotated[str | None, Query(max_length=40)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """A page of jobs of all runs, or of one."""
    require_reader(caller, run_id)
    filters = JobFilter(run_id=run_id, role=role, status=status, provider=provider)
    return reply(await parts.jobs.list(filters, cursor, limit))


@router.get(
    "/api/training/jobs/{job_id}",
    summary="A job's status and the end of its log",
    operation_id="get_training_job",
    response_model=JobDetail,
)
async def show(job_id: str, parts: Parts, caller: Caller) -> Response:
    """A job with its last 64 KiB of output."""
    detail = await parts.jobs.detail(job_id)
    if caller.job_id != job_id:
        require_reader(caller, detail.job.run_id)
    return reply(detail)


@router.delete(
    "/api/training/jobs/{job_id}",
    summary="Cancel a custom job",
    description="Idempotent; the job is `cancelled` once its processes are gone. Jobs of a run end with their run.",
    operation_id="cancel_training_job",
    status_code=202,
    response_model=JobView,
)
async def cancel(job_id: str, parts: Parts, caller: Caller) -> Response:
    """Ask a custom job to stop."""
    require_operator(caller)
    return reply(await parts.jobs.cancel(job_id), 202)


@router.get(
    "/api/jobs/{job_id}/assignment",
    summary="What a job's process must know",
    operation_id="get_job_assignment",
    response_model=JobAssignment,
)
async def assignment(job_id: str, parts: Parts, caller: Caller) -> Response:
    """The first call of every job of a run."""
    require_job(caller, job_id)
    return reply(await parts.jobs.assignment(job_id, with_secrets=caller.kind == "job"))


@router.post(
    "/api/jobs/{job_id}/heartbeat",
    summary="Sign of life of a job's process",
    description="410 means: end at once, nothing more is wanted of this attempt.",
    operation_id="send_job_heartbeat",
    response_model=HeartbeatReply,
    openapi_extra=body_of(Heartbeat),
)
async def heartbeat(job_id: str, request: Request, parts: Parts, caller: Caller) -> Response:
    """Record it; answer what is wanted and where the policy is."""
    require_job(caller, job_id)
    attempt = _attempt(caller)
    beat = await read_body(request, Heartbeat)
    desired = await parts.jobs.heartbeat(job_id, attempt, beat)
    if caller.run_id is None:
        return reply(HeartbeatReply(desired=desired, policy_url=None, policy_version=0, manifest_uri=None))
    found = await parts.runs.heard(caller.run_id, caller, beat.policy_version)
    if caller.role is not None:
        parts.metrics.reported.heard(caller.run_id, caller.role, job_id, beat.metrics)
    return reply(
        HeartbeatReply(
            desired=desired,
            policy_url=found.policy_url,
            policy_version=found.version,
            manifest_uri=found.manifest_uri,
            pinned_versions=found.versions_in_use if caller.role is JobRole.TRAINER else [],
        )
    )


def _attempt(caller: Principal) -> int:
    if caller.attempt is None:
        raise BadRequest("only a job's own token says which attempt is alive", code="job_token_needed")
    return caller.attempt
