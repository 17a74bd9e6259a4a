"""Names, states and quotas of services. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from skyscale.errors import Conflict, TooMany
from skyscale.wire.services import ServiceStatus, ServiceView

STARTING = {"QUEUED", "WAITING", "NEEDS_APPROVAL", "INITIALIZING", "BUILDING", "DEPLOYING"}
OVER = {"REMOVING", "REMOVED", "SKIPPED"}
ENDED = {"EXITED", "STOPPED", "REMOVED", "REMOVING", "SKIPPED"}


def mark_of(label: str) -> str:
    """What the names of a control plane's services begin with; `label` is the control plane's own."""
    return f"sky-{label[:4]}-"


def status_of(deployment: dict[str, Any] | None) -> ServiceStatus:
    """What Railway's words for a deployment mean. `SUCCESS` is running or ended: its instances say which."""
    if deployment is None:
        return ServiceStatus.CREATED
    status = deployment["status"]
    if deployment["deploymentStopped"] or status in OVER:
        return ServiceStatus.STOPPED
    if status in STARTING:
        return ServiceStatus.DEPLOYING
    if status == "SUCCESS":
        instances = {each["status"] for each in deployment["instances"]}
        if "CRASHED" in instances:
            return ServiceStatus.CRASHED
        return ServiceStatus.EXITED if instances and instances <= ENDED else ServiceStatus.RUNNING
    return {"SLEEPING": ServiceStatus.SLEEPING, "CRASHED": ServiceStatus.CRASHED}.get(status, ServiceStatus.FAILED)


def view_of(instance: dict[str, Any], mark: str, scheme: str) -> ServiceView:
    """A service instance of Railway's as our readers see it."""
    deployment: dict[str, Any] | None = instance["latestDeployment"]
    domains: list[dict[str, Any]] = instance["domains"]["serviceDomains"]
    source: dict[str, str | None] = instance["source"] or {}
    return ServiceView(
        name=instance["serviceName"].removeprefix(mark),
        service_id=instance["serviceId"],
        status=status_of(deployment),
        detail="" if deployment is None else deployment["status"],
        image=source.get("image"),
        url=f"{scheme}://{domains[0]['domain']}" if domains else None,
        deployment_id=None if deployment is None else deployment["id"],
        created_at=datetime.fromisoformat(instance["createdAt"]),
    )


def require_room(name: str, taken: Collection[str], most: int) -> None:
    """Raise Conflict for a name that is taken, TooMany when there are `most` services already."""
    if name in taken:
        raise Conflict(f"there is a service {name!r}", code="service_exists", hint="Delete it first, or take a name.")
    if len(taken) >= most:
        raise TooMany(
            f"there are {len(taken)} services, and RAILWAY_MAX_SERVICES is {most}", retry_after_s=60.0,
            code="service_quota", hint="Delete one.",
        )  # fmt: skip
