"""Functions: code that is deployed once and called many times, each call in a fresh sandbox.

A version is named by the hash of everything that decides what a call does; it never changes. Inputs and outputs are
JSON values of bounded size.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from skyscale.wire.base import Reply, Request

MAX_CODE_CHARS = 1_000_000
MAX_INPUT_BYTES = 1024 * 1024
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")]
Version = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Gpu(Request):
    """Where a call runs that needs an accelerator: as a job of a provider, and not in a sandbox."""

    model: Annotated[str, Field(min_length=1, max_length=40)] = "cpu"
    """As `gpu_model` of jobs; `cpu` asks for none."""
    provider: Annotated[str, Field(min_length=1, max_length=40)] = "auto"
    """As of jobs: `auto` is the first that takes it."""
    docker_image: Annotated[str | None, Field(max_length=500)] = None
    """For providers that run images; it must have `python3`."""


class FunctionSpec(Request):
    """Everything that decides what a call does; the version is its hash."""

    runtime: Literal["python3"] = "python3"
    code: Annotated[str, Field(min_length=1, max_length=MAX_CODE_CHARS)]
    """A Python module."""
    entry: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$", max_length=200)] = "handler"
    """What is called: a function of the module, or `Class.method` of a new instance."""
    style: Literal["event", "arguments"] = "event"
    """`event`: called with the input as its one argument. `arguments`: the input is `{"args": [], "kwargs": {}}`."""
    requirements: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    """Packages as pip names them, pure Python only; no options, addresses or paths."""
    memory: Annotated[int, Field(ge=64, le=8192)] = 256
    """MB of all processes of one call together."""
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds of one call."""
    output_kb: Annotated[int, Field(ge=1, le=4096)] = 256
    """Of the result as JSON, and of stdout and of stderr of one call."""
    scaledown_window: Annotated[int, Field(ge=1, le=86400)] = 60
    """Seconds after the last call in which a fresh sandbox is kept ready; none is kept before the first call."""
    warm: Annotated[int, Field(ge=0, le=16)] = 2
    """Fresh sandboxes that are kept ready within that window."""
    gpu: Gpu | None = None
    """Set: each call is a job that may cost money and whose code runs as the provider's jobs do, without a sandbox."""


class FunctionDeploy(FunctionSpec):
    """The body of `POST /api/functions`."""

    name: FunctionName


class FunctionView(Reply):
    """A function and the version that is called when none is named."""

    name: str
    version: str
    spec: FunctionSpec
    created_at: datetime
    updated_at: datetime
    num_warm: int
    """Sandboxes of this version that are ready now."""


class FunctionPage(Reply):
    """All functions of a page, by name."""

    functions: list[FunctionView]
    next_cursor: str | None


class FunctionVersion(Reply):
    """One version of a function."""

    version: str
    created_at: datetime


class FunctionVersions(Reply):
    """Versions of a function, newest first."""

    versions: list[FunctionVersion]


class ExecutionStatus(StrEnum):
    """The life of an execution: queued -> running -> one of the others."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """It raised, ended itself, or returned what is no JSON."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    LOST = "lost"
    """Its sandbox or its control plane ended while it ran; it may have had effects and is not repeated."""


class Invoke(Request):
    """The body of an invocation."""

    input: JsonValue = None
    sync: bool = True
    """Wait for the result; otherwise the reply is 202 and the result is kept."""
    version: Version | None = None
    """The current one by default."""
    idempotency_key: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    """The same key of the same function again is the same execution, never a second one."""


class ExecutionView(Reply):
    """An execution."""

    execution_id: str
    function: str
    version: str
    status: ExecutionStatus
    output: JsonValue = None
    error_message: str | None = None
    error_traceback: str | None = None
    is_cold: bool | None = None
    """No sandbox was ready: the call waited for one to be made."""
    duration_ms: float | None = None
    """Inside the sandbox, from the start of the interpreter."""
    job_id: str | None = None
    """The job that runs it, where it is no sandbox."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


class ExecutionPage(Reply):
    """A page of executions, newest first."""

    executions: list[ExecutionView]
    next_cursor: str | None


class ExecutionLogs(Reply):
    """What an execution printed; complete when it has ended."""

    execution_id: str
    status: ExecutionStatus
    stdout: str
    stderr: str


class Web(Request):
    """How an endpoint is called over HTTP."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.~-]*$", max_length=200)] = "/"
    is_public: bool = False
    """Callable without credentials."""


class DeploymentCreate(FunctionSpec):
    """The body of `POST /api/deployments`: a function with an address of its own.

    A GET or DELETE passes the query as keyword arguments, the others their JSON object (`style` is `arguments`).
    """

    app_name: Annotated[str, Field(min_length=1, max_length=39)]
    endpoint_name: Annotated[str, Field(min_length=1, max_length=39)]
    web: Web = Web()
    style: Literal["event", "arguments"] = "arguments"
    replace: bool = False
    """Put the new version in the place of what has this slug; without it that is a conflict."""


class DeploymentView(Reply):
    """An endpoint."""

    id: str
    slug: str
    app_name: str
    endpoint_name: str
    function: str
    version: str
    url: str
    web_method: str
    web_path: str
    is_public: bool
    status: Literal["ready"] = "ready"
    scaledown_window: int
    created_at: datetime
    last_request_at: datetime | None


class DeploymentPage(Reply):
    """A page of endpoints, newest first."""

    deployments: list[DeploymentView]
    next_cursor: str | None


class ExecutionWork(Reply):
    """What the job of an execution needs to know: the reply to `GET /api/executions/{id}/work`."""

    code: str
    entry: str
    style: Literal["event", "arguments"]
    requirements: list[str]
    timeout: float
    output_bytes: int
    input: JsonValue
    harness: str
    """The program that calls the entry."""


class ExecutionResult(Request):
    """The body of `POST /api/executions/{id}/result`, sent by the execution's own job."""

    status: Literal["completed", "failed", "timeout", "output_limit"]
    output: Annotated[str | None, Field(max_length=4096 * 1024)] = None
    """JSON text."""
    error_message: Annotated[str | None, Field(max_length=4000)] = None
    error_traceback: Annotated[str | None, Field(max_length=40_000)] = None
    stdout: Annotated[str, Field(max_length=4096 * 1024)] = ""
    stderr: Annotated[str, Field(max_length=4096 * 1024)] = ""
    duration_ms: Annotated[float, Field(ge=0)] = 0.0
