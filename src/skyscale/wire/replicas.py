"""Control planes that share a database: the reply to `GET /api/replicas`."""

from datetime import datetime

from skyscale.wire.base import Reply


class ReplicaView(Reply):
    """One control plane, as the one that answers sees it."""

    replica_id: str
    """Host, process and a name of its own."""
    url: str
    """Where the others reach it."""
    is_this: bool
    """It is the one that answers."""
    is_alive: bool
    is_leader: bool
    """It alone starts, watches and ends jobs and runs."""
    leads_since: datetime | None
    started_at: datetime
    last_beat_at: datetime | None
    """Its last sign of life, by its own clock; null on SQLite, where its process is looked at instead."""


class ReplicaList(Reply):
    """Every control plane that joined and did not leave, the oldest first."""

    replicas: list[ReplicaView]
    term: int
    """Rises with every change of the leader; 0 before the first."""
