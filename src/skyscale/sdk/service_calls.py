"""The calls of container services, made and read. Pure.

Deploying and calling are never repeated: nothing says that they would do no harm twice.
"""

from skyscale.sdk.call import Call, get, nothing, post, reading
from skyscale.wire.services import (
    ServiceCall,
    ServiceCalled,
    ServiceDeploy,
    ServiceList,
    ServiceLogs,
    ServiceTemplates,
    ServiceView,
)

PATH = "/api/services"


def templates() -> Call[ServiceTemplates]:
    """`GET /api/services/templates`."""
    return get(f"{PATH}/templates", reading(ServiceTemplates))


def deploy(body: ServiceDeploy) -> Call[ServiceView]:
    """`POST /api/services`."""
    # Up to seven calls of Railway's, one after the other.
    return post(PATH, reading(ServiceView), body, is_repeatable=False, hold_s=120.0)


def listing() -> Call[ServiceList]:
    """`GET /api/services`."""
    return get(PATH, reading(ServiceList))


def show(name: str) -> Call[ServiceView]:
    """`GET /api/services/{name}`."""
    return get(f"{PATH}/{name}", reading(ServiceView))


def logs(name: str, limit: int) -> Call[ServiceLogs]:
    """`GET /api/services/{name}/logs`."""
    return get(f"{PATH}/{name}/logs", reading(ServiceLogs), limit=limit)


def call(name: str, body: ServiceCall) -> Call[ServiceCalled]:
    """`POST /api/services/{name}/call`."""
    return post(f"{PATH}/{name}/call", reading(ServiceCalled), body, is_repeatable=False, hold_s=body.timeout_s)


def stop(name: str) -> Call[None]:
    """`POST /api/services/{name}/stop`."""
    return Call("POST", f"{PATH}/{name}/stop", nothing)


def delete(name: str) -> Call[None]:
    """`DELETE /api/services/{name}`."""
    return Call("DELETE", f"{PATH}/{name}", nothing)
