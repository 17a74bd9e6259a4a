"""All SQL of runs, published versions and training metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, and_, bindparam, cast, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from skyscale.runs.rules import ENDED, version_to_serve, versions_in_use
from skyscale.store.prepared import Prepared
from skyscale.store.tables.runs import policies, runs, training_metrics
from skyscale.wire.policies import PolicyVersion
from skyscale.wire.runs import MetricsPoint, RunSpec, RunStatus

LIVE = [status.value for status in RunStatus if status not in ENDED]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A row of `runs`, typed."""

    run_id: str
    request_sha256: str
    spec: RunSpec
    status: RunStatus
    ending: RunStatus | None
    reason: str | None
    has_jobs: bool
    policy_url: str | None
    policy_job_id: str | None
    policy_attempt: int | None
    policy_healthy_at: datetime | None
    reload_version: int | None
    serving_version: int
    newest_version: int
    evaluation_asked: int
    """Newest version whose evaluation was asked for; -1 for none."""
    evaluation_done: int
    finish_reason: str | None
    best_version: int | None
    last_reward: float | None
    created_at: datetime
    updated_at: datetime
    rollouts_started_at: datetime | None
    finishing_since: datetime | None
    stopping_since: datetime | None
    ended_at: datetime | None

    @property
    def evaluating(self) -> int | None:
        """The version that is being evaluated now."""
        return self.evaluation_asked if self.evaluation_asked != self.evaluation_done else None

    @property
    def version_to_serve(self) -> int:
        """What the policy server should serve now."""
        return version_to_serve(newest=self.newest_version, pinned=self.reload_version, evaluating=self.evaluating)

    @property
    def versions_in_use(self) -> list[int]:
        """Published versions that must not be deleted."""
        return versions_in_use(
            newest=self.newest_version, serving=self.serving_version, pinned=self.reload_version,
            evaluating=self.evaluating, best=self.best_version,
        )  # fmt: skip


_COLUMNS = [
    cast(runs.c.spec, Text).label("document") if field.name == "spec" else runs.c[field.name]
    for field in fields(RunRecord)
]
_NAMES = [field.name for field in fields(RunRecord)]
_RUN = select(*_COLUMNS).where(runs.c.run_id == bindparam("id_"))
_ONE_RUN, _LOCKED_RUN = Prepared(_RUN), Prepared(_RUN.with_for_update())
_LIVE = Prepared(select(*_COLUMNS).where(runs.c.status.in_(LIVE)).order_by(runs.c.created_at))


@lru_cache(maxsize=256)
def _spec(document: str) -> RunSpec:
    # Read several times a second for each live run, and with every heartbeat; it never changes.
    return RunSpec.model_validate_json(document)


def _record(row: Sequence[Any]) -> RunRecord:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["spec"] = _spec(values["spec"])
    values["status"] = RunStatus(values["status"])
    values["ending"] = RunStatus(values["ending"]) if values["ending"] else None
    values["has_jobs"] = bool(values["has_jobs"])
    return RunRecord(**values)


