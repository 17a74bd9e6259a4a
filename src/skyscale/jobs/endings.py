"""What a job's row becomes when an attempt has ended, and the last words that its events keep."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from skyscale.errors import SkyscaleError
from skyscale.jobs import rules
from skyscale.jobs.ledger import Ledger, name_of
from skyscale.jobs.provider import Provider
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.rules import Decision
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.jobs import JobStatus

log = logging.getLogger(__name__)

LAST_WORDS_BYTES = 8192
ASK_S = 15.0
"""How long a provider may take to tell an exit code and last words; without them the reason is shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Settles ended attempts; nothing of them runs any more when this is called."""

    ledger: Ledger
    metrics: Metrics
    providers: Mapping[str, Provider]

    async def finish(
        self,
        job: JobRecord,
        token: str,
        decision: Decision,
        *,
        more: Mapping[str, object] | None = None,
        wait_s: float | None = None,
    ) -> None:
        """Move the job to where the decision leads and let go of it.

        `more` are columns to write along; `wait_s` is until the next attempt, where the usual back-off is too short.
        """
        code, words = await self._last_of(job, wants_words=decision.verdict in ("retry", "failed"))
        now = self.ledger.clock()
        outcome = rules.settle(job.facts, decision.verdict or "retry", now)
        if wait_s is not None and outcome.status is JobStatus.QUEUED:
            outcome = replace(outcome, due_at=now + timedelta(seconds=wait_s))
        reason = f"{decision.why}: {words}" if decision.why and words else decision.why
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
        values |= more or {}
        await self.ledger.apply(job, token, values, *_ending(job, outcome, reason, now), attempt=job.facts.attempt)

    async def _last_of(self, job: JobRecord, *, wants_words: bool) -> tuple[int | None, str]:
        provider, words = self.providers.get(job.view.provider), ""
        if provider is None or job.handle is None:
            return None, words
        try:
            async with asyncio.timeout(ASK_S):
                code = (await provider.poll(job.handle)).code
                if wants_words:
                    words = rules.last_words(await provider.logs(job.view.job_id, job.handle, LAST_WORDS_BYTES))
        except (SkyscaleError, TimeoutError) as error:
            log.warning("job %s: %s does not say how it ended: %s", job.view.job_id, provider.name, error)
            return None, words
        return code, words


def _ending(job: JobRecord, outcome: rules.Outcome, reason: str | None, now: datetime) -> tuple[str, str]:
    suffix = f": {reason}" if reason else ""
    if outcome.status is JobStatus.QUEUED:
        wait_s = (outcome.due_at - now).total_seconds()
        return "job.retry", f"{name_of(job)} is started again in {wait_s:g} s{suffix}"
    return f"job.{outcome.status.value}", f"{name_of(job)} {outcome.status.value}{suffix}"
