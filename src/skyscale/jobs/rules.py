"""What a job's state may become, and what to do about a job now: pure, one table, one decision.

             .------------ retry: within the budget, after a back-off ------------.
             v                                                                    |
          queued ---claim---> starting ---handle---> running ---silent/vanished--> lost
             ^                   |                      |                          |
             '--passed over------+----------------------+--------------------------+
             |                   |                      |                          |
             '-------------------'----------------------'--------------------------'
                                 |
                                 v
                     succeeded | failed | cancelled        (final)

- A claim raises `attempt`; everything an older attempt says or does is void.
- A claim also says which provider is asked (`asked_at`): the intent. What became of it is found by name, never guessed.
- A provider that refuses, has nothing free or keeps a job waiting is passed over: the next place, no failure charged.
  After the last place it is one failure, and the first place again.
- A process is stopped, and known to be gone, before its job is queued again: no job runs twice at once.
- `failures` counts deaths against `max_attempts`; each healthy minute forgives one, `crashes` bounds what is forgiven.
- Stop wins over everything, finish over run.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from skyscale.wire.jobs import JobRole, JobStatus

Desired = Literal["run", "finish", "stop"]

S = JobStatus
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    S.QUEUED: frozenset({S.STARTING, S.CANCELLED}),
    S.STARTING: frozenset({S.RUNNING, S.QUEUED, S.FAILED, S.CANCELLED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST, S.QUEUED}),
    S.LOST: frozenset({S.QUEUED, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
FINAL = frozenset(status for status, after in TRANSITIONS.items() if not after)
LIVE = frozenset(TRANSITIONS) - FINAL

MISSED_HEARTBEATS = 10
FIRST_HEARTBEAT_S = 120.0
"""Importing torch and loading a model may take this long before the first heartbeat."""
FINISH_S = {JobRole.TRAINER: 120.0}
FINISH_DEFAULT_S = 60.0
"""How long a process may take to end in good order; a trainer has a last checkpoint to write."""
HEALTHY_S = 60.0
"""Each such stretch of health before a death forgives one earlier failure."""
CRASHES_PER_ATTEMPT = 10
"""Deaths ever, per allowed attempt: the end of a process that dies slowly for ever."""
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0
ATTEMPT_HEADER = "--- attempt "
"""Begins the line that a provider writes into a job's log before each attempt."""
UNKNOWN_S = 120.0
"""How long a provider that does not say what became of a start is asked again before it is passed over."""
MAX_REASON_CHARS = 400
MAX_NAME_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What a decision depends on; times are aware."""

    role: JobRole
    status: JobStatus
    desired: Desired
    held: bool
    due_at: datetime
    attempt: int
    failures: int
    crashes: int
    max_attempts: int
    timeout_s: float | None
    started_at: datetime | None
    heartbeat_at: datetime | None
    finish_asked_at: datetime | None
    lock_expires_at: datetime | None
    """None when nobody acts on it."""
    asked_at: datetime | None = None
    """When the present attempt's provider was asked."""
    stop_reason: str | None = None
    """Why it is to stop, when nobody asked for that."""
    has_handle: bool = False
    """The provider has taken the present attempt."""


@dataclass(frozen=True, slots=True)
class JobBrief:
    """Where a job stands, and no more."""

    id: str
    role: str
    status: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the provider says of an attempt; `code` is set when it exited."""

    state: Literal["pending", "running", "exited", "unknown"]
    """`pending`: the provider has taken it and its process does not run yet."""
    code: int | None = None


class Step(StrEnum):
    """What the scheduler does next with a job."""

    WAIT = "wait"
    START = "start"
    RECOVER = "recover"
    """A claim lapsed between intent and handle: find the process, or queue the job again."""
    ARRIVE = "arrive"
    """A job that waited at its provider has begun (or ended): from now on it is a running one."""
    PASS_OVER = "pass_over"
    """Take it back from its provider, and ask the next one."""
    LOSE = "lose"
    """Declare it lost; stopping and retrying follow."""
    END = "end"
    """Make sure that no process is left, then move to what `verdict` says."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A step and, for `END`, where it leads: a final state, or `retry` within the budget."""

    step: Step
    verdict: Literal["succeeded", "failed", "cancelled", "retry"] | None = None
    why: str | None = None
    graceful: bool = False
    """The process is still at work: give it its grace before it is killed."""


