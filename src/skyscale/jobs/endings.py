"""What a job's row becomes when an attempt has ended, and the last words that its events keep."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from skyscale.jobs import rules
from skyscale.jobs.ledger import Ledger, name_of
from skyscale.jobs.provider import Provider
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.rules import Decision
from skyscale.wire.jobs import JobStatus

LAST_WORDS_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Settles ended attempts; nothing of them runs any more when this is called."""

    ledger: Ledger
    providers: Mapping[str, Provider]

    async def finish(
        self, job: JobRecord, token: str, decision: Decision, more: Mapping[str, object] | None = None
    ) -> None:
        """Move the job to where the decision leads and let go of it; `more` are columns to write along."""
        now, provider = self.ledger.clock(), self.providers.get(job.view.provider)
        outcome = rules.settle(job.facts, decision.verdict or "retry", now)
        reason, code = decision.why, None
        if provider and job.handle is not None:
            code = (await provider.poll(job.handle)).code
            if reason and decision.verdict in ("retry", "failed"):
                words = rules.last_words(await provider.logs(job.view.job_id, job.handle, LAST_WORDS_BYTES))
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
        values |= more or {}
        await self.ledger.apply(job, token, values, *_ending(job, outcome, reason, now), attempt=job.facts.attempt)


def _ending(job: JobRecord, outcome: rules.Outcome, reason: str | None, now: datetime) -> tuple[str, str]:
    suffix = f": {reason}" if reason else ""
    if outcome.status is JobStatus.QUEUED:
        wait_s = (outcome.due_at - now).total_seconds()
        return "job.retry", f"{name_of(job)} is started again in {wait_s:g} s{suffix}"
    return f"job.{outcome.status.value}", f"{name_of(job)} {outcome.status.value}{suffix}"
