"""What runs ask about money: may this run begin, what will it cost, what has it cost, must it stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skyscale.money import queries, rules
from skyscale.money.estimate import estimate, hourly
from skyscale.money.prices import Prices
from skyscale.money.rules import Verdict
from skyscale.store.engine import AsyncConnection, Database
from skyscale.wire.costs import CostEstimate, RunCost
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
    """Reads meters and prices; changes nothing but a new run's meter."""

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
