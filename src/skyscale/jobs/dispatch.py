"""What is done to one job: start, recover, pass over, lose, end, park; each in three phases.

    claim   short transaction: the intent is on record and the row is ours (a lock token that lapses)
    act     the provider, outside of any transaction, with a deadline
    apply   short transaction: the result and its event, only if the token is still ours

A crash between two phases leaves a lapsed lock, from which `rules.decide` leads back to a known state.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from skyscale.errors import SkyscaleError
from skyscale.jobs import rules
from skyscale.jobs.endings import Endings
from skyscale.jobs.ledger import LOCK_S, Ledger, name_of, told
from skyscale.jobs.queries import JobRecord
from skyscale.jobs.rules import Decision, Step
from skyscale.jobs.starting import Starter
from skyscale.telemetry import logs
from skyscale.wire.jobs import JobRole, JobStatus

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""Between asking a process to end and killing it."""
STOP_S = 45.0
"""How long a provider may take, beyond the grace, to confirm that nothing of a job is left."""
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

    ledger: Ledger
    endings: Endings
    starter: Starter

    async def carry_out(self, job: JobRecord, decision: Decision) -> None:
        """Do what was decided; whatever fails is logged and left to the next look at the row."""
        with logs.about(run_id=job.view.run_id, job_id=job.view.job_id):
            await self._carry_out(job, decision)

    async def _carry_out(self, job: JobRecord, decision: Decision) -> None:
        try:
            match decision.step:
                case Step.START:
                    await self.starter.start(job)
                case Step.RECOVER:
                    await self.starter.recover(job)
                case Step.ARRIVE:
                    await self.starter.arrive(job)
                case Step.PASS_OVER:
                    await self.starter.pass_over(job, decision.why or "")
                case Step.LOSE:
                    await self._lose(job, decision)
                case Step.END:
                    await self._end(job, decision)
                case Step.WAIT:
                    pass
        except (SkyscaleError, TimeoutError) as error:
            log.warning("job %s: %s failed: %s", job.view.job_id, decision.step.value, error)
        except Exception:
            log.exception("job %s: %s failed", job.view.job_id, decision.step.value)

    async def park(self, job: JobRecord) -> None:
        """End the job's process because the control plane shuts down; the next one starts it again."""
        if job.facts.desired == "stop":
            decision = Decision(Step.END, "cancelled", job.facts.stop_reason or "stopped on request", graceful=True)
            return await self.carry_out(job, decision)
        why = "the control plane was shut down"
        decision = Decision(Step.END, "retry", why, graceful=True)
        if job.facts.role is JobRole.CUSTOM:
            # A command that may not be repeatable is charged for the interruption.
            return await self.carry_out(job, decision)
        token = await self.ledger.claim(job, {})
        if token is not None:
            await self.starter.provider(job).stop(job.view.job_id, job.handle, GRACE_S)
            values = {"status": JobStatus.QUEUED.value, "due_at": self.ledger.clock(), "reason": why}
            await self.ledger.apply(job, token, values, "job.parked", f"{name_of(job)} stopped: {why}")
        return None

    async def note_adopted(self, job: JobRecord) -> None:
        """Record that a job of an earlier control plane was found alive."""
        await self.ledger.say(job, "job.adopted", f"{name_of(job)} found alive after a restart")

    async def _lose(self, job: JobRecord, decision: Decision) -> None:
        why = decision.why or ""
        token = await self.ledger.claim(job, {"status": JobStatus.LOST.value, "reason": why}, LOCK_S + STOP_S)
        if token is None:
            return
        await self.ledger.say(job, "job.lost", f"{name_of(job)} is lost: {why}")
        job = replace(job, facts=replace(job.facts, status=JobStatus.LOST))
        if await self._stopped(job, token, 0.0):
            await self.endings.finish(job, token, rules.on_death(job.facts, None, why))

    async def _end(self, job: JobRecord, decision: Decision) -> None:
        token = await self.ledger.claim(job, {}, LOCK_S + STOP_S)
        if token is None:
            return
        if job.facts.status is not JobStatus.QUEUED:
            grace = GRACE_S if decision.graceful else 0.0
            if not await self._stopped(job, token, grace):
                return
        await self.endings.finish(job, token, decision)

    async def _stopped(self, job: JobRecord, token: str, grace_s: float) -> bool:
        """Whether its provider confirms that nothing of the job is left; else it is put off, and asked again."""
        try:
            async with asyncio.timeout(STOP_S + grace_s):
                await self.starter.provider(job).stop(job.view.job_id, job.handle, grace_s)
        except (SkyscaleError, TimeoutError) as error:
            await self.ledger.put_off(job, token, f"{job.view.provider} does not confirm its end: {told(error)}")
            return False
        return True
