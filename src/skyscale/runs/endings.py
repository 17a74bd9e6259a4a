"""The two ways to begin an end, each in its caller's transaction.

Finishing: a limit is reached; the run stays RUNNING until its newest version is served and evaluated.
Stopping: the ending is decided, with its reason; all that is left is to see every job end.
"""

from dataclasses import dataclass
from datetime import datetime

from skyscale.events.service import EventLog
from skyscale.runs import queries, rules
from skyscale.runs.ports import Buffer, Jobs
from skyscale.runs.queries import RunRecord
from skyscale.store.engine import AsyncConnection
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunStatus


@dataclass(frozen=True, slots=True)
class Parts:
    """Who must hear of an end."""

    jobs: Jobs
    buffer: Buffer
    events: EventLog


async def begin_finishing(
    parts: Parts, connection: AsyncConnection, run: RunRecord, reason: str, now: datetime
) -> None:
    """No more training groups, the trainer ends in good order, and whatever was pinned the newest version is served."""
    await queries.change(
        connection, run.run_id, now, {"finish_reason": reason, "finishing_since": now, "reload_version": None}
    )
    await parts.buffer.stop_training(connection, run.run_id)
    await parts.jobs.set_desired(connection, run.run_id, "finish", {JobRole.TRAINER})
    await parts.events.append(
        connection, run_id=run.run_id, component="coordinator", kind="run.finishing", message=reason
    )


async def begin(
    parts: Parts,
    connection: AsyncConnection,
    run: RunRecord,
    ending: RunStatus,
    reason: str,
    now: datetime,
    *,
    is_urgent: bool = False,
) -> None:
    """Decide how the run ends, and have its jobs ended: at once, or for a completed run's workers in good order.

    An urgent end is at once for all: what is checkpointed stays, nothing more is.
    """
    status = rules.move(run.status, RunStatus.STOPPING)
    values: dict[str, object] = {
        "status": status.value, "ending": ending.value, "reason": reason, "stopping_since": now,
    }  # fmt: skip
    await queries.change(connection, run.run_id, now, values)
    await parts.buffer.close(connection, run.run_id)
    if ending is RunStatus.COMPLETED and not is_urgent:
        await parts.jobs.set_desired(
            connection, run.run_id, "finish", {JobRole.WORKER, JobRole.TRAINER, JobRole.LOGGER}
        )
        await parts.jobs.set_desired(connection, run.run_id, "stop", {JobRole.POLICY})
    else:
        await parts.jobs.set_desired(connection, run.run_id, "stop", None)
    level = "error" if ending is RunStatus.FAILED else "info"
    await parts.events.append(
        connection, run_id=run.run_id, component="coordinator", kind="run.stopping", message=reason, level=level
    )
