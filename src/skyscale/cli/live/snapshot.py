"""What the live view knows at one moment, read through the public API, and the numbers picked from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from skyscale.errors import SkyscaleError
from skyscale.sdk.client import Client
from skyscale.wire.base import utc_now
from skyscale.wire.batches import BufferStats
from skyscale.wire.runs import Event, RunView


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run, its buffer, its newest events, and when they were read."""

    view: RunView
    stats: BufferStats | None
    events: Sequence[Event]
    now: datetime


def take(client: Client, view: RunView, events: Sequence[Event]) -> Snapshot:
    """The snapshot of a run that was just read."""
    try:
        stats = client.buffer_stats(view.run_id)
    except SkyscaleError:
        stats = None  # the view shows a dash; a run is worth watching without its buffer
    return Snapshot(view, stats, events, utc_now())


def trained(view: RunView, name: str) -> float | None:
    """The newest value of one of the trainer's metrics, if it reported one."""
    for point in reversed(view.metrics):
        value = point.metrics.get(name)
        if value is not None:
            return value
    return None


def observed(view: RunView, role: str, name: str) -> float | None:
    """The newest value of a metric in the heartbeats of a role, summed over its processes; None if none has it."""
    values = [each.metrics[name] for each in view.processes if each.role == role and name in each.metrics]
    return sum(values) if values else None


def trainer_wait_share(view: RunView) -> float | None:
    """Share of the trainer's time without data, by its own measure."""
    for name in ("wait_share", "trainer_wait_share"):
        value = observed(view, "trainer", name)
        value = trained(view, name) if value is None else value
        if value is not None:
            return value
    return None


def policy_idle_share(view: RunView) -> float | None:
    """Share of the policy server's time without work, by its own measure."""
    value = observed(view, "policy", "idle_share")
    return value if value is not None else trained(view, "policy_idle_share")


def progress(view: RunView, now: datetime) -> tuple[float, str] | None:
    """How much of the run's budget is used, in [0, 1], and in words; None for a run without a budget."""
    spec = view.spec
    parts: list[tuple[float, str]] = []
    if spec.max_steps:
        parts.append((view.policy_version / spec.max_steps, f"version {view.policy_version} of {spec.max_steps}"))
    if spec.max_hours:
        started = view.rollouts_started_at
        used_s = ((view.ended_at or now) - started).total_seconds() if started else 0.0
        whole_s = spec.max_hours * 3600
        parts.append((used_s / whole_s, f"{clock(min(used_s, whole_s))} of {clock(whole_s)}"))
    if not parts:
        return None
    share, words = max(parts)
    return min(1.0, max(0.0, share)), words


def clock(seconds: float) -> str:
    """A duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
