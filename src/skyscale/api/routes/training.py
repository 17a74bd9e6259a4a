"""What a trainer reports of its steps."""

from fastapi import APIRouter, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body
from skyscale.api.errors import RESPONSES
from skyscale.api.services import Services
from skyscale.auth.principal import Principal, require_role
from skyscale.errors import Conflict
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import TrainingMetrics

router = APIRouter(prefix="/api/training", tags=["training"], responses=RESPONSES)


@router.post(
    "/metrics",
    summary="Report a training step",
    description="Kept with the run and shown as `skyscale_training_*`. `job_id` names a trainer job, or the run itself.",
    operation_id="report_training_metrics",
    status_code=202,
    openapi_extra=body_of(TrainingMetrics),
)
async def report_training_metrics(request: Request, parts: Parts, caller: Caller) -> Response:
    """Keep one report."""
    body = await read_body(request, TrainingMetrics)
    run_id = await _run_of(body.job_id, parts, caller)
    require_role(caller, run_id, {JobRole.TRAINER})
    await parts.runs.add_metrics(run_id, body)
    return Response(status_code=202)


async def _run_of(job_id: str, parts: Services, caller: Principal) -> str:
    if caller.job_id == job_id and caller.run_id is not None:
        return caller.run_id
    run_id = job_id if job_id.startswith("rl-") else (await parts.jobs.detail(job_id)).job.run_id
    if run_id is None:
        raise Conflict(
            f"{job_id} belongs to no run, so there is nothing to keep its metrics with", code="job_of_no_run"
        )
    return run_id
