"""What a run will probably cost, with every assumption in words. Pure."""

from collections.abc import Sequence
from statistics import median

from skyscale.money.prices import Prices
from skyscale.money.queries import Past
from skyscale.money.rules import billed_model, machine, sum_known
from skyscale.wire.costs import CostEstimate, CostItem
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec

STARTUP_S = 60.0
"""Until the first rollout, where no earlier run tells: a process, a model, a health check."""


def estimate(
    spec: RunSpec, prices: Prices, past: Sequence[Past], *, sandbox_slots: int, providers: Sequence[str]
) -> CostEstimate:
    """What the run costs an hour, how long it takes, and the product.

    `past` is how long similar runs took; `providers` are those that may be asked when the run names none of them.
    """
    assumptions: list[str] = []
    items = _items(spec, prices, sandbox_slots, providers, assumptions)
    rate = sum_known([item.usd_per_hour for item in items])
    hours = _hours(spec, past, assumptions)
    cap = spec.max_cost_usd
    if cap is not None and rate:
        affordable = cap / rate
        if hours is None or hours > affordable:
            hours = affordable
            assumptions.append(f"max_cost_usd ends the run after about {_spoken(affordable)}")
    usd = rate * hours if rate is not None and hours is not None else 0.0 if rate == 0 else None
    if cap is not None and usd is not None:
        usd = min(usd, cap)
    return CostEstimate(usd_per_hour=rate, hours=hours, usd=usd, max_cost_usd=cap, items=items, assumptions=assumptions)


def hourly(spec: RunSpec, prices: Prices, *, sandbox_slots: int, providers: Sequence[str]) -> float | None:
    """What the run costs an hour while everything of it runs; None when a price is unknown."""
    return sum_known([item.usd_per_hour for item in _items(spec, prices, sandbox_slots, providers, [])])


def _items(
    spec: RunSpec, prices: Prices, sandbox_slots: int, providers: Sequence[str], assumptions: list[str]
) -> list[CostItem]:
    roles = {JobRole.POLICY: 1, JobRole.TRAINER: 0 if spec.mode == "evaluate" else 1, JobRole.WORKER: spec.num_workers}
    items = [_item(spec, role, count, prices, providers) for role, count in roles.items() if count]
    sandboxes = prices.sandbox_per_hour * sandbox_slots
    items.append(
        CostItem(what="sandboxes", provider="local", gpu_model="cpu", count=sandbox_slots, usd_per_hour=sandboxes)
    )
    for item in items:
        if item.usd_per_hour is None:
            assumptions.append(
                f"the price of {item.gpu_model} at {item.provider} is unknown; SKYSCALE_PRICES can say it"
            )
    if all(item.usd_per_hour == 0 for item in items):
        assumptions.append("machines of your own cost nothing; SKYSCALE_PRICES can say what they do")
    else:
        assumptions.append("list prices per second, all processes running all the time, every sandbox slot busy")
    if spec.provider not in prices.providers:
        assumptions.append(f"provider {spec.provider}: the dearest of {', '.join(sorted(providers))}")
    return items


def _item(spec: RunSpec, role: JobRole, count: int, prices: Prices, providers: Sequence[str]) -> CostItem:
    model, has = billed_model(role, spec.gpu_model), machine(role, spec.gpu_model)
    if spec.provider in prices.providers:
        price = prices.per_hour(spec.provider, model)
    else:
        price = prices.dearest(model, frozenset(providers))
    units = has.accelerators or has.cores
    each = f"{model}:{has.accelerators}" if has.accelerators > 1 else model
    total = None if price is None else price * units * count
    return CostItem(what=role.value, provider=spec.provider, gpu_model=each, count=count, usd_per_hour=total)


def _hours(spec: RunSpec, past: Sequence[Past], assumptions: list[str]) -> float | None:
    startup_s = median([run.startup_s for run in past]) if past else STARTUP_S
    step_s = median([run.step_s for run in past]) if past else None
    known = f"as in {len(past)} earlier run(s) of this model on this kind of machine" if past else "a guess"
    ways: list[float] = []
    if spec.max_hours is not None:
        ways.append(startup_s / 3600 + spec.max_hours)
    if spec.max_steps is not None and step_s is not None:
        ways.append((startup_s + spec.max_steps * step_s) / 3600)
        assumptions.append(f"a version every {step_s:.1f} s, {known}")
    if ways:
        assumptions.append(f"{startup_s:.0f} s until the first rollout, {known}")
    elif spec.max_steps is not None:
        assumptions.append("how long a version takes is unknown: no earlier run of this model on this kind of machine")
    else:
        assumptions.append("nothing says when the run ends: set max_hours, max_steps or max_cost_usd")
    if spec.target_reward is not None and ways:
        assumptions.append("reaching target_reward ends it earlier")
    return min(ways) if ways else None


def _spoken(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min" if hours >= 1 / 60 else f"{hours * 3600:.0f} s"
