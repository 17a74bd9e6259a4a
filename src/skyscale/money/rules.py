"""What a job costs in a stretch of time, and what its run must do about it. Pure: no clock, no database.

    spent: 0 ......................... cap - reserve ........... cap - margin .. cap
           |         goes on                |   ends in good order   |  ends at once

- Nothing here is ever negative, so a sum of it never goes down, whatever the clocks say.
- `reserve` pays for the trainer's last step, its checkpoint and the last evaluation; `margin` pays for the seconds in
  which processes are ended and for the tick in which nobody looks. Both are reckoned at the run's full price.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from skyscale.errors import Invalid
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec

TICK_S = 1.0
"""How often meters are read."""
STOP_S = 10.0
"""Ending a run's processes: five seconds of grace, and as much for a provider to do it."""
RESERVE_S = 120.0
RESERVE_SHARE = 0.25
"""The reserve is two minutes, but never more than this share of what the cap pays for."""
LEAST_S = 25.0
"""A cap must pay for at least so many seconds, or the run would stop before it has loaded its model."""
NO_ACCELERATOR = frozenset({JobRole.WORKER, JobRole.LOGGER})
"""Roles that never get one, whatever the run's `gpu_model`."""
MILESTONES = (50, 80, 95)
"""Percent of the cap at which the run's events say so."""
PREEMPTIBLE = frozenset({"modal"})
"""Providers whose accelerators may be taken away at any time, also when nobody asked for that."""
MOST_AT_RISK = 10
"""Versions that a trainer on preemptible capacity may lose."""


class Verdict(StrEnum):
    """What a run's cost means for it."""

    GO_ON = "go_on"
    FINISH = "finish"
    """In good order: last checkpoint, last evaluation."""
    STOP = "stop"
    """At once; what was published and checkpointed stays."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a job runs on, as it is billed."""

    accelerators: int
    cores: float


def machine(role: JobRole, gpu_model: str) -> Machine:
    """`a100:2` is two accelerators; what has none is billed by the core, and each process of ours asks for one."""
    model, _, count = gpu_model.partition(":")
    if model == "cpu" or role in NO_ACCELERATOR:
        return Machine(0, 1.0)
    return Machine(int(count) if count.isdecimal() and int(count) > 0 else 1, 0.0)


def billed_model(role: JobRole, gpu_model: str) -> str:
    """The name under which a job's machine is in the price list."""
    return "cpu" if machine(role, gpu_model).accelerators == 0 else gpu_model.partition(":")[0]


def overlap_s(since: datetime, until: datetime, began: datetime | None, ended: datetime | None) -> float:
    """Seconds between `since` and `until` in which a job ran; 0 for one that has not begun."""
    if began is None:
        return 0.0
    first, last = max(since, began), until if ended is None else min(until, ended)
    return max(0.0, (last - first).total_seconds())


def reserve_usd(cap: float, usd_per_hour: float) -> float:
    """What is kept back for ending in good order."""
    return max(min(RESERVE_S * usd_per_hour / 3600, RESERVE_SHARE * cap), 0.0)


def margin_usd(usd_per_hour: float) -> float:
    """What is kept back for ending at once."""
    return (STOP_S + 2 * TICK_S) * usd_per_hour / 3600


def verdict(spent: float, cap: float | None, usd_per_hour: float) -> Verdict:
    """What to do about a run that has cost `spent` and costs `usd_per_hour` while everything of it runs."""
    if cap is None:
        return Verdict.GO_ON
    if spent + margin_usd(usd_per_hour) >= cap:
        return Verdict.STOP
    if spent + margin_usd(usd_per_hour) + reserve_usd(cap, usd_per_hour) >= cap:
        return Verdict.FINISH
    return Verdict.GO_ON


def passed(spent: float, cap: float | None, told: int) -> int | None:
    """The highest milestone that was passed and not told of yet, in percent."""
    if cap is None:
        return None
    reached = [percent for percent in MILESTONES if percent > told and spent >= cap * percent / 100]
    return max(reached, default=None)


def require_affordable(cap: float | None, usd_per_hour: float | None, least_s: float = LEAST_S) -> None:
    """Raise Invalid for a cap that nobody could keep, or that would stop the work before it has begun."""
    if cap is None:
        return
    if usd_per_hour is None:
        raise Invalid(
            "max_cost_usd: nobody knows what this costs an hour, so nobody could stop it in time",
            code="price_unknown",
            hint='Say what it costs: SKYSCALE_PRICES={"<provider>": {"<gpu_model>": <dollars per hour>}}.',
        )
    if usd_per_hour * least_s / 3600 > cap:
        raise Invalid(
            f"max_cost_usd: ${cap:g} pays for {cap / usd_per_hour * 3600:.0f} s at ${usd_per_hour:.2f} an hour, "
            f"and at least {least_s:g} s are needed",
            code="cap_too_small",
            hint="A run's dry_run shows what it costs an hour; docs/costs.md has the prices.",
        )


def require_resumable(spec: RunSpec) -> None:
    """Raise Invalid for a trainer that would lose its work with a machine that may be taken away at any time."""
    is_at_risk = spec.capacity == "preemptible" or (spec.provider in PREEMPTIBLE and spec.gpu_model != "cpu")
    if not is_at_risk or spec.mode == "evaluate":
        return
    most = MOST_AT_RISK if spec.max_steps is None else min(MOST_AT_RISK, spec.max_steps)
    if spec.checkpoint_every > most:
        why = "asked for" if spec.capacity == "preemptible" else f"what {spec.provider} gives"
        raise Invalid(
            f"checkpoint_every: preemptible capacity ({why}) is refused for a trainer that has a checkpoint only every "
            f"{spec.checkpoint_every} versions; at most {most}",
            code="not_resumable",
            hint="Lower checkpoint_every; 1, the default, loses at most one version.",
        )


def idle_for_s(active_at: datetime, now: datetime) -> float:
    """How long nothing was sampled and nothing published."""
    return max(0.0, (now - active_at).total_seconds())


def idle_reason(spec: RunSpec, active_at: datetime, now: datetime) -> str | None:
    """Why a run gives its accelerators back, in words; None while it works, or has none."""
    if spec.gpu_model == "cpu" or spec.idle_minutes is None:
        return None
    idle_s = idle_for_s(active_at, now)
    if idle_s < spec.idle_minutes * 60:
        return None
    return f"its accelerators were idle for {idle_s / 60:.0f} minutes (idle_minutes): nothing was sampled or published"


def sum_known(prices: Sequence[float | None]) -> float | None:
    """Their sum; None when one of them is unknown."""
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None
