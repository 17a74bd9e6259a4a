"""How an attempt is started: intent, call, and what an answer, or none, leads to.

    taken           running, or (at a provider that may queue) starting with a handle
    no answer       find it by name: adopt it, or make sure that it is not there, or leave the intent to be asked again
    refused, full   the next place at once; after the last one a retry from the first, spread over the queue deadline

The intent (attempt and provider in the row, committed) precedes the call, so a crash anywhere leads back to `recover`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skyscale.auth.tokens import JobTokens
from skyscale.errors import Invalid, SkyscaleError
from skyscale.jobs import capacity, gpus, rules
from skyscale.jobs.endings import Endings
from skyscale.jobs.ledger import LOCK_S, Ledger, name_of, told
from skyscale.jobs.loading import unknown_provider
from skyscale.jobs.places import Places
from skyscale.jobs.provider import DAY_S, Abilities, JobLaunch, NoCapacity, Provider, Refused
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.rules import Decision, Step
from skyscale.settings import Settings
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobRole, JobStatus

FIND_S = 30.0
"""How long a provider may take to say whether it has an attempt."""
RUN_ATTEMPT_S = 7 * DAY_S
"""Hard limit of one attempt of a run's job, should no control plane be there to end it."""
TIMEOUT_SLACK_S = 60.0
"""The control plane ends a job that is out of time, in good order; the provider's limit comes after it."""
POLICY_PORT = 8000
"""Where a policy server listens when its provider maps ports."""

