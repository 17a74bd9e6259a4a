"""The loop that drives jobs to what is wanted of them.

    every `reconcile_s`, or at once when the service says so:
        read the live rows -> poll the running ones -> `rules.decide` -> `Dispatcher.carry_out`, one task per job

- A job has at most one task here, and across schedulers at most one lock; a slow provider delays only its own jobs.
- Nothing is remembered that matters: a scheduler that dies is replaced by a new one that reads the rows.
- Silence of jobs counts only while this loop was listening, so a stall of ours never kills a healthy job.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from skyscale.auth.tokens import JobTokens
from skyscale.errors import SkyscaleError, Unavailable
from skyscale.events.service import EventLog
from skyscale.jobs import queries, rules
from skyscale.jobs.dispatch import COMMANDS, Dispatcher, with_policy
from skyscale.jobs.endings import Endings
from skyscale.jobs.ledger import Ledger
from skyscale.jobs.provider import Provider
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.reaper import Reaper
from skyscale.jobs.rules import Decision, Seen, Step
from skyscale.jobs.service import JobService
from skyscale.jobs.starting import Starter
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole, JobStatus

log = logging.getLogger(__name__)

POLL_S = 10.0
"""How long a provider may take to say how a job is."""


class Scheduler:
    """One reconcile loop over all live jobs."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        service: JobService,
        tokens: JobTokens,
        metrics: Metrics,
        providers: Mapping[str, Provider],
        settings: Settings,
        url: Callable[[], str],
        commands: Mapping[JobRole, Sequence[str]] = COMMANDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._db = database
        self._metrics = metrics
        self._providers = providers
        self._settings = settings
        self._changed = service.changed
        self._clock = clock
        ledger = Ledger(database=database, events=events, clock=clock)
        endings = Endings(ledger=ledger, metrics=metrics, providers=providers)
        starter = Starter(
            ledger=ledger, endings=endings, tokens=tokens, metrics=metrics, places=service.places,
            settings=settings, url=url,
            commands=with_policy(commands, engine=settings.policy_engine, python=settings.policy_python),
        )  # fmt: skip
        self._do = Dispatcher(ledger=ledger, endings=endings, starter=starter)
        self._reaper = Reaper(database=database, providers=providers)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._listening_since = self._last_look = clock()
        self._loop: asyncio.Task[None] | None = None

    async def start(self, *, is_alone: bool = True) -> None:
        """Take over what an earlier scheduler left, and begin to look after it.

        `is_alone`: whoever held locks is known to be dead. Otherwise they lapse: he may still be in the middle of it.
        """
        if is_alone:
            await self._break_locks()
        self._listening_since = self._last_look = self._clock()
        taken = [job for job in await queries.live(self._db) if job.handle is not None]
        for job, seen in zip(taken, await asyncio.gather(*(self._poll(job) for job in taken)), strict=True):
            if seen is not None and seen.state in ("pending", "running"):
                await self._do.note_adopted(job)
        self._loop = asyncio.create_task(self._run(), name="jobs.scheduler")
        self._reaper.start()

    async def stop(self) -> None:
        """Stop looking; processes go on, as they would after a crash of the control plane."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        await self._reaper.stop()
        await asyncio.gather(*self._busy.values())

    async def shutdown(self) -> None:
        """Stop looking, and end every process on this host; their jobs are queued for the next start."""
        await self.stop()
        await self._break_locks()
        jobs = await queries.live(self._db)
        here = [job for job in jobs if self._is_here(job) and job.facts.status is not JobStatus.QUEUED]
        for result in await asyncio.gather(*(self._do.park(job) for job in here), return_exceptions=True):
            if isinstance(result, BaseException):
                log.error("a job could not be stopped at shutdown", exc_info=result)

    async def look(self) -> None:
        """One round: decide about every live job that nobody is busy with, and begin what was decided."""
        now = self._clock()
        if now - self._last_look > timedelta(seconds=max(self._settings.heartbeat_s, 4 * self._settings.reconcile_s)):
            self._listening_since = now
        self._last_look = now
        jobs = await queries.live(self._db)
        self._metrics.note_jobs(Counter((job.facts.role, job.facts.status) for job in jobs))
        jobs = [job for job in jobs if job.view.job_id not in self._busy]
        seen = list[Seen | None]()
        for start in range(0, len(jobs), queries.PAGE):
            seen += await asyncio.gather(*(self._poll(job) for job in jobs[start : start + queries.PAGE]))
        for job, view in zip(jobs, seen, strict=True):
            decision = self._decide(job, view, now)
            if decision.step is not Step.WAIT:
                task = asyncio.create_task(self._do.carry_out(job, decision))
                self._busy[job.view.job_id] = task
                task.add_done_callback(lambda _, job_id=job.view.job_id: self._done(job_id))

    async def _break_locks(self) -> None:
        async with self._db.write() as connection:
            await queries.break_locks(connection)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            began = time.monotonic()
            try:
                await to_its_end(self.look())
            except Unavailable as error:
                log.warning("looking after jobs waits: %s", error.detail)
            except Exception:
                log.exception("looking after jobs failed; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s(time.monotonic() - began)):
                    await self._changed.wait()

    def _pause_s(self, took_s: float) -> float:
        # A thousand jobs take longer to look at than ten: looking never takes more than a tenth of the time.
        return max(self._settings.reconcile_s, min(9 * took_s, self._settings.heartbeat_s / 2))

    async def _poll(self, job: JobRecord) -> Seen | None:
        provider = self._providers.get(job.view.provider)
        if job.facts.status not in (JobStatus.STARTING, JobStatus.RUNNING) or provider is None or job.handle is None:
            return None
        try:
            async with asyncio.timeout(POLL_S):
                return await provider.poll(job.handle)
        except (SkyscaleError, TimeoutError) as error:
            log.warning("job %s: %s does not say how it is: %s", job.view.job_id, job.view.provider, error)
            return None

    def _decide(self, job: JobRecord, seen: Seen | None, now: datetime) -> Decision:
        provider, settings = self._providers.get(job.view.provider), self._settings
        return rules.decide(
            job.facts,
            seen,
            now,
            heartbeat_s=settings.heartbeat_s,
            listening_since=self._listening_since,
            quiet_s=provider.abilities.quiet_s if provider else rules.FIRST_HEARTBEAT_S,
            queue_s=settings.gpu_queue_s,
        )

    def _is_here(self, job: JobRecord) -> bool:
        provider = self._providers.get(job.view.provider)
        return provider is not None and provider.abilities.is_this_host

    def _done(self, job_id: str) -> None:
        self._busy.pop(job_id, None)
        self._changed.set()
