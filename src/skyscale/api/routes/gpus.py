"""What there is to run jobs on, and jobs to begin from."""

from fastapi import APIRouter, Response

from skyscale.api.deps import Caller, Parts, reply
from skyscale.auth.principal import require_reader
from skyscale.jobs.templates import TEMPLATES
from skyscale.wire.gpus import GpuInventory
from skyscale.wire.templates import TemplateList

router = APIRouter(prefix="/api", tags=["jobs"])


@router.get(
    "/gpus",
    summary="Accelerators by provider",
    description="Every provider with what it still needs, its place in GPU_PROVIDER_ORDER, and what it offers: our "
    "name and its own, memory, price and availability where it tells them. At most a minute old.",
    operation_id="list_gpus",
    response_model=GpuInventory,
)
async def list_gpus(parts: Parts, caller: Caller) -> Response:
    """The inventory."""
    require_reader(caller, None)
    return reply(await parts.inventory.read())


@router.get(
    "/templates",
    summary="Jobs to begin from",
    description="Bodies for `POST /api/training/jobs`.",
    operation_id="list_templates",
    response_model=TemplateList,
)
async def list_templates(caller: Caller) -> Response:
    """The templates."""
    require_reader(caller, None)
    return reply(TemplateList(templates=list(TEMPLATES)))
