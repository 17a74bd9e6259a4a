"""What is done to one job: start, recover, lose, end, park; each in three phases.

    claim   short transaction: the intent is on record and the row is ours (a lock token that lapses)
    act     the provider, outside of any transaction, with a deadline
    apply   short transaction: the result and its event, only if the token is still ours

A crash between two phases leaves a lapsed lock, from which `rules.decide` leads back to a known state.
"""

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from skyscale.auth.tokens import JobTokens
from skyscale.errors import Invalid, SkyscaleError
from skyscale.events.service import EventLog
from skyscale.jobs import queries, rules
from skyscale.jobs.loading import unknown_provider
from skyscale.jobs.provider import JobLaunch, Provider
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.rules import Decision, Step
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry import logs
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobRole, JobStatus

log = logging.getLogger(__name__)

LOCK_S = 60.0
"""Longer than any action may take; only a crashed scheduler lets a lock lapse."""
START_S = 30.0
GRACE_S = 5.0
"""Between asking a process to end and killing it."""
COMMANDS: dict[JobRole, Sequence[str]] = {
    role: (sys.executable, "-m", f"skyscale.{role.value}") for role in JobRole if role is not JobRole.CUSTOM
}
"""How the process of each role is started."""


def with_policy(
    commands: Mapping[JobRole, Sequence[str]], *, engine: str, python: str | None
) -> Mapping[JobRole, Sequence[str]]:
    """`commands` with policy servers that sample with `engine`, in `python` if another interpreter has its packages."""
    if engine == "torch" and python is None:
        return commands
    command = (python or sys.executable, "-m", "skyscale.policy", "--engine", engine)
    return {**commands, JobRole.POLICY: command}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """The actions; holds no state of its own."""

    database: Database
    events: EventLog
    tokens: JobTokens
    metrics: Metrics
    providers: Mapping[str, Provider]
    url: Callable[[], str]
    """The control plane's URL as jobs dial it; asked at each start, since the port may be found late."""
    clock: Callable[[], datetime]
    commands: Mapping[JobRole, Sequence[str]]

    async def carry_out(self, job: JobRecord, decision: Decision) -> None:
        """Do what was decided; whatever fails is logged and left to the next look at the row."""
        with logs.about(run_id=job.view.run_id, job_id=job.view.job_id):
            await self._carry_out(job, decision)

    async def _carry_out(self, job: JobRecord, decision: Decision) -> None:
        try:
            match decision.step:
                case Step.START:
                    await self._start(job)
                case Step.RECOVER:
                    await self._recover(job)
                case Step.LOSE:
                    await self._lose(job, decision)
                case Step.END:
                    await self._end(job, decision)
                case Step.WAIT:
                    pass
        except SkyscaleError as error:
            log.warning("job %s: %s failed: %s", job.view.job_id, decision.step.value, error.detail)
        except Exception:
            log.exception("job %s: %s failed", job.view.job_id, decision.step.value)

    async def park(self, job: JobRecord) -> None:
        """End the job's process because the control plane shuts down; the next one starts it again."""
        if job.facts.desired == "stop":
            decision = Decision(Step.END, "cancelled", "stopped on request", graceful=True)
            return await self.carry_out(job, decision)
        why = "the control plane was shut down"
        decision = Decision(Step.END, "retry", why, graceful=True)
        if job.facts.role is JobRole.CUSTOM:
            # A command that may not be repeatable is charged for the interruption.
            return await self.carry_out(job, decision)
        token = await self._claim(job, {})
        if token is not None:
            await self._provider(job).stop(job.view.job_id, job.handle, GRACE_S)
            values = {"status": JobStatus.QUEUED.value, "due_at": self.clock(), "reason": why}
            await self._apply(job, token, values, "job.parked", f"{_name(job)} stopped: {why}")
        return None

    async def note_adopted(self, job: JobRecord) -> None:
        """Record that a job of an earlier control plane was found alive."""
        async with self.database.write() as connection:
            await self._say(connection, job, "job.adopted", f"{_name(job)} found alive after a restart")

    async def _start(self, job: JobRecord) -> None:
        began, attempt = time.monotonic(), job.facts.attempt + 1
        fresh: dict[str, object] = {
            "attempt": attempt, "status": JobStatus.STARTING.value, "handle": None, "heartbeat_at": None,
            "detail": "", "metrics": {}, "exit_code": None, "started_at": None,
        }  # fmt: skip
        token = await self._claim(job, fresh)
        if token is None:
            return
        job = replace(job, handle=None, facts=replace(job.facts, attempt=attempt, started_at=None))
        labels = (job.view.role.value, *map(self.metrics.label, (job.view.gpu_model, job.view.provider)))
        try:
            async with asyncio.timeout(START_S):
                handle = await self._provider(job).start(self._launch(job))
        except (SkyscaleError, TimeoutError) as error:
            self.metrics.job_dispatch_failures.labels(*labels).inc()
            self.metrics.job_dispatch.labels(*labels, "failed").inc()
            why = error.detail if isinstance(error, SkyscaleError) else f"no answer in {START_S:g} s"
            verdict = "failed" if isinstance(error, Invalid) else "retry"
            await self._finish_end(job, token, Decision(Step.END, verdict, f"could not be started: {why}"))
            return
        values = {"status": JobStatus.RUNNING.value, "handle": handle, "started_at": self.clock(), "reason": None}
        message = f"{_name(job)} started on {job.view.provider}, attempt {attempt}"
        if await self._apply(job, token, values, "job.started", message, attempt=attempt):
            self.metrics.job_dispatch.labels(*labels, "started").inc()
            self.metrics.job_dispatch_duration_seconds.labels(*labels).observe(time.monotonic() - began)
        else:
            await self._provider(job).stop(job.view.job_id, handle, 0)

    async def _recover(self, job: JobRecord) -> None:
        token = await self._claim(job, {})
        if token is None:
            return
        provider = self._provider(job)
        handle = await provider.find(job.view.job_id, job.facts.attempt)
        if handle is not None:
            values = {"status": JobStatus.RUNNING.value, "handle": handle, "started_at": self.clock(), "reason": None}
            await self._apply(job, token, values, "job.adopted", f"{_name(job)} found alive after a restart")
            return
        await provider.stop(job.view.job_id, None, 0)
        values = {"status": JobStatus.QUEUED.value, "due_at": self.clock()}
        await self._apply(job, token, values, "job.retry", f"{_name(job)} had not been started; it is queued again")

    async def _lose(self, job: JobRecord, decision: Decision) -> None:
        why = decision.why or ""
        token = await self._claim(job, {"status": JobStatus.LOST.value, "reason": why})
        if token is None:
            return
        async with self.database.write() as connection:
            await self._say(connection, job, "job.lost", f"{_name(job)} is lost: {why}", level="warning")
        job = replace(job, facts=replace(job.facts, status=JobStatus.LOST))
        await self._provider(job).stop(job.view.job_id, job.handle, 0)
        await self._finish_end(job, token, rules.on_death(job.facts, None, why))

    async def _end(self, job: JobRecord, decision: Decision) -> None:
        token = await self._claim(job, {})
        if token is None:
            return
        if job.facts.status is not JobStatus.QUEUED:
            grace = GRACE_S if decision.graceful else 0.0
            await self._provider(job).stop(job.view.job_id, job.handle, grace)
        await self._finish_end(job, token, decision)

    async def _finish_end(self, job: JobRecord, token: str, decision: Decision) -> None:
        now, provider = self.clock(), self.providers.get(job.view.provider)
        outcome = rules.settle(job.facts, decision.verdict or "retry", now)
        reason, code = decision.why, None
        if provider and job.handle is not None:
            code = (await provider.poll(job.handle)).code
        if provider and reason and decision.verdict in ("retry", "failed") and job.facts.attempt > 0:
            words = rules.last_words(await provider.logs(job.view.job_id, 8192))
            reason = f"{reason}: {words}" if words else reason
        values: dict[str, object] = {
            "status": outcome.status.value, "failures": outcome.failures, "crashes": outcome.crashes,
            "due_at": outcome.due_at, "reason": reason, "exit_code": code,
        }  # fmt: skip
        if outcome.status in rules.FINAL:
            values["ended_at"] = now
            if job.request is not None:
                # The caller's variables may hold secrets, which need not outlive the job.
                values["request"] = job.request | {"env_vars": dict.fromkeys(job.request["env_vars"], "")}
        if outcome.status is JobStatus.QUEUED:
            self.metrics.job_restarts.labels(job.view.role.value, self.metrics.label(job.view.provider)).inc()
        await self._apply(job, token, values, *_ending(job, outcome, reason, now), attempt=job.facts.attempt)

    def _launch(self, job: JobRecord) -> JobLaunch:
        view, request = job.view, job.request or {}
        return JobLaunch(
            job_id=view.job_id,
            role=view.role,
            attempt=job.facts.attempt,
            command=request.get("command") or self.commands.get(view.role, ()),
            env=request.get("env_vars") or {},
            docker_image=request.get("docker_image"),
            gpu_model=view.gpu_model,
            url=self.url(),
            token=self.tokens.issue(view.job_id, view.run_id, view.role, job.facts.attempt),
        )

    def _provider(self, job: JobRecord) -> Provider:
        provider = self.providers.get(job.view.provider)
        if provider is None:
            raise unknown_provider(job.view.provider, self.providers)
        return provider

    async def _claim(self, job: JobRecord, values: Mapping[str, object]) -> str | None:
        token, now = secrets.token_hex(16), self.clock()
        lock = {"lock_token": token, "lock_expires_at": now + timedelta(seconds=LOCK_S)}
        async with self.database.write() as connection:
            return token if await queries.claim(connection, job, now, lock | dict(values)) else None

    async def _apply(
        self, job: JobRecord, token: str, values: Mapping[str, object], kind: str, message: str, **data: object
    ) -> bool:
        async with self.database.write() as connection:
            if not await queries.apply(connection, job.view.job_id, token, values):
                return False
            bad = kind in ("job.failed", "job.retry")
            await self._say(connection, job, kind, message, level="warning" if bad else "info", **data)
        return True

    async def _say(
        self, connection: AsyncConnection, job: JobRecord, kind: str, message: str, level: str = "info", **data: object
    ) -> None:
        log.info("job %s: %s", job.view.job_id, message)
        if job.view.run_id is not None:
            extra: dict[str, object] = {"job_id": job.view.job_id, **data}
            await self.events.append(
                connection, run_id=job.view.run_id, component=_name(job), kind=kind, message=message, level=level,
                data=extra,
            )  # fmt: skip


def _ending(job: JobRecord, outcome: rules.Outcome, reason: str | None, now: datetime) -> tuple[str, str]:
    suffix = f": {reason}" if reason else ""
    if outcome.status is JobStatus.QUEUED:
        wait_s = (outcome.due_at - now).total_seconds()
        return "job.retry", f"{_name(job)} is started again in {wait_s:g} s{suffix}"
    return f"job.{outcome.status.value}", f"{_name(job)} {outcome.status.value}{suffix}"


def _name(job: JobRecord) -> str:
    return f"worker-{job.view.index}" if job.view.role is JobRole.WORKER else job.view.role.value
