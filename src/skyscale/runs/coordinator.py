"""The reconciler of runs: compares what each live run wants with what is, and takes the next step.

    every `reconcile_s`, or woken:   live runs ---> for each: look (read) ---> act (network) ---> apply (one write)

- Every step may be repeated: it looks again under the row's lock before it writes.
- A network call (is the policy server healthy?) is never made inside a transaction.
- One run's trouble never holds up another's: they are looked at concurrently, and an error is logged and tried again.
- What to do next is a question of `rules`; this module asks it and carries out the answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from skyscale.errors import Unavailable
from skyscale.jobs.rules import JobBrief
from skyscale.money.rules import Verdict
from skyscale.runs import endings, limits, queries, rules
from skyscale.runs.cards import Cards
from skyscale.runs.no_signal import SignalWatch
from skyscale.runs.ports import Evaluations, Money
from skyscale.runs.queries import RunRecord
from skyscale.runs.swaps import Swaps
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.telemetry import logs
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobRole, JobStatus, JobView
from skyscale.wire.runs import RunStatus

log = logging.getLogger(__name__)
HEALTH_TIMEOUT_S = 2.0
ALIVE = {JobStatus.STARTING.value, JobStatus.RUNNING.value}
OVER = {JobStatus.SUCCEEDED.value, JobStatus.FAILED.value, JobStatus.CANCELLED.value}


@dataclass(frozen=True, slots=True)
class World:
    """What the coordinator acts on."""

    database: Database
    parts: endings.Parts
    evaluations: Evaluations
    cards: Cards
    swaps: Swaps
    money: Money
    http: httpx.AsyncClient
    metrics: Metrics
    clock: Callable[[], datetime]
    fatal: Callable[[str], Awaitable[str | None]]
    """Why a run's own environment leaves it no future, if so."""


