"""What runs and jobs ask about money: may this begin, what will it cost, what has it cost, must it stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skyscale.money import queries, rules
from skyscale.money.estimate import estimate, hourly
from skyscale.money.jobs import queries as job_queries
from skyscale.money.prices import Prices
from skyscale.money.rules import Verdict
from skyscale.money.services import queries as service_queries
from skyscale.store.engine import AsyncConnection, Database
from skyscale.wire.costs import CostEstimate, JobCost, RunCost, Spending
from skyscale.wire.jobs import JobRole, TrainingJobCreate
from skyscale.wire.runs import RunSpec

PAST_RUNS = 5
"""Earlier runs that an estimate looks at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a run's cost means for it now."""

    verdict: Verdict
    reason: str
    """In words; empty while it may go on."""


class MoneyService:
    """Reads meters and prices; changes nothing but the meters of new runs and jobs."""

    def __init__(
        self,
        database: Database,
        prices: Prices,
        *,
        sandbox_slots: int,
        providers: Sequence[str] = ("local",),
    ) -> None:
        """`providers` are those that a run may be given to when it names none."""
        self._database = database
        self._prices = prices
        self._sandbox_slots = sandbox_slots
        self._providers = providers

    def check(self, spec: RunSpec) -> None:
        """Raise Invalid for a run whose cap cannot be kept, or whose trainer would lose its work with its machine."""
        rules.require_affordable(spec.max_cost_usd, self._hourly(spec))
        rules.require_resumable(spec)

    async def estimate(self, spec: RunSpec) -> CostEstimate:
        """What the run will probably cost."""
        async with self._database.read() as connection:
            past = await queries.past_runs(connection, spec, PAST_RUNS)
        return estimate(spec, self._prices, past, sandbox_slots=self._sandbox_slots, providers=self._providers)

    async def open(self, connection: AsyncConnection, spec: RunSpec, now: datetime) -> None:
        """Begin a run's meter, in the transaction that makes the run."""
        await queries.open_meter(connection, spec.run_id, spec.max_cost_usd, now)

    async def cost(self, connection: AsyncConnection, run_id: str) -> RunCost | None:
        """What the run has cost; None for one that is older than its meter."""
        found = await queries.get(connection, run_id)
        if found is None:
            return None
        return RunCost(
            gpu_s=found.gpu_s, cpu_s=found.cpu_s, sandbox_s=found.sandbox_s, tokens=found.tokens, usd=found.usd,
            usd_per_hour=found.usd_per_hour, max_cost_usd=found.max_cost_usd, unpriced=found.unpriced,
            metered_at=found.metered_at,
        )  # fmt: skip

    async def costs_of(self, connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, float]:
        """Dollars by run, of those that have a meter."""
        return await queries.costs_of(connection, run_ids)

    def check_job(self, body: TrainingJobCreate) -> None:
        """Raise Invalid for a job of its own whose cap cannot be kept."""
        if body.max_cost_usd is not None:
            rules.require_affordable(body.max_cost_usd, self._hourly_of_job(body))

    async def open_job(self, connection: AsyncConnection, job_id: str, cap: float | None, now: datetime) -> None:
        """Begin a job's meter, in the transaction that makes the job."""
        await job_queries.open_meter(connection, job_id, cap, now)

    async def costs_of_jobs(self, connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, JobCost]:
        """What those of these jobs cost that have a meter of their own."""
        return await job_queries.costs_of(connection, job_ids)

    async def spending(self) -> Spending:
        """What everything together has cost, and costs now."""
        async with self._database.read() as connection:
            lines = [await each.spent(connection) for each in (queries, job_queries, service_queries)]
        return Spending(
            runs=lines[0], jobs=lines[1], services=lines[2], usd=sum(line.usd for line in lines),
            usd_per_hour=sum(line.usd_per_hour for line in lines),
        )  # fmt: skip

    def _hourly_of_job(self, body: TrainingJobCreate) -> float | None:
        has, model = rules.machine(JobRole.CUSTOM, body.gpu_model), rules.billed_model(JobRole.CUSTOM, body.gpu_model)
        if body.provider in self._prices.providers:
            price = self._prices.per_hour(body.provider, model)
        else:
            price = self._prices.dearest(model, frozenset(self._providers))
        return None if price is None else price * (has.accelerators or has.cores)

    async def standing(self, spec: RunSpec, at_work_since: datetime | None, now: datetime) -> Standing:
        """What its cost, and its accelerators' idleness since it began to work, mean for a live run."""
        if spec.max_cost_usd is None and (spec.gpu_model == "cpu" or spec.idle_minutes is None):
            return Standing(Verdict.GO_ON, "")
        async with self._database.read() as connection:
            found = await queries.get(connection, spec.run_id)
        if found is None:
            return Standing(Verdict.GO_ON, "")
        verdict = rules.verdict(found.usd, spec.max_cost_usd, self._hourly(spec) or found.usd_per_hour)
        if verdict is not Verdict.GO_ON:
            reason = (
                f"reached max_cost_usd: ${found.usd:.4f} of ${spec.max_cost_usd:g} are spent, the rest pays the end"
            )
            return Standing(verdict, reason)
        if at_work_since is None:
            return Standing(Verdict.GO_ON, "")
        idle = rules.idle_reason(spec, max(found.active_at, at_work_since), now)
        return Standing(Verdict.FINISH, idle) if idle is not None else Standing(Verdict.GO_ON, "")

    def _hourly(self, spec: RunSpec) -> float | None:
        return hourly(spec, self._prices, sandbox_slots=self._sandbox_slots, providers=self._providers)
