"""Container services: a container with an HTTP port at a hosting provider, from a template or an image."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyscale.wire.base import Reply, Request
from skyscale.wire.costs import ServiceCost

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,22}[a-z0-9]$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"


class ServiceStatus(StrEnum):
    """What a service is doing."""

    CREATED = "created"
    """It is there, and nothing of it has been started."""
    DEPLOYING = "deploying"
    RUNNING = "running"
    SLEEPING = "sleeping"
    """It wakes up when it is called."""
    EXITED = "exited"
    """Its program ended by itself."""
    CRASHED = "crashed"
    FAILED = "failed"
    """It could not be started."""
    STOPPED = "stopped"


class ServiceTemplate(Reply):
    """Something to deploy that comes along."""

    name: str
    title: str
    description: str
    image: str
    port: int
    test_path: str
    """Where a test call goes."""
    test_method: Literal["GET", "POST"]
    test_body: str | None
    variables: dict[str, str]
    """What may be set, with its default."""


class ServiceTemplates(Reply):
    """`GET /api/services/templates`."""

    templates: list[ServiceTemplate]
    is_configured: bool
    """Whether this control plane has credentials to deploy with."""


class ServiceDeploy(Request):
    """The body of `POST /api/services`: a template, or an image of your own."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    template: Annotated[str, Field(max_length=40)] | None = None
    image: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\s]+$")] | None = None
    command: Annotated[str, Field(max_length=2000)] | None = None
    """Replaces what the image starts; not with a template."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Where the image listens; it also gets it as PORT."""
    health_path: Annotated[str, Field(pattern=r"^/\S*$", max_length=200)] | None = None
    """Answered with 200 before the service counts as running; a template brings its own."""
    env_vars: Annotated[
        dict[Annotated[str, Field(pattern=ENV_PATTERN)], Annotated[str, Field(max_length=32768)]],
        Field(max_length=100),
    ] = {}
    vcpus: Annotated[float, Field(gt=0, le=32)] = 1.0
    memory_gb: Annotated[float, Field(gt=0, le=32)] = 0.5
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """It is stopped before it has cost more than this."""

    @model_validator(mode="after")
    def _a_template_or_an_image(self) -> "ServiceDeploy":
        if (self.template is None) == (self.image is None):
            raise ValueError("give one of template and image")
        if self.template is not None and self.command is not None:
            raise ValueError("command: a template brings its own")
        return self


class ServiceView(Reply):
    """A service as it is now."""

    name: str
    service_id: str
    """The provider's."""
    status: ServiceStatus
    detail: str
    """The provider's own word for it."""
    image: str | None
    url: str | None
    deployment_id: str | None
    created_at: datetime | None
    cost: ServiceCost | None = None
    """Null for one from before there were meters."""


class ServiceList(Reply):
    """The services that this control plane made, by name."""

    services: list[ServiceView]


class ServiceLogLine(Reply):
    """One line that a service wrote."""

    timestamp: datetime
    level: str
    message: str


class ServiceLogs(Reply):
    """The newest lines, oldest first."""

    name: str
    lines: list[ServiceLogLine]


class ServiceCall(Request):
    """The body of `POST /api/services/{name}/call`: one HTTP request to the service; empty, its template's test."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Annotated[str, Field(pattern=r"^/[^\s\\]*$", max_length=2000)] = "/"
    body: Annotated[str, Field(max_length=262_144)] | None = None
    content_type: Annotated[str, Field(max_length=100, pattern=r"^[\x20-\x7e]+$")] = "application/json"
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 20.0


class ServiceCalled(Reply):
    """What the service answered."""

    status_code: int
    content_type: str
    body: str
    """At most 256 KiB; bytes that are no text are replaced."""
    is_cut: bool
    duration_ms: float
