"""How an attempt is started: intent, call, and what an answer, or none, leads to.

    taken           running, or (at a provider that may queue) starting with a handle
    no answer       find it by name: adopt it, or make sure that it is not there, or leave the intent to be asked again
    refused, full   the next place at once; after the last one a retry with back-off from the first

The intent (attempt and provider in the row, committed) precedes the call, so a crash anywhere leads back to `recover`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from skyscale.auth.tokens import JobTokens
from skyscale.errors import Invalid, SkyscaleError
from skyscale.jobs import rules
from skyscale.jobs.ledger import LOCK_S, Ledger, name_of
from skyscale.jobs.loading import unknown_provider
from skyscale.jobs.provider import DAY_S, JobLaunch, NoCapacity, Provider, Refused
from skyscale.jobs.queries import JobRecord
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
    tokens: JobTokens
    metrics: Metrics
    providers: Mapping[str, Provider]
    settings: Settings
    url: Callable[[], str]
    commands: Mapping[JobRole, Sequence[str]]

    def provider(self, job: JobRecord) -> Provider:
        """The job's present provider. Raises Invalid when there is none of that name."""
        provider = self.providers.get(job.view.provider)
        if provider is None:
            raise unknown_provider(job.view.provider, self.providers)
        return provider

    async def start(self, job: JobRecord) -> str | None:
        """Ask the job's provider. Returns why it must be retried later, having let go of nothing, or None."""
        began, attempt, provider = time.monotonic(), job.facts.attempt + 1, self.provider(job)
        limit_s = provider.abilities.start_s
        intent = FRESH | {"attempt": attempt, "asked_at": self.ledger.clock()}
        token = await self.ledger.claim(job, intent, LOCK_S + limit_s + 2 * FIND_S)
        if token is None:
            return
        job = replace(job, handle=None, facts=replace(job.facts, attempt=attempt, started_at=None))
        try:
            missing = provider.missing()
            if missing is not None:
                raise Refused(missing)
            async with asyncio.timeout(limit_s):
                handle = await provider.start(self._launch(job, provider))
        except (SkyscaleError, TimeoutError) as error:
            self._count(job, "failed")
            await self._not_taken(job, token, error)
            return
        if await self._taken(job, token, handle):
            self._count(job, "started", time.monotonic() - began)
        else:
            await provider.stop(job.view.job_id, handle, 0)
