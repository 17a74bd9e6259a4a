"""Runs as their readers see them."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlencode

from skyscale.errors import BadRequest
from skyscale.events.service import EventLog
from skyscale.runs import queries, rules
from skyscale.runs.ports import Buffer, Curricula, Evaluations, Jobs, Money
from skyscale.runs.queries import RunRecord
from skyscale.runs.service import existing
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.wire.batches import BufferStats
from skyscale.wire.jobs import JobRole
from skyscale.wire.policies import PolicyPage
from skyscale.wire.runs import (
    EvaluationResult,
    MetricsColumns,
    MetricsPoint,
    ProcessHealth,
    RunPage,
    RunStage,
    RunStatus,
    RunSummary,
    RunView,
)

METRICS_SHOWN = 200


class RunViews:
    """Reads runs; changes nothing."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        jobs: Jobs,
        buffer: Buffer,
        evaluations: Evaluations,
        curricula: Curricula,
        money: Money,
        settings: Settings,
    ) -> None:
        self._db = database
        self._events = events
        self._jobs = jobs
        self._buffer = buffer
        self._evaluations = evaluations
        self._curricula = curricula
        self._money = money
        self._grafana_url = _grafana_url(settings)

    async def require(self, run_id: str) -> RunRecord:
        """The run's row. Raises NotFound."""
        async with self._db.read() as connection:
            return await existing(connection, run_id)

    async def view(self, run_id: str) -> RunView:
        """Everything about a run. Raises NotFound."""
        async with self._db.read() as connection:
            run = await existing(connection, run_id)
            processes = await self._jobs.list_for_run(connection, run_id)
            points = await queries.newest_metrics(connection, run_id, METRICS_SHOWN)
            evaluations = await self._evaluations.results(connection, run_id)
            pools = await self._curricula.counts(connection, run.spec)
            cost = await self._money.cost(connection, run_id)
            event_count = await self._events.count(connection, run_id)
            newest = await queries.policy(connection, run_id, run.newest_version)
            best = await queries.policy(connection, run_id, run.best_version or 0)
        stats = await self._buffer.stats(run_id)
        uris = [found[0].manifest_uri if found else None for found in (newest, best)]
        view = self._view(run, processes, points, evaluations, event_count, stats, uris)
        return view.model_copy(update={"curriculum": pools, "cost": cost})

    async def page(self, cursor: str | None, limit: int, status: RunStatus | None) -> RunPage:
        """Runs, newest first. Raises BadRequest for a cursor that is not ours."""
        before = _read_cursor(cursor) if cursor is not None else None
        async with self._db.read() as connection:
            rows = await queries.page(connection, before, limit + 1, [status.value] if status else [])
            costs = await self._money.costs_of(connection, [row.run_id for row in rows])
        more = _cursor(rows[limit - 1]) if len(rows) > limit else None
        return RunPage(runs=[_summary(row, costs.get(row.run_id)) for row in rows[:limit]], next_cursor=more)

    async def policies(self, run_id: str, after_version: int, limit: int) -> PolicyPage:
        """Published versions of a run, oldest first. Raises NotFound."""
        async with self._db.read() as connection:
            await existing(connection, run_id)
            versions = await queries.policies_of(connection, run_id, after_version, limit)
        return PolicyPage(run_id=run_id, policies=versions)

    async def metrics(self, run_id: str, after: int, limit: int, keys: frozenset[str]) -> MetricsColumns:
        """Reports after a cursor as columns; no keys means all metrics. Raises NotFound."""
        async with self._db.read() as connection:
            await existing(connection, run_id)
            last, points = await queries.metrics_after(connection, run_id, after, limit)
        return _columns(run_id, last, points, keys)

    def _view(
        self,
        run: RunRecord,
        processes: list[ProcessHealth],
        points: list[MetricsPoint],
        evaluations: list[EvaluationResult],
        event_count: int,
        stats: BufferStats,
        checkpoints: list[str | None],
    ) -> RunView:
        newest, best = map(_without_file, checkpoints)
        trainers = [process.status for process in processes if process.role == JobRole.TRAINER.value]
        return RunView(
            run_id=run.run_id,
            status=run.status,
            stage=_stage(run),
            reason=run.reason or run.finish_reason,
            spec=run.spec,
            trainer_status=trainers[0] if trainers else "none" if run.spec.mode == "evaluate" else "queued",
            worker_statuses=[process for process in processes if process.role == JobRole.WORKER.value],
            processes=processes,
            policy_status="ready" if run.policy_healthy_at is not None else "waiting",
            policy_version=run.newest_version,
            serving_version=run.serving_version,
            buffer_size=stats.size,
            trajectories=stats.pushed,
            metrics=points,
            evaluations=evaluations,
            event_count=event_count,
            checkpoint=newest,
            best_version=run.best_version,
            best_checkpoint=best,
            grafana_url=self._grafana_url(run),
            created_at=run.created_at,
            rollouts_started_at=run.rollouts_started_at,
            ended_at=run.ended_at,
        )


def _columns(run_id: str, last: int, points: list[MetricsPoint], keys: frozenset[str]) -> MetricsColumns:
    reports = [
        {"episode_reward": point.episode_reward, "loss": point.loss, "gpu_util": point.gpu_util} | point.metrics
        for point in points
    ]
    names = keys or {name for report in reports for name in report}
    return MetricsColumns(
        run_id=run_id,
        after=last,
        step=[point.step for point in points],
        timestamp=[point.timestamp for point in points],
        series={name: [report.get(name) for report in reports] for name in sorted(names)},
    )


def _stage(run: RunRecord) -> RunStage | None:
    return rules.stage(
        run.status,
        is_policy_ready=run.policy_healthy_at is not None,
        has_trained=run.newest_version > 0 or run.last_reward is not None,
        is_finishing=run.finish_reason is not None,
    )


def _summary(run: RunRecord, cost_usd: float | None) -> RunSummary:
    return RunSummary(
        run_id=run.run_id,
        base_model=run.spec.base_model,
        status=run.status,
        stage=_stage(run),
        reason=run.reason or run.finish_reason,
        policy_version=run.newest_version,
        last_reward=run.last_reward,
        cost_usd=cost_usd,
        created_at=run.created_at,
        updated_at=run.updated_at,
        ended_at=run.ended_at,
    )


def _without_file(manifest_uri: str | None) -> str | None:
    """The folder of a manifest: what `from_pretrained` takes."""
    return manifest_uri.removesuffix("/manifest.json") if manifest_uri is not None else None


def _cursor(run: RunRecord) -> str:
    return base64.urlsafe_b64encode(f"{run.created_at.isoformat()} {run.run_id}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        time, _, run_id = base64.urlsafe_b64decode(cursor + "==").decode().partition(" ")
        created_at = datetime.fromisoformat(time)
        if created_at.tzinfo is None or not run_id:
            raise ValueError(cursor)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.") from error
    return created_at, run_id


def _grafana_url(settings: Settings) -> Callable[[RunRecord], str | None]:
    base = settings.grafana_base_url.rstrip("/") if settings.grafana_base_url else None

    def link(run: RunRecord) -> str | None:
        if base is None:
            return None
        end = str(int(run.ended_at.timestamp() * 1000)) if run.ended_at else "now"
        start = str(int(run.created_at.timestamp() * 1000))
        query = {"orgId": settings.grafana_org_id, "var-run_id": run.run_id, "from": start, "to": end}
        return f"{base}/d/{settings.grafana_dashboard_uid}?{urlencode(query)}"

    return link
