"""The provider contract: what a place that runs jobs promises to the scheduler.

Starting, in this order, so that nothing is ever started twice:

    intent      the scheduler writes which provider is asked for which attempt, and commits
    start       called once per attempt; the provider names the job by `external_name` and labels it (`labels`)
    unknown     a start that raised anything but Invalid, Refused or NoCapacity may have started something:
                `find` by name; found is adopted; not found is stopped by name and only then tried again

- `start` returns a handle, a text that any later control plane can use. A deadline that cancels it must not leak: a
  provider whose create call cannot be cancelled safely shields it, so that `find` sees what became of it.
- `stop` is idempotent and safe on a half-started job. When it returns, nothing of the attempt is left running.
- Every attempt carries `timeout_s` at the provider itself, which ends it when no control plane lives to do so.
- The process gets `SKYSCALE_URL`, `SKYSCALE_JOB_TOKEN`, `SKYSCALE_JOB_ID` and `SKYSCALE_JOB_ATTEMPT`, and dials out.
- An SDK is imported inside the calls that need it; without it, or without credentials, `missing` says what to do.
- Errors: `Invalid` it can never work here; `Refused` this account may not; `NoCapacity` not now; `Unavailable` else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skyscale.errors import Unavailable
from skyscale.jobs.rules import Seen, external_name
from skyscale.wire.jobs import JobRole

DAY_S = 86400.0


class NoCapacity(Unavailable):
    """The provider has nothing free of what was asked; nothing was started."""

    code, hint = "no_capacity", "Try again later, or name several providers in GPU_PROVIDER_ORDER."


class Unreachable(NoCapacity):
    """No connection to the provider could be made; nothing was sent."""

    code, hint = "provider_unreachable", "Check the provider's address and that it is up."


class Refused(Unavailable):
    """The provider refuses this account: credentials, quota or credit; nothing was started."""

    code, hint = "provider_refused", "Check the provider's credentials, quota and balance."


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
    is_remote: bool = False
    """Its jobs run outside this network: they need a public URL of the control plane and a shared artifact store."""
    may_queue: bool = False
    """A started job may wait at the provider (`Seen("pending")`) before its process runs."""
    shares_network: bool = False
    """Its machines and this one reach each other by their own addresses, on which what must be reached listens."""
    maps_ports: bool = False
    """What listens on a port of `JobLaunch.ports` is reached at another address, which `addresses` tells."""
    capacities: frozenset[str] = frozenset({"on_demand"})
    """`on_demand`, `preemptible` or both: whether its machines may be taken away while a job runs."""
    gpu_capacities: frozenset[str] | None = None
    """The same of machines with an accelerator, where it differs."""
    python: str | None = None
    """Interpreter of runs' processes over there; None is the control plane's own."""
    start_s: float = 30.0
    """How long `start` may take."""
    quiet_s: float = 120.0
    """How long a started process may take until its first heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a provider is made from; its credentials are settings of its own."""

    jobs_dir: Path
    """Folder for jobs' files, one folder per job in it."""
    owner: str
    """12 hex digits that tell this installation from others on the same account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLaunch:
    """One attempt to start."""

    job_id: str
    role: JobRole
    attempt: int
    command: Sequence[str]
    """Full argument vector; empty only for a custom job that runs its image as it is."""
    url: str
    """The control plane's URL as the job must dial it."""
    token: str = field(repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Added to the environment: what the caller of a custom job asked for."""
    docker_image: str | None = None
    gpu_model: str = "cpu"
    """As `gpus.parse` reads it."""
    cpus: float = 1.0
    """Processor cores wanted."""
    memory_mb: int = 1024
    timeout_s: float = DAY_S
    """The provider's own hard limit on the attempt; one that has a lower limit applies that."""
    capacity: str | None = None
    """`on_demand` or `preemptible`, one that the provider has; None is whatever it gives."""
    ports: Sequence[int] = ()
    """Ports the process listens on and that others must reach."""

    @property
    def name(self) -> str:
        """The attempt's name at the provider."""
        return external_name(self.job_id, self.attempt)

    def settings(self) -> dict[str, str]:
        """The variables every job's process gets; they win over `env`."""
        return {
            "SKYSCALE_URL": self.url,
            "SKYSCALE_JOB_TOKEN": self.token,
            "SKYSCALE_JOB_ID": self.job_id,
            "SKYSCALE_JOB_ATTEMPT": str(self.attempt),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An accelerator as the provider has it."""

    gpu_model: str
    """Our name."""
    name: str
    """The provider's name."""
    memory_gb: int | None
    usd_per_hour: float | None
    """Of one; None when unknown or nobody bills it."""
    total: int | None = None
    """How many the provider says exist; None when it does not tell."""
    available: int | None = None
    """How many of them are free; None when it does not tell."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A live job at the provider that carries our owner label."""

    job_id: str
    attempt: int
    handle: str


class Provider(Protocol):
    """A place that runs jobs; made from a `Setup`, and cheap to make."""

    name: str
    abilities: Abilities

    def missing(self) -> str | None:
        """What must be done before it can be used (`pip install ...`, a setting); None when it is ready. No I/O."""
        ...

    async def start(self, launch: JobLaunch) -> str:
        """Start an attempt; its handle."""
        ...

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The handle of an attempt that was started but whose handle was never recorded, if it lives or ended."""
        ...

    async def poll(self, handle: str) -> Seen:
        """How the attempt is; `unknown` when the provider has no trace of it. Raises Unavailable without an answer."""
        ...

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Ask it to end, kill it after the grace, verify. Without a handle: whatever is left of the job."""
        ...

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """The newest part of what was printed, of all attempts where the provider keeps them; else of the handle's."""
        ...

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """Port -> base URL at which others reach it; empty while unknown and where ports are not mapped."""
        ...

    async def inventory(self) -> Sequence[Offer]:
        """Accelerators it has. Raises Refused or Unavailable when it does not tell."""
        ...

    async def owned(self) -> Sequence[Owned]:
        """Every live job with our owner label, whatever started it: orphans are found in it."""
        ...


def labels(owner: str, job_id: str, attempt: int) -> dict[str, str]:
    """What a job is marked with at the provider: letters, digits, `-` and `_` only, at most 80 characters each."""
    return {"skyscale": owner, "skyscale-job": job_id, "skyscale-attempt": str(attempt)}
