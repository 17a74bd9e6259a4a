"""What one tick adds to a run's costs. Pure: rows and times in, numbers out.

- A job is charged for the part of the tick in which it ran; one whose process is being ended is charged until it ended.
- A retry between two ticks is charged from its new start: at most a tick of the attempt before it is lost.
- Tokens are counters of processes, which begin anew with each attempt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from skyscale.money.prices import Prices
from skyscale.money.queries import CostRecord, JobSpan
from skyscale.money.rules import billed_model, machine, overlap_s
from skyscale.wire.jobs import JobStatus

RUNS = frozenset({JobStatus.STARTING.value, JobStatus.RUNNING.value, JobStatus.LOST.value})
"""A lost job is charged until it is known to be gone: its machine may be alive."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What is added, and what the run's jobs cost an hour at the end of the tick."""

    gpu_s: float
    cpu_s: float
    usd: float
    usd_per_hour: float
    unpriced: tuple[str, ...]


def charge(jobs: Sequence[JobSpan], prices: Prices, since: datetime, until: datetime) -> Charge:
    """What these jobs used between two times."""
    gpu_s = cpu_s = usd = rate = 0.0
    unpriced: set[str] = set()
    for job in jobs:
        is_running = job.status in RUNS and job.ended_at is None
        if not is_running and job.ended_at is None:
            continue  # queued: whatever ran before has ended
        began = job.started_at
        if is_running and began is not None and began > until:
            began = since  # the wall clock was set back; the job runs all the same
        seconds = overlap_s(since, until, began, job.ended_at)
        has, model = machine(job.role, job.gpu_model), billed_model(job.role, job.gpu_model)
        gpu_s += seconds * has.accelerators
        cpu_s += seconds * has.cores
        price = prices.per_hour(job.provider, model)
        if price is None:
            if seconds:
                unpriced.add(f"{job.provider}/{model}")
            continue
        hourly = price * (has.accelerators or has.cores)
        usd += seconds * hourly / 3600
        if is_running and job.started_at is not None:
            rate += hourly
    return Charge(gpu_s, cpu_s, usd, rate, tuple(sorted(unpriced)))


def new_tokens(counters: dict[str, list[int]], jobs: Sequence[JobSpan]) -> tuple[int, dict[str, list[int]]]:
    """How many more tokens were sampled than the counters say, and the new counters."""
    added, after = 0, dict(counters)
    for job in jobs:
        attempt, before = counters.get(job.job_id, [0, 0])
        if attempt != job.attempt:
            before = 0
        if job.tokens > before:
            added += job.tokens - before
            after[job.job_id] = [job.attempt, job.tokens]
        elif attempt != job.attempt and job.job_id in counters:
            after[job.job_id] = [job.attempt, 0]
    return added, after


def advance(
    cost: CostRecord,
    jobs: Sequence[JobSpan],
    prices: Prices,
    *,
    sandbox_s: float,
    version: int,
    elapsed: timedelta,
    now: datetime,
    has_ended: bool,
) -> dict[str, object]:
    """The columns of the run's costs after a tick of this length that ends now."""
    added = charge(jobs, prices, now - elapsed, now)
    tokens, counters = new_tokens(cost.counters, jobs)
    is_active = tokens > 0 or version > cost.version
    return {
        "gpu_s": cost.gpu_s + added.gpu_s,
        "cpu_s": cost.cpu_s + added.cpu_s,
        "sandbox_s": cost.sandbox_s + sandbox_s,
        "tokens": cost.tokens + tokens,
        "usd": cost.usd + added.usd + sandbox_s * prices.sandbox_per_hour / 3600,
        "usd_per_hour": 0.0 if has_ended else added.usd_per_hour,
        "unpriced": sorted({*cost.unpriced, *added.unpriced}),
        "counters": counters,
        "version": max(cost.version, version),
        "active_at": now if is_active else cost.active_at,
        "metered_at": now,
        "is_closed": has_ended,
    }
