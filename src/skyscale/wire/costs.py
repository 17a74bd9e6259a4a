"""What runs, jobs and services cost: the meter while they run, and a run's estimate before it does.

All of it is reckoned from list prices (`money/prices.py`, SKYSCALE_PRICES), per second of wall clock; a provider's own
invoice may differ by its rounding, taxes and discounts.
"""

from datetime import datetime

from skyscale.wire.base import Reply


class RunCost(Reply):
    """What a run has used so far; no number here ever goes down."""

    gpu_s: float
    """Accelerator seconds: accelerators of a job, times its seconds."""
    cpu_s: float
    """Seconds of jobs without an accelerator, times the cores they are billed for."""
    sandbox_s: float
    """Seconds that sandboxes ran the run's programs; remembered verdicts cost nothing."""
    tokens: int
    """Sampled by the run's policy servers, as they last said."""
    usd: float
    usd_per_hour: float
    """What it costs now; 0 once nothing of it runs. The one number here that may fall."""
    max_cost_usd: float | None
    unpriced: list[str]
    """What ran although nobody knows its price (`provider/gpu`): `usd` lacks it."""
    metered_at: datetime
    """Up to when all of this is reckoned."""


class CostItem(Reply):
    """One line of an estimate."""

    what: str
    """policy, trainer, worker, sandboxes."""
    provider: str
    gpu_model: str
    count: int
    usd_per_hour: float | None
    """Of all of them together; null when nobody knows."""


class CostEstimate(Reply):
    """What a run is expected to cost, and why we think so."""

    usd_per_hour: float | None
    """While everything runs; null when a price is unknown."""
    hours: float | None
    """Until it ends by itself; null when nothing says when that will be."""
    usd: float | None
    """Null when one of the two is; never more than `max_cost_usd`."""
    max_cost_usd: float | None
    items: list[CostItem]
    assumptions: list[str]
    """In words, each that the numbers above rest on."""


class JobCost(Reply):
    """What a job of its own has used so far; only `usd_per_hour` may fall."""

    gpu_s: float
    cpu_s: float
    usd: float
    usd_per_hour: float
    """What it costs now; 0 while it waits and once it has ended."""
    max_cost_usd: float | None
    unpriced: list[str]
    """What ran although nobody knows its price (`provider/gpu`): `usd` lacks it."""
    metered_at: datetime


class ServiceCost(Reply):
    """What a service costs at most: by what it may use, where Railway bills what it does use."""

    running_s: float
    usd: float
    usd_per_hour: float
    max_cost_usd: float | None
    metered_at: datetime


class SpendingLine(Reply):
    """All runs, all jobs of their own, or all services, together."""

    count: int
    """How many have a meter."""
    gpu_s: float
    cpu_s: float
    usd: float
    usd_per_hour: float


class Spending(Reply):
    """`GET /api/costs`: everything that this installation has spent by its meters, and what it spends now."""

    runs: SpendingLine
    jobs: SpendingLine
    services: SpendingLine
    usd: float
    usd_per_hour: float