class Coordinator:
    """One loop for all runs."""

    def __init__(self, world: World, reconcile_s: float) -> None:
        self._world = world
        self._reconcile_s = reconcile_s
        self._changed = asyncio.Event()
        self._signals = SignalWatch()

    def wake(self, run_id: str) -> None:
        """Look at this run without waiting for the next round."""
        self._world.swaps.wake(run_id)
        self._changed.set()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            self._changed.clear()
            await to_its_end(self.reconcile_all())
            try:
                async with asyncio.timeout(self._reconcile_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def reconcile_all(self) -> None:
        """One round over all live runs."""
        try:
            live = await self._world.database.read_at_once(queries.live)
            results = await asyncio.gather(*(self.reconcile(run) for run in live), return_exceptions=True)
        except Unavailable as error:
            log.warning("the round over all runs waits: %s", error.detail)
            return
        except Exception:
            log.exception("the round over all runs failed; the next one tries again")
            return
        for run, result in zip(live, results, strict=True):
            if isinstance(result, Exception):
                trace = None if isinstance(result, Unavailable) else result
                with logs.about(run_id=run.run_id):
                    log.error("reconciling %s failed (%s); it is tried again", run.run_id, result, exc_info=trace)

    async def reconcile(self, run: RunRecord) -> None:
        """Take a run's next step, if there is one."""
        with logs.about(run_id=run.run_id):
            await self._reconcile(run)

    async def _reconcile(self, run: RunRecord) -> None:
        world = self._world

        async def look(connection: AsyncConnection) -> tuple[list[JobBrief], JobView | None]:
            jobs = world.parts.jobs
            return await jobs.brief_for_run(connection, run.run_id), await jobs.failed_job(connection, run.run_id)

        processes, failed = await world.database.read_at_once(look)
        if run.status is RunStatus.RUNNING:
            is_served = run.policy_healthy_at is not None
            world.metrics.note_run(run.run_id, run.spec.mode, run.newest_version, is_served=is_served)
        if run.status is RunStatus.STOPPING:
            self._signals.forget(run.run_id)
            await self._stopping(run, processes)
            return
        if failed is not None:
            reason = f"{failed.job_id} gave up after {failed.attempt} attempts: {failed.reason or 'no reason given'}"
            await self._end(run, RunStatus.FAILED, f"{reason}; its log: GET /api/training/jobs/{failed.job_id}")
            return
        hopeless = await world.fatal(run.run_id)
        if hopeless is not None:
            await self._end(run, RunStatus.FAILED, hopeless)
            return
        late = rules.overdue(run.status, run.created_at, run.policy_url is not None, world.clock())
        if late is not None:
            await self._end(run, RunStatus.FAILED, late)
            return
        if await self._is_too_dear(run):
            return
        if not run.has_jobs:
            await self._create_jobs(run)
            return
        if run.policy_url is not None and run.policy_job_id is not None and not _is_alive(run, processes):
            await self._policy_lost(run)
        elif run.policy_url is not None and run.policy_healthy_at is None:
            await self._greet_policy(run)
        elif run.status is RunStatus.RUNNING:
            await self._running(run, processes)

    async def _is_too_dear(self, run: RunRecord) -> bool:
        """Whether the run's cap ends it now; idle accelerators and a cap that is near end it in good order."""
        world = self._world
        standing = await world.money.standing(run.spec, run.policy_healthy_at, world.clock())
        is_started = run.status is RunStatus.RUNNING
        if standing.verdict is Verdict.STOP or (standing.verdict is Verdict.FINISH and not is_started):
            ending = RunStatus.COMPLETED if is_started else RunStatus.FAILED
            reason = standing.reason if is_started else f"{standing.reason}; it had not started"
            await self._end(run, ending, reason, is_urgent=True)
            return True
        if standing.verdict is Verdict.FINISH and run.finish_reason is None:
            await self._begin_finishing(run, standing.reason)
        return False

    async def _begin_finishing(self, run: RunRecord, reason: str) -> None:
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is not None and now.status is RunStatus.RUNNING and now.finish_reason is None:
                await endings.begin_finishing(self._world.parts, connection, now, reason, self._world.clock())

    async def _create_jobs(self, run: RunRecord) -> None:
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is None or now.has_jobs or now.status is not RunStatus.STARTING:
                return
            create = self._world.parts.jobs.create_for_run
            await create(connection, run.spec, JobRole.POLICY, 0, held=False)
            if run.spec.mode != "evaluate":
                await create(connection, run.spec, JobRole.TRAINER, 0, held=False)
            if run.spec.loggers:
                await create(connection, run.spec, JobRole.LOGGER, 0, held=False)
            for index in range(run.spec.num_workers):
                await create(connection, run.spec, JobRole.WORKER, index, held=True)
            await self._change(connection, run, {"has_jobs": 1})
            await self._tell(connection, run, "run.jobs_created", "policy server wanted; the others wait for it")
        self._world.metrics.job_deferred.labels(JobRole.WORKER.value).inc(run.spec.num_workers)

    async def _greet_policy(self, run: RunRecord) -> None:
        try:
            answer = await self._world.http.get(f"{run.policy_url}/health", timeout=HEALTH_TIMEOUT_S)
        except httpx.HTTPError:
            return  # not up yet; the start's deadline and the job's heartbeats bound this
        if answer.status_code != 200:
            return
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is None or _policy_of(now) != _policy_of(run) or now.policy_healthy_at is not None:
                return
            values: dict[str, object] = {"policy_healthy_at": self._world.clock()}
            is_first = now.status is RunStatus.STARTING
            if is_first:
                values["status"] = rules.move(now.status, RunStatus.RUNNING).value
                await self._world.parts.jobs.release(connection, run.run_id, {JobRole.WORKER})
            await self._change(connection, run, values)
            if is_first:
                await limits.ask_for_evaluation(self._world.evaluations, connection, now, self._world.clock())
            await self._tell(connection, run, "policy.healthy", f"policy server at {run.policy_url} is ready")
            if is_first:
                await self._tell(connection, run, "run.running", "workers are released")
        self._world.swaps.wake(run.run_id)

    async def _policy_lost(self, run: RunRecord) -> None:
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is None or _policy_of(now) != _policy_of(run):
                return
            await self._change(connection, run, {"policy_url": None, "policy_healthy_at": None})
            message = "the policy server's process ended; workers wait until its successor has registered"
            await self._tell(connection, run, "policy.lost", message, level="warning")

    async def _running(self, run: RunRecord, processes: Sequence[JobBrief]) -> None:
        world = self._world
        if run.serving_version != run.version_to_serve:
            world.swaps.wake(run.run_id)
        stats = await limits.note_rollouts(world.database, world.parts.buffer, world.metrics, run, world.clock())
        events = world.parts.events
        await limits.note_signal(world.database, world.parts.buffer, events, self._signals, stats, world.clock())
        if rules.finishing_overdue(run.finishing_since, world.clock()):
            late = f"{run.finish_reason}; the final evaluation was not reached in time"
            await self._end(run, RunStatus.COMPLETED, late)
        elif run.evaluating is not None:
            done = limits.note_evaluation(world.database, world.evaluations, world.parts.events, run, world.clock())
            result = await done
            if result is not None:
                world.metrics.rl_evaluation_reward.labels(run.run_id).set(result.reward)
                world.swaps.wake(run.run_id)
                await world.cards.write(run.run_id, run.evaluation_asked)
        else:
            await self._towards_the_end(run, processes)

    async def _towards_the_end(self, run: RunRecord, processes: Sequence[JobBrief]) -> None:
        if run.spec.mode == "evaluate":
            if not await self._evaluate_if_due(run):
                await self._end(run, RunStatus.COMPLETED, "the evaluation is complete")
            return
        trainer_ended = all(p.status in OVER for p in processes if p.role == JobRole.TRAINER.value)
        if run.finish_reason is None:
            await self._maybe_finish(run, trainer_ended)
        elif trainer_ended and run.serving_version == run.newest_version and not await self._evaluate_if_due(run):
            await self._end(run, RunStatus.COMPLETED, run.finish_reason)

    async def _maybe_finish(self, run: RunRecord, trainer_ended: bool) -> None:
        world = self._world
        reason = await limits.reached(world.database, run, world.clock())
        if reason is None and trainer_ended:
            reason = f"the trainer ended by itself after version {run.newest_version}"
        if reason is None:
            await self._evaluate_if_due(run)
            return
        await self._begin_finishing(run, reason)

    async def _evaluate_if_due(self, run: RunRecord) -> bool:
        if not limits.is_evaluation_due(run):
            return False
        # It need not be served yet: from now on it is what is to be served, and nothing older may play it.
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is not None and now.status is RunStatus.RUNNING and now.newest_version == run.newest_version:
                await limits.ask_for_evaluation(self._world.evaluations, connection, now, self._world.clock())
        self._world.swaps.wake(run.run_id)
        return True

    async def _stopping(self, run: RunRecord, processes: Sequence[JobBrief]) -> None:
        world = self._world
        if any(process.status not in OVER for process in processes):
            standing = await world.money.standing(run.spec, None, world.clock())
            if standing.verdict is Verdict.STOP or rules.stopping_overdue(run.stopping_since, world.clock()):
                async with world.database.write() as connection:
                    await world.parts.jobs.set_desired(connection, run.run_id, "stop", None)
            return
        async with world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is None or now.status is not RunStatus.STOPPING or now.ending is None:
                return
            values: dict[str, object] = {
                "status": rules.move(now.status, now.ending).value, "ended_at": world.clock(), "policy_url": None,
                "policy_healthy_at": None,
            }  # fmt: skip
            await self._change(connection, run, values)
            level = "error" if now.ending is RunStatus.FAILED else "info"
            await self._tell(connection, run, f"run.{now.ending.value}", now.reason or now.ending.value, level=level)
        world.metrics.end_run(run.run_id, run.spec.mode, run.ending.value if run.ending else "failed")
        for version in {run.newest_version, run.best_version or 0}:
            await world.cards.write(run.run_id, version)

    async def _end(self, run: RunRecord, ending: RunStatus, reason: str, *, is_urgent: bool = False) -> None:
        async with self._world.database.write() as connection:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is not None and now.status in (RunStatus.STARTING, RunStatus.RUNNING):
                world = self._world
                await endings.begin(world.parts, connection, now, ending, reason, world.clock(), is_urgent=is_urgent)

    async def _change(self, connection: AsyncConnection, run: RunRecord, values: dict[str, object]) -> None:
        await queries.change(connection, run.run_id, self._world.clock(), values)

    async def _tell(
        self, connection: AsyncConnection, run: RunRecord, kind: str, message: str, level: str = "info"
    ) -> None:
        await self._world.parts.events.append(
            connection, run_id=run.run_id, component="coordinator", kind=kind, message=message, level=level
        )


def _policy_of(run: RunRecord) -> tuple[str | None, int | None]:
    return run.policy_url, run.policy_attempt


def _is_alive(run: RunRecord, processes: Sequence[JobBrief]) -> bool:
    return any(p.id == run.policy_job_id and p.attempt == run.policy_attempt and p.status in ALIVE for p in processes)
