"""Jobs: the processes of a run, their states, and the three calls every one of them makes.

A job is started with three environment variables: `SKYSCALE_URL`, `SKYSCALE_JOB_TOKEN`, `SKYSCALE_JOB_ID`.
It then fetches its `JobAssignment`, sends heartbeats, and always dials out.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request
from skyscale.wire.costs import JobCost
from skyscale.wire.runs import RunSpec


class JobRole(StrEnum):
    """What a job's process does."""

    POLICY = "policy"
    TRAINER = "trainer"
    WORKER = "worker"
    LOGGER = "logger"
    """Copies the run's numbers elsewhere; its failure is not the run's."""
    CUSTOM = "custom"


class JobStatus(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    """Wanted; waits for its turn, its back-off, or (workers, trainer) for a healthy policy server."""
    STARTING = "starting"
    """Claimed by a dispatcher; the provider has been or is being asked."""
    RUNNING = "running"
    """Its process is known to the provider."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Out of attempts; `reason` says what the last one died of."""
    LOST = "lost"
    """The provider no longer knows it or it fell silent; it is retried within the budget."""
    CANCELLED = "cancelled"


class JobAssignment(Reply):
    """What a job needs to know to do its work: the reply to `GET /api/jobs/{job_id}/assignment`."""

    job_id: str
    run_id: str
    role: JobRole
    index: int
    """Position among the run's jobs of this role."""
    attempt: int
    spec: RunSpec
    model_path: str
    """Where the base model lies: a local folder or a Hugging Face id."""
    artifact_root: str
    """Root of the artifact store, for example `file:///var/lib/skyscale/artifacts`."""
    heartbeat_s: float
    """How often to send heartbeats."""
    artifact_settings: dict[str, str] = {}
    """Settings that open the artifact store, secrets among them; only for trainers and policy servers on S3."""


class Heartbeat(Request):
    """The body of `POST /api/jobs/{job_id}/heartbeat`."""

    detail: Annotated[str, Field(max_length=300)] = ""
    """What the process is doing, in a few words a person can read."""
    policy_version: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Policy servers: the version now being served."""
    metrics: dict[str, float] = {}
    """Latest observations, for example tokens_per_s, idle_share, groups_in_flight."""


class HeartbeatReply(Reply):
    """What the control plane wants of the job. A job that must end is answered 410 instead."""

    desired: Literal["run", "finish"]
    """`finish`: end in good order (trainer: last checkpoint) and exit 0."""
    policy_url: str | None
    """Base URL of the run's healthy policy server, if any."""
    policy_version: int
    """Newest published version, so that a policy server that missed a reload catches up."""
    manifest_uri: str | None
    """Manifest of that version; null for version 0, the base model."""
    pinned_versions: list[int] = []
    """Trainer: published versions that must not be deleted: the best so far and those in use."""


class TrainingJobCreate(Request):
    """The body of `POST /api/training/jobs`: any command as a job of its own."""

    job_id: Annotated[str, Field(pattern=r"^job-[a-z0-9][a-z0-9-]{2,60}$")] | None = None
    """Client-made id; the same body again returns the same job."""
    docker_image: Annotated[str, Field(max_length=500)] | None = None
    """Image for providers that run images; the local provider runs `command` as a process."""
    command: list[str] = []
    gpu_model: Annotated[str, Field(min_length=1, max_length=40)] = "cpu"
    """`cpu`, `any`, a model like `a100`, or several of one: `a100:2`. GET /api/gpus lists them."""
    provider: Annotated[str, Field(min_length=1, max_length=40)] = "auto"
    """Where it runs; `auto` is the first of GPU_PROVIDER_ORDER that takes it."""
    capacity: Literal["on_demand", "preemptible"] | None = None
    """Whether its machine may be taken away while it runs; null takes what the provider gives."""
    env_vars: dict[str, str] = {}
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 1
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """It is stopped before it has cost more than this by list prices."""
    timeout_s: Annotated[float, Field(gt=0, le=604800)] = 86400.0


class JobView(Reply):
    """A job as its readers see it."""

    job_id: str
    execution_id: str
    """`exec-` + job id: the name the job has in replies of `POST /api/training/jobs`."""
    run_id: str | None
    role: JobRole
    index: int
    status: JobStatus
    reason: str | None
    provider: str
    gpu_model: str
    attempt: int
    detail: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    cost: JobCost | None = None
    """Of a job of its own; the jobs of a run are in the run's cost."""


class JobDetail(Reply):
    """A job with the newest part of its log."""

    job: JobView
    logs: str
    """The last 64 KiB of standard output and error, interleaved."""


class JobPage(Reply):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None


class JobCreated(Reply):
    """The reply to `POST /api/training/jobs`."""

    execution_id: str
    job_id: str
    status: JobStatus
