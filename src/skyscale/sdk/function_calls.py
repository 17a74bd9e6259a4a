"""The calls of functions, executions and endpoints, made and read. Pure.

A call of a function may be repeated because the client gives it an idempotency key first: it runs once.
"""

from urllib.parse import quote

from skyscale.sdk.call import Call, get, nothing, post, reading
from skyscale.wire.base import new_id
from skyscale.wire.functions import (
    DeploymentCreate,
    DeploymentPage,
    DeploymentView,
    ExecutionLogs,
    ExecutionPage,
    ExecutionView,
    FunctionDeploy,
    FunctionPage,
    FunctionVersions,
    FunctionView,
    Invoke,
)

FUNCTIONS, EXECUTIONS, DEPLOYMENTS = "/api/functions", "/api/executions", "/api/deployments"
DEPLOY_S = 200.0
"""The server may have to fetch requirements."""
HOLD_S = 900.0
"""The longest that the server holds a synchronous call."""


def deploy(body: FunctionDeploy) -> Call[FunctionView]:
    """`POST /api/functions`; the same again changes nothing."""
    return post(FUNCTIONS, reading(FunctionView), body, hold_s=DEPLOY_S)


def listing(cursor: str | None, limit: int | None) -> Call[FunctionPage]:
    """`GET /api/functions`."""
    return get(FUNCTIONS, reading(FunctionPage), cursor=cursor, limit=limit)


def show(name: str) -> Call[FunctionView]:
    """`GET /api/functions/{name}`."""
    return get(f"{FUNCTIONS}/{_part(name)}", reading(FunctionView))


def versions(name: str) -> Call[FunctionVersions]:
    """`GET /api/functions/{name}/versions`."""
    return get(f"{FUNCTIONS}/{_part(name)}/versions", reading(FunctionVersions))


def delete(name: str) -> Call[None]:
    """`DELETE /api/functions/{name}`."""
    return Call("DELETE", f"{FUNCTIONS}/{_part(name)}", nothing)


def invoke(name: str, body: Invoke) -> Call[ExecutionView]:
    """`POST /api/functions/{name}/invoke`."""
    if not body.sync and body.idempotency_key is None:
        body = body.model_copy(update={"idempotency_key": new_id("call")})
    # A synchronous call without a key is kept off the disk while it runs, and is sent once: it may have run.
    return post(
        f"{FUNCTIONS}/{_part(name)}/invoke", reading(ExecutionView), body,
        is_repeatable=body.idempotency_key is not None, hold_s=HOLD_S if body.sync else 0.0,
    )  # fmt: skip


def execution(execution_id: str) -> Call[ExecutionView]:
    """`GET /api/executions/{id}`."""
    return get(f"{EXECUTIONS}/{_part(execution_id)}", reading(ExecutionView))


def executions(function: str | None, cursor: str | None, limit: int | None) -> Call[ExecutionPage]:
    """`GET /api/executions`."""
    return get(EXECUTIONS, reading(ExecutionPage), function=function, cursor=cursor, limit=limit)


def logs(execution_id: str) -> Call[ExecutionLogs]:
    """`GET /api/executions/{id}/logs`."""
    return get(f"{EXECUTIONS}/{_part(execution_id)}/logs", reading(ExecutionLogs))


def create_endpoint(body: DeploymentCreate) -> Call[DeploymentView]:
    """`POST /api/deployments`; the same again is the same endpoint."""
    return post(DEPLOYMENTS, reading(DeploymentView), body, hold_s=DEPLOY_S)


def endpoints(cursor: str | None, limit: int | None) -> Call[DeploymentPage]:
    """`GET /api/deployments`."""
    return get(DEPLOYMENTS, reading(DeploymentPage), cursor=cursor, limit=limit)


def endpoint(deployment_id: str) -> Call[DeploymentView]:
    """`GET /api/deployments/{id}`."""
    return get(f"{DEPLOYMENTS}/{_part(deployment_id)}", reading(DeploymentView))


def delete_endpoint(deployment_id: str) -> Call[None]:
    """`DELETE /api/deployments/{id}`."""
    return Call("DELETE", f"{DEPLOYMENTS}/{_part(deployment_id)}", nothing)


def _part(name: str) -> str:
    return quote(name, safe="")