FRESH: dict[str, object] = {
    "status": JobStatus.STARTING.value, "handle": None, "heartbeat_at": None, "detail": "", "metrics": {},
    "exit_code": None, "started_at": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """Starts attempts, finds those whose start was not heard of, and passes providers over."""

    ledger: Ledger
    endings: Endings
    tokens: JobTokens
    metrics: Metrics
    places: Places
    settings: Settings
    url: Callable[[], str]
    commands: Mapping[JobRole, Sequence[str]]

    def provider(self, job: JobRecord) -> Provider:
        """The job's present provider. Raises Invalid when there is none of that name."""
        providers = self.places.providers
        if job.view.provider not in providers:
            raise unknown_provider(job.view.provider, providers)
        return providers[job.view.provider]

    async def start(self, job: JobRecord) -> None:
        """Write the intent, ask the provider, and act on its answer."""
        began, attempt, provider = time.monotonic(), job.facts.attempt + 1, self.provider(job)
        limit_s = provider.abilities.start_s
        intent = FRESH | {"attempt": attempt, "asked_at": self.ledger.clock()}
        token = await self.ledger.claim(job, intent, LOCK_S + limit_s + 2 * FIND_S)
        if token is None:
            return
        job = replace(job, handle=None, facts=replace(job.facts, attempt=attempt, started_at=None))
        try:
            launch = self._launch(job, provider)
            async with asyncio.timeout(limit_s):
                await self._require_able(job, provider)
                handle = await provider.start(launch)
        except (SkyscaleError, TimeoutError) as error:
            self._count(job, "failed")
            await self._not_taken(job, token, error)
            return
        if await self._taken(job, token, handle, "started"):
            self._count(job, "started", time.monotonic() - began)
        else:
            await provider.stop(job.view.job_id, handle, 0)

    async def recover(self, job: JobRecord) -> None:
        """Find what became of a start that nobody heard of: adopt it, or queue the job again."""
        token = await self.ledger.claim(job, {}, LOCK_S + 2 * FIND_S)
        if token is None:
            return
        try:
            handle = await self._find(job)
        except (SkyscaleError, TimeoutError) as error:
            await self._unanswered(job, token, error)
            return
        if handle is not None:
            await self._taken(job, token, handle, "adopted")
            return
        values = {"status": JobStatus.QUEUED.value, "due_at": self.ledger.clock()}
        message = f"{name_of(job)} had not been started; it is queued again"
        await self.ledger.apply(job, token, values, "job.retry", message)

    async def arrive(self, job: JobRecord) -> None:
        """A job that waited at its provider runs (or has ended): it is a running one from now on."""
        token = await self.ledger.claim(job, {})
        if token is not None:
            await self.ledger.apply(job, token, self._running(), *self._news(job, "running"))

    async def pass_over(self, job: JobRecord, why: str) -> None:
        """Take the job back from a provider that keeps it waiting, and ask the next one."""
        token = await self.ledger.claim(job, {}, LOCK_S + 2 * FIND_S)
        if token is None:
            return
        try:
            async with asyncio.timeout(FIND_S):
                await self.provider(job).stop(job.view.job_id, job.handle, 0)
        except (SkyscaleError, TimeoutError) as error:
            if job.handle is not None:
                await self._unanswered(job, token, error)
                return
            # Nobody knows whether it was started: the reaper ends it once the provider answers again.
        await self._go_on(job, token, why, is_full=True)

    async def _not_taken(self, job: JobRecord, token: str, error: SkyscaleError | TimeoutError) -> None:
        why = told(error)
        if isinstance(error, Invalid) and not job.places:
            await self.endings.finish(job, token, Decision(Step.END, "failed", f"could not be started: {why}"))
            return
        if not isinstance(error, (Invalid, Refused, NoCapacity)):
            try:
                handle = await self._find(job)
            except (SkyscaleError, TimeoutError) as silence:
                # The intent stays on record without a handle: `recover` asks again.
                await self._unanswered(job, token, silence)
                return
            if handle is not None:
                await self._taken(job, token, handle, "adopted")
                return
        await self._go_on(job, token, why, is_full=isinstance(error, NoCapacity))

    async def _go_on(self, job: JobRecord, token: str, why: str, *, is_full: bool) -> None:
        place = rules.next_place(job.places, job.view.provider)
        if place is None:
            again = {"provider": job.places[0]} if job.places else {}
            wait_s = self.settings.gpu_queue_s / job.facts.max_attempts if is_full else None
            decision = Decision(Step.END, "retry", f"could not be started on {job.view.provider}: {why}")
            await self.endings.finish(replace(job, handle=None), token, decision, more=again, wait_s=wait_s)
            return
        values = {"status": JobStatus.QUEUED.value, "provider": place, "handle": None, "due_at": self.ledger.clock()}
        message = f"{job.view.provider} is passed over for {name_of(job)}: {why}; {place} is asked next"
        passed: dict[str, object] = {"provider": job.view.provider, "next": place, "attempt": job.facts.attempt}
        await self.ledger.apply(job, token, values | {"reason": why}, "job.passed_over", message, **passed)

    async def _require_able(self, job: JobRecord, provider: Provider) -> None:
        """Raise Refused or NoCapacity for what need not be asked of the provider."""
        missing = self.places.missing(provider.name, is_of_run=job.view.run_id is not None)
        if missing is not None:
            raise Refused(missing)
        wanted = job.capacity
        if wanted is not None and not capacity.gives(provider.abilities, wanted, job.view.gpu_model):
            raise capacity.refusal([provider.name], wanted, job.view.gpu_model)
        gpu = gpus.parse(job.view.gpu_model)
        if job.places and provider.abilities.gpu_models is None and gpu.model not in (gpus.NONE, gpus.ANY):
            # It would take the job whatever it has: somebody who lets us choose wants the accelerator more.
            has = {offer.gpu_model for offer in await provider.inventory()}
            if gpu.model not in has and not any(name.startswith(f"{gpu.model}-") for name in has):
                raise NoCapacity(f"it has no {gpu.model}", hint="")

    async def _unanswered(self, job: JobRecord, token: str, error: SkyscaleError | TimeoutError) -> None:
        await self.ledger.put_off(job, token, f"{job.view.provider} does not say what became of it: {told(error)}")

    async def _find(self, job: JobRecord) -> str | None:
        """The attempt's handle; None once it is certain that nothing of it is there."""
        provider = self.provider(job)
        async with asyncio.timeout(FIND_S):
            handle = await provider.find(job.view.job_id, job.facts.attempt)
        if handle is None:
            async with asyncio.timeout(FIND_S):
                await provider.stop(job.view.job_id, None, 0)
        return handle

    async def _taken(self, job: JobRecord, token: str, handle: str, how: str) -> bool:
        waits = self.provider(job).abilities.may_queue
        values = {"status": JobStatus.STARTING.value} if waits else self._running()
        return await self.ledger.apply(job, token, values | {"handle": handle}, *self._news(job, how), **_attempt(job))

    def _running(self) -> dict[str, object]:
        return {"status": JobStatus.RUNNING.value, "started_at": self.ledger.clock(), "reason": None}

    def _news(self, job: JobRecord, how: str) -> tuple[str, str]:
        if how == "adopted":
            return "job.adopted", f"{name_of(job)} found alive after a restart or a lost answer"
        if how == "running":
            return "job.running", f"{name_of(job)} runs on {job.view.provider}"
        return "job.started", f"{name_of(job)} started on {job.view.provider}, attempt {job.facts.attempt}"

    def _launch(self, job: JobRecord, provider: Provider) -> JobLaunch:
        view, request, able = job.view, job.request or {}, provider.abilities
        words = request.get("command") or list(self.commands.get(view.role, ()))
        if able.python and words and words[0] == sys.executable and view.role is not JobRole.CUSTOM:
            words = [able.python, *words[1:]]
        if view.role is JobRole.POLICY:
            words = [*words, *_where_to_listen(able)]
        cores, memory_mb = needs(view.role, view.gpu_model)
        return JobLaunch(
            job_id=view.job_id,
            role=view.role,
            attempt=job.facts.attempt,
            command=words,
            env=request.get("env_vars") or {},
            docker_image=request.get("docker_image") or (self.settings.job_image if able.runs_images else None),
            # Workers play over HTTP and have no use for an accelerator.
            gpu_model="cpu" if view.role is JobRole.WORKER else view.gpu_model,
            url=self.url(),
            token=self.tokens.issue(view.job_id, view.run_id, view.role, job.facts.attempt),
            capacity=job.capacity,
            cpus=cores,
            memory_mb=memory_mb,
            timeout_s=job.facts.timeout_s + TIMEOUT_SLACK_S if job.facts.timeout_s else RUN_ATTEMPT_S,
            ports=[POLICY_PORT] if able.maps_ports and view.role is JobRole.POLICY else [],
        )

    def _count(self, job: JobRecord, outcome: str, took_s: float | None = None) -> None:
        labels = (job.view.role.value, *map(self.metrics.label, (job.view.gpu_model, job.view.provider)))
        self.metrics.job_dispatch.labels(*labels, outcome).inc()
        if took_s is None:
            self.metrics.job_dispatch_failures.labels(*labels).inc()
        else:
            self.metrics.job_dispatch_duration_seconds.labels(*labels).observe(took_s)


def needs(role: JobRole, gpu_model: str) -> tuple[float, int]:
    """Cores and memory (MiB) that a job of this role asks its provider for."""
    if role in (JobRole.WORKER, JobRole.LOGGER):
        return 1.0, 1024
    count = gpus.parse(gpu_model).count
    return (1.0, 2048) if count == 0 else (8.0 * count, 65536 * count)


def _where_to_listen(able: Abilities) -> list[str]:
    if able.maps_ports:
        return ["--host", "0.0.0.0", "--port", str(POLICY_PORT)]
    return ["--host", "0.0.0.0"] if able.shares_network else []


def _attempt(job: JobRecord) -> dict[str, object]:
    return {"attempt": job.facts.attempt}
