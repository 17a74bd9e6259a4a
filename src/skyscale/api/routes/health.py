"""Is it alive, and what does it count."""

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from skyscale import __version__
from skyscale.api.deps import Parts, reply
from skyscale.wire.health import Health

router = APIRouter(tags=["service"])
PAGE = """<!doctype html><meta charset="utf-8"><title>Skyscale</title>
<body style="font: 16px/1.6 system-ui; max-width: 40rem; margin: 4rem auto">
<h1>Skyscale</h1><p>The control plane is running.</p>
<ul><li><a href="/docs">API reference</a></li><li><a href="/api/rl/runs">Runs</a></li>
<li><a href="/api/rl/env/problems">Problems</a></li><li><a href="/metrics">Metrics</a></li>
<li><a href="/health">Health</a></li></ul>"""


@router.get(
    "/health",
    summary="Is the control plane able to work",
    description="200 when it is; 503 when its database does not answer within two seconds.",
    operation_id="get_health",
    response_model=Health,
    responses={503: {"model": Health, "description": "The database does not answer"}},
)
async def health(parts: Parts) -> Response:
    """Ask the database for a sign of life."""
    is_up = await parts.database.answers()
    status = Health(
        status="ok" if is_up else "degraded", version=__version__, database="ok" if is_up else "unreachable"
    )
    return reply(status, 200 if is_up else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    description="All `skyscale_*` metrics in Prometheus' text format.",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Text exposition format"}},
)
async def metrics(parts: Parts) -> Response:
    """Everything counted so far."""
    return Response(parts.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
async def index() -> HTMLResponse:
    """A page for a person who opened the address in a browser."""
    return HTMLResponse(PAGE)
