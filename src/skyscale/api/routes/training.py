"""What a trainer reports of its steps."""

from fastapi import APIRouter, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_role
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
    run_id = body.job_id if body.job_id.startswith("rl-") else await parts.jobs.run_of(body.job_id)
    require_role(caller, run_id, {JobRole.TRAINER})
    await parts.runs.add_metrics(run_id, body)
    return Response(status_code=202)
