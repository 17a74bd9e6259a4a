"""The provider contract: what a place that runs jobs promises to the scheduler.

- `start` is called once per attempt, after the intent is on record; it returns a handle, a text that a later control
  plane can use. A start that raised may still have started something: `find` and `stop` must cope with it.
- `stop` is idempotent and safe on a half-started job. When it returns, nothing of the attempt is left running.
- The process gets `SKYSCALE_URL`, `SKYSCALE_JOB_TOKEN` and `SKYSCALE_JOB_ID`, dials out, and is never called.
- Errors: `Invalid` when it can never work, `Unavailable` when a later try may.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a provider can do, as data."""

    gpu_models: frozenset[str] | None
    """Accelerators it can give; None when it does not choose and the job finds what the host has."""
    runs_commands: bool
    """Runs a command line."""
    runs_images: bool
    """Runs a container image."""
    is_this_host: bool
    """Its jobs live on the control plane's host and are stopped when it shuts down in good order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLaunch:
    """One attempt to start."""

    job_id: str
    role: JobRole
    attempt: int
    command: Sequence[str]
    url: str
    """The control plane's URL as the job must dial it."""
    token: str = field(repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Added to the environment: what the caller of a custom job asked for."""
    docker_image: str | None = None
    gpu_model: str = "cpu"


class Provider(Protocol):
    """A place that runs jobs."""

    name: str
    abilities: Abilities

    async def start(self, launch: JobLaunch) -> str:
        """Start an attempt; its handle."""
        ...

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The handle of an attempt that was started but whose handle was never recorded, if it lives or ended."""
        ...

    async def poll(self, handle: str) -> Seen:
        """How the attempt is; `unknown` when the provider has no trace of it."""
        ...

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Ask it to end, kill it after the grace, verify. Without a handle: whatever is left of the job."""
        ...

    async def logs(self, job_id: str, max_bytes: int) -> str:
        """The newest part of what all attempts printed; empty when there is nothing."""
        ...
