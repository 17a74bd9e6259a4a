"""Heartbeats, many in one transaction: a fleet of workers beats all the time, and each beat is a row.

A beat of an attempt that was given up, or whose job must end, changes nothing; its sender learns it from the standing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skyscale.jobs import queries
from skyscale.jobs.queries import Standing

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Beat:
    """What an attempt says of itself."""

    job_id: str
    attempt: int
    values: dict[str, object]
    """`heartbeat_at`, `detail`, `metrics`, and the policy version or None as `version_`."""


def write(connection: "Connection", beats: list[Beat]) -> list[Standing | None]:
    """Keep the beats of live attempts; where each job stands, None for one that does not exist."""
    standings = queries.standings(connection, [beat.job_id for beat in beats])
    alive = {beat.job_id: beat for beat in beats if _is_alive(standings.get(beat.job_id), beat.attempt)}
    if alive:
        # In one order everywhere: two replicas that write the same rows never wait for each other in a circle.
        queries.note_beats(connection, [{"id_": job_id, **alive[job_id].values} for job_id in sorted(alive)])
    return [standings.get(beat.job_id) for beat in beats]


def _is_alive(standing: Standing | None, attempt: int) -> bool:
    return standing is not None and standing.attempt == attempt and not standing.must_end