async def get(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> RunRecord | None:
    """The run; with `lock`, nobody else changes it until the transaction ends."""
    row = await (_LOCKED_RUN if lock else _ONE_RUN).first(connection, {"id_": run_id})
    return _record(row) if row is not None else None


async def get_by_key(connection: AsyncConnection, key: str) -> RunRecord | None:
    """The run that was created with this idempotency key."""
    row = (await connection.execute(select(*_COLUMNS).where(runs.c.idempotency_key == key))).first()
    return _record(row) if row is not None else None


async def insert_run(connection: AsyncConnection, values: Mapping[str, object]) -> bool:
    """Write a new run; False when its id or idempotency key was taken meanwhile."""
    insert_into = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    statement = insert_into(runs).values(**values).on_conflict_do_nothing().returning(runs.c.run_id)
    return (await connection.execute(statement)).first() is not None


async def change(connection: AsyncConnection, run_id: str, now: datetime, values: Mapping[str, object]) -> None:
    """Set these columns of a run."""
    await connection.execute(update(runs).where(runs.c.run_id == run_id).values(updated_at=now, **values))


async def note_serving(connection: AsyncConnection, run_id: str, url: str, version: int) -> bool:
    """Record what the policy server at this URL serves; False when that is not news or the server is another one."""
    statement = update(runs).where(runs.c.run_id == run_id, runs.c.policy_url == url, runs.c.serving_version != version)
    return (await connection.execute(statement.values(serving_version=version))).rowcount == 1


async def live(connection: AsyncConnection) -> list[RunRecord]:
    """Every run that has not ended, oldest first."""
    return [_record(row) for row in await _LIVE.all(connection)]


async def page(
    connection: AsyncConnection, before: tuple[datetime, str] | None, limit: int, statuses: Sequence[str] = ()
) -> list[RunRecord]:
    """Runs created before a point, newest first."""
    statement = select(*_COLUMNS).order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(limit)
    if before is not None:
        created_at, run_id = before
        older = runs.c.created_at < created_at
        statement = statement.where(or_(older, and_(runs.c.created_at == created_at, runs.c.run_id < run_id)))
    if statuses:
        statement = statement.where(runs.c.status.in_(statuses))
    return [_record(row) for row in await connection.execute(statement)]


async def insert_policy(connection: AsyncConnection, values: Mapping[str, object]) -> None:
    """Write a published version."""
    await connection.execute(insert(policies).values(**values))


_POLICY = Prepared(
    select(*(policies.c[name] for name in PolicyVersion.model_fields), policies.c.manifest_sha256).where(
        policies.c.run_id == bindparam("run"), policies.c.version == bindparam("version")
    )
)


async def policy(connection: AsyncConnection, run_id: str, version: int) -> tuple[PolicyVersion, str] | None:
    """A published version and its manifest's checksum."""
    row = await _POLICY.first(connection, {"run": run_id, "version": version})
    if row is None:
        return None
    return PolicyVersion.model_validate(dict(zip(PolicyVersion.model_fields, row[:-1], strict=True))), row[-1]


async def policy_by_uri(connection: AsyncConnection, run_id: str, uri: str) -> int | None:
    """The version whose manifest lies there."""
    statement = select(policies.c.version).where(policies.c.run_id == run_id, policies.c.manifest_uri == uri)
    return (await connection.execute(statement)).scalar()


async def policies_of(connection: AsyncConnection, run_id: str, after_version: int, limit: int) -> list[PolicyVersion]:
    """Published versions of a run after one, oldest first."""
    statement = select(policies).where(policies.c.run_id == run_id, policies.c.version > after_version)
    rows = (await connection.execute(statement.order_by(policies.c.version).limit(limit))).mappings()
    return [PolicyVersion.model_validate(dict(row)) for row in rows]


async def insert_metrics(connection: AsyncConnection, values: Mapping[str, object]) -> None:
    """Keep one report of the trainer."""
    await connection.execute(insert(training_metrics).values(**values))


async def reward_of_step(connection: AsyncConnection, run_id: str, step: int) -> float | None:
    """The mean training reward that was reported with a version."""
    mine = (training_metrics.c.run_id == run_id, training_metrics.c.step == step)
    query = select(training_metrics.c.episode_reward).where(*mine).order_by(training_metrics.c.id.desc())
    return (await connection.execute(query.limit(1))).scalar()


async def newest_metrics(connection: AsyncConnection, run_id: str, limit: int) -> list[MetricsPoint]:
    """The newest reports, oldest first."""
    statement = select(training_metrics).where(training_metrics.c.run_id == run_id)
    rows = (await connection.execute(statement.order_by(training_metrics.c.id.desc()).limit(limit))).mappings().all()
    return [MetricsPoint.model_validate(dict(row)) for row in reversed(rows)]


async def metrics_after(
    connection: AsyncConnection, run_id: str, after: int, limit: int
) -> tuple[int, list[MetricsPoint]]:
    """Reports after a cursor, oldest first, and the cursor of the last one."""
    table = training_metrics
    statement = select(table).where(table.c.run_id == run_id, table.c.id > after).order_by(table.c.id).limit(limit)
    rows = (await connection.execute(statement)).mappings().all()
    return (rows[-1]["id"] if rows else after), [MetricsPoint.model_validate(dict(row)) for row in rows]