WAIT = Decision(Step.WAIT)


def may_become(before: JobStatus, after: JobStatus) -> bool:
    """Whether the table allows this change."""
    return after in TRANSITIONS[before]


def may_retry(failures: int, crashes: int, max_attempts: int) -> bool:
    """Whether a job that died so often may be started again."""
    return failures < max_attempts and crashes < max_attempts * CRASHES_PER_ATTEMPT


def backoff_s(failures: int) -> float:
    """Seconds before the next start after so many failures: 0.5, 1, 2 ... 30."""
    return min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(max(failures - 1, 0), 16))


def failures_after(role: JobRole, failures: int, ran_s: float) -> int:
    """Failures on the account after one more death; custom jobs, whose budget is their caller's, are forgiven none."""
    forgiven = 0 if role is JobRole.CUSTOM else int(ran_s // HEALTHY_S)
    return max(0, failures - forgiven) + 1


def is_lost(
    now: datetime,
    last_heartbeat: datetime | None,
    heartbeat_s: float,
    *,
    started: datetime,
    listening_since: datetime,
    quiet_s: float = FIRST_HEARTBEAT_S,
) -> bool:
    """Whether a running process has been silent for too long.

    Silence counts only while we listened: `listening_since` is when this scheduler began or last awoke from a stall.
    """
    if last_heartbeat is None:
        return now - max(started, listening_since) > timedelta(seconds=max(quiet_s, 3 * heartbeat_s))
    return now - max(last_heartbeat, listening_since) > timedelta(seconds=MISSED_HEARTBEATS * heartbeat_s)


def decide(
    job: JobFacts,
    seen: Seen | None,
    now: datetime,
    *,
    heartbeat_s: float,
    listening_since: datetime,
    quiet_s: float = FIRST_HEARTBEAT_S,
    queue_s: float = 900.0,
) -> Decision:
    """What to do about a job; `seen` is what the provider says of an attempt that it has taken, else None.

    `quiet_s` is how long a process may take there until its first heartbeat, `queue_s` how long a job may wait there.
    """
    if job.status in FINAL or (job.lock_expires_at is not None and job.lock_expires_at > now):
        return WAIT
    if job.desired == "stop":
        why = job.stop_reason or "stopped on request"
        return Decision(Step.END, "cancelled", why, graceful=job.status is S.RUNNING)
    match job.status:
        case S.QUEUED:
            return _queued(job, now)
        case S.STARTING:
            return _starting(job, seen, now, queue_s)
        case S.LOST:
            return on_death(job, None, "fell silent or vanished")
        case _:
            return _running(job, seen, now, heartbeat_s, listening_since, quiet_s)


def _starting(job: JobFacts, seen: Seen | None, now: datetime, queue_s: float) -> Decision:
    waited = now - job.asked_at if job.asked_at else timedelta(0)
    if not job.has_handle:
        if job.role is not JobRole.CUSTOM and waited > timedelta(seconds=UNKNOWN_S):
            # It may have been started, but its token is of an older attempt by then: it ends itself, and is reaped.
            # A custom command does not ask, and may not be repeatable: it waits for the provider's answer.
            return Decision(Step.PASS_OVER, why=f"no answer for {UNKNOWN_S:g} s")
        return Decision(Step.RECOVER)
    if seen is None:
        return WAIT
    if seen.state != "pending":
        return Decision(Step.ARRIVE)
    if waited > timedelta(seconds=queue_s):
        return Decision(Step.PASS_OVER, why=f"kept it waiting for {queue_s:g} s")
    return WAIT


def _queued(job: JobFacts, now: datetime) -> Decision:
    if job.desired == "finish" and not (job.role is JobRole.TRAINER and job.attempt > 0):
        # A trainer that died goes on to its last checkpoint; the others have nothing to finish.
        return Decision(Step.END, "cancelled", "the run finished first")
    return WAIT if job.held or job.due_at > now else Decision(Step.START)


def _running(
    job: JobFacts, seen: Seen | None, now: datetime, heartbeat_s: float, listening_since: datetime, quiet_s: float
) -> Decision:
    if seen is None or job.started_at is None:
        return WAIT
    if seen.state == "exited":
        return on_death(job, seen.code, describe_exit(seen.code or 0))
    if seen.state == "unknown":
        return Decision(Step.LOSE, why="its process vanished")
    if job.desired == "finish" and job.finish_asked_at is not None:
        limit = timedelta(seconds=FINISH_S.get(job.role, FINISH_DEFAULT_S))
        if now - max(job.finish_asked_at, job.started_at) > limit:
            return Decision(Step.END, "succeeded", f"stopped: still at work {limit.seconds} s after finish", True)
    if job.timeout_s is not None and now - job.started_at > timedelta(seconds=job.timeout_s):
        return Decision(Step.END, "failed", f"stopped after its timeout of {job.timeout_s:g} s", True)
    if job.role is not JobRole.CUSTOM and is_lost(
        now, job.heartbeat_at, heartbeat_s, started=job.started_at, listening_since=listening_since, quiet_s=quiet_s
    ):
        return Decision(Step.LOSE, why="no heartbeat: its process fell silent")
    return WAIT


def on_death(job: JobFacts, code: int | None, why: str) -> Decision:
    """What follows from the end of a process that nobody ended; `code` is None when it is not known."""
    ends_by_itself = job.role in (JobRole.TRAINER, JobRole.CUSTOM)
    if code == 0 and (ends_by_itself or job.desired == "finish"):
        return Decision(Step.END, "succeeded")
    if job.desired == "finish" and not ends_by_itself:
        return Decision(Step.END, "succeeded", f"{why} while finishing")
    return Decision(Step.END, "retry", f"{why} without being asked to end" if code == 0 else why)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The row after a death."""

    status: JobStatus
    failures: int
    crashes: int
    due_at: datetime


def settle(job: JobFacts, verdict: str, now: datetime) -> Outcome:
    """Where an ended attempt leads: its verdict, or for `retry` the queue or, out of budget, `failed`."""
    if verdict != "retry":
        return Outcome(JobStatus(verdict), job.failures, job.crashes, job.due_at)
    ran_s = (now - job.started_at).total_seconds() if job.started_at else 0.0
    failures, crashes = failures_after(job.role, job.failures, ran_s), job.crashes + 1
    if not may_retry(failures, crashes, job.max_attempts):
        return Outcome(S.FAILED, failures, crashes, job.due_at)
    return Outcome(S.QUEUED, failures, crashes, now + timedelta(seconds=backoff_s(failures)))


def next_place(places: Sequence[str], provider: str) -> str | None:
    """The provider to ask after this one; None when it was the last, or was named by the caller (no places)."""
    if provider not in places:
        return places[0] if places else None
    after = list(places).index(provider) + 1
    return places[after] if after < len(places) else None


def external_name(job_id: str, attempt: int) -> str:
    """The attempt's name at a provider: at most 60 of `a-z 0-9 -`, the same for the same attempt, else different."""
    ending = f"-a{attempt}"
    if len(job_id) + len(ending) <= MAX_NAME_CHARS:
        return job_id + ending
    digest = hashlib.sha256(job_id.encode()).hexdigest()[:10]
    return f"{job_id[: MAX_NAME_CHARS - len(ending) - len(digest) - 1]}-{digest}{ending}"


def describe_exit(code: int) -> str:
    """An exit code in words; negative ones are signals."""
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def last_words(log: str) -> str:
    """The last line that the newest attempt printed: of a Python traceback, the exception."""
    lines = [line.strip() for line in log.rpartition(ATTEMPT_HEADER)[2].splitlines()[1:] if line.strip()]
    return lines[-1][:MAX_REASON_CHARS] if lines else ""
