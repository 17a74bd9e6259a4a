"""What the run's coordinator needs of its neighbours, in its own words; the services of those rooms fit as they are."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, Protocol

from skyscale.jobs.provider import Provider
from skyscale.jobs.rules import JobBrief
from skyscale.money.service import Standing
from skyscale.store.engine import AsyncConnection
from skyscale.wire.batches import BufferStats
from skyscale.wire.costs import CostEstimate, RunCost
from skyscale.wire.jobs import JobRole, JobView
from skyscale.wire.runs import CurriculumCounts, EvaluationResult, ProcessHealth, RunSpec


class Jobs(Protocol):
    """The processes of runs."""

    async def create_for_run(
        self, connection: AsyncConnection, spec: RunSpec, role: JobRole, index: int, *, held: bool
    ) -> str:
        """Want a process of this role; held ones wait for `release`. Returns its job id."""
        ...

    async def release(self, connection: AsyncConnection, run_id: str, roles: Collection[JobRole]) -> None:
        """Let held jobs of these roles start."""
        ...

    async def set_desired(
        self,
        connection: AsyncConnection,
        run_id: str,
        desired: Literal["run", "finish", "stop"],
        roles: Collection[JobRole] | None = None,
    ) -> None:
        """Say what is wanted of the run's jobs of these roles, or of all."""
        ...

    async def list_for_run(self, connection: AsyncConnection, run_id: str) -> list[ProcessHealth]:
        """Every job of the run and what it last said of itself."""
        ...

    async def brief_for_run(self, connection: AsyncConnection, run_id: str) -> list[JobBrief]:
        """Where the run's jobs stand: all but its workers, and one worker that lives, if any does."""
        ...

    async def failed_job(self, connection: AsyncConnection, run_id: str) -> JobView | None:
        """A job of the run that is out of attempts, if any."""
        ...

    async def reached(self, connection: AsyncConnection, run_id: str) -> tuple[Provider | None, str | None]:
        """The provider of the run's policy server, and the handle it knows it by."""
        ...


class Buffer(Protocol):
    """Groups waiting to be trained on."""

    async def open(self, connection: AsyncConnection, spec: RunSpec, *, is_prepared: bool = True) -> None:
        """Begin to take in groups of this run; unless prepared, once its trainer asks for them."""
        ...

    async def close(self, connection: AsyncConnection, run_id: str) -> None:
        """Refuse whatever still comes."""
        ...

    async def stop_training(self, connection: AsyncConnection, run_id: str) -> None:
        """Give no more tickets for training."""
        ...

    async def published(self, connection: AsyncConnection, run_id: str, version: int, lease_ids: Sequence[str]) -> None:
        """Ack these leases and free their slots. Raises Conflict `lease_fenced` for a lease given to another."""
        ...

    async def stats(self, run_id: str) -> BufferStats:
        """What became of the run's trajectories so far."""
        ...

    async def recent_reward(self, run_id: str, now: datetime) -> float | None:
        """Mean reward of what was pushed for training since the last batch was leased; None if nothing was."""
        ...


class Evaluations(Protocol):
    """Evaluations are played like training groups, by the same workers."""

    async def request(self, connection: AsyncConnection, spec: RunSpec, version: int) -> None:
        """Have held-out problems played by this version, beside training."""
        ...

    async def result(self, connection: AsyncConnection, run_id: str, version: int) -> EvaluationResult | None:
        """Its result, or None while it is being played."""
        ...

    async def results(self, connection: AsyncConnection, run_id: str) -> list[EvaluationResult]:
        """All finished ones, by version."""
        ...


class Curricula(Protocol):
    """What runs make of their problems."""

    async def counts(self, connection: AsyncConnection, spec: RunSpec) -> CurriculumCounts | None:
        """The run's train problems by pool; None when its curriculum is off."""
        ...


class Problems(Protocol):
    """What runs play."""

    async def resolve(self, spec: RunSpec) -> RunSpec:
        """With an immutable `problem_set`. Raises Invalid for one that the run cannot use."""
        ...

    async def hold(self, connection: AsyncConnection, spec: RunSpec) -> None:
        """Keep it from being deleted until the run's row is written. Raises NotFound when it was deleted already."""
        ...


class Money(Protocol):
    """What runs cost."""

    def check(self, spec: RunSpec) -> None:
        """Raise Invalid for a run whose cap cannot be kept, or whose trainer would lose its work with its machine."""
        ...

    async def estimate(self, spec: RunSpec) -> CostEstimate:
        """What the run will probably cost."""
        ...

    async def open(self, connection: AsyncConnection, spec: RunSpec, now: datetime) -> None:
        """Begin a new run's meter."""
        ...

    async def cost(self, connection: AsyncConnection, run_id: str) -> RunCost | None:
        """What the run has cost so far; None without a meter."""
        ...

    async def costs_of(self, connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, float]:
        """Dollars by run, of those that have a meter."""
        ...

    async def standing(self, spec: RunSpec, at_work_since: datetime | None, now: datetime) -> Standing:
        """What its cost, and its accelerators' idleness since it began to work, mean for a live run."""
        ...
