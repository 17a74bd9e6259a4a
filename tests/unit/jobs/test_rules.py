"""Decisions about jobs, by tables and by random schedules of two dispatchers that crash."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyscale.jobs import rules
from skyscale.jobs.rules import Decision, JobFacts, Seen, Step, decide
from skyscale.wire.jobs import JobRole, JobStatus

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BEAT_S = 2.0


def facts(**changes: object) -> JobFacts:
    base = JobFacts(
        role=JobRole.WORKER, status=JobStatus.RUNNING, desired="run", held=False, due_at=T0, attempt=1, failures=0,
        crashes=0, max_attempts=3, timeout_s=None, started_at=T0, heartbeat_at=T0, finish_asked_at=None,
        lock_expires_at=None,
    )  # fmt: skip
    return replace(base, **changes)  # pyright: ignore[reportArgumentType]


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def say(job: JobFacts, seen: Seen | None, now: datetime = T0) -> Decision:
    return decide(job, seen, now, heartbeat_s=BEAT_S, listening_since=T0)


def test_final_states_have_no_way_out() -> None:
    assert {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED} == rules.FINAL
    for status in rules.FINAL:
        assert say(facts(status=status, desired="stop"), None) == rules.WAIT


def test_backoff_doubles_up_to_half_a_minute() -> None:
    assert [rules.backoff_s(failures) for failures in (1, 2, 3, 4, 7, 1000)] == [0.5, 1, 2, 4, 30, 30]


def test_a_job_is_lost_after_three_missed_heartbeats_but_the_first_may_take_two_minutes() -> None:
    assert not rules.is_lost(after(6), T0, BEAT_S, started=T0, listening_since=T0)
    assert rules.is_lost(after(6.1), T0, BEAT_S, started=T0, listening_since=T0)
    assert not rules.is_lost(after(119), None, BEAT_S, started=T0, listening_since=T0)
    assert rules.is_lost(after(121), None, BEAT_S, started=T0, listening_since=T0)


def test_silence_before_this_scheduler_listened_does_not_count() -> None:
    assert not rules.is_lost(after(605), T0, BEAT_S, started=T0, listening_since=after(600))


def test_healthy_minutes_forgive_failures_but_not_those_of_custom_jobs() -> None:
    assert rules.failures_after(JobRole.WORKER, 4, 10) == 5
    assert rules.failures_after(JobRole.WORKER, 4, 125) == 3
    assert rules.failures_after(JobRole.WORKER, 4, 9999) == 1
    assert rules.failures_after(JobRole.CUSTOM, 4, 9999) == 5


def test_a_process_that_keeps_dying_slowly_is_given_up_in_the_end() -> None:
    assert not rules.may_retry(1, 3 * rules.CRASHES_PER_ATTEMPT, 3)


@pytest.mark.parametrize(
    ("job", "seen", "step", "verdict"),
    [
        (facts(status=JobStatus.QUEUED), None, Step.START, None),
        (facts(status=JobStatus.QUEUED, held=True), None, Step.WAIT, None),
        (facts(status=JobStatus.QUEUED, due_at=after(1)), None, Step.WAIT, None),
        (facts(status=JobStatus.QUEUED, desired="finish"), None, Step.END, "cancelled"),
        (facts(status=JobStatus.QUEUED, desired="finish", role=JobRole.TRAINER), None, Step.START, None),
        (
            facts(status=JobStatus.QUEUED, desired="finish", role=JobRole.TRAINER, attempt=0),
            None,
            Step.END,
            "cancelled",
        ),
        (facts(status=JobStatus.QUEUED, desired="stop", held=True), None, Step.END, "cancelled"),
        (facts(status=JobStatus.STARTING), None, Step.RECOVER, None),
        (facts(status=JobStatus.STARTING, lock_expires_at=after(1)), None, Step.WAIT, None),
        (facts(status=JobStatus.LOST), None, Step.END, "retry"),
        (facts(), Seen("running"), Step.WAIT, None),
        (facts(), Seen("unknown"), Step.LOSE, None),
        (facts(), Seen("exited", 0), Step.END, "retry"),
        (facts(), Seen("exited", 1), Step.END, "retry"),
        (facts(desired="finish"), Seen("exited", 0), Step.END, "succeeded"),
        (facts(desired="finish"), Seen("exited", 1), Step.END, "succeeded"),
        (facts(role=JobRole.TRAINER), Seen("exited", 0), Step.END, "succeeded"),
        (facts(role=JobRole.TRAINER, desired="finish"), Seen("exited", 1), Step.END, "retry"),
        (facts(role=JobRole.CUSTOM), Seen("exited", 0), Step.END, "succeeded"),
        (facts(desired="stop"), Seen("running"), Step.END, "cancelled"),
        (facts(desired="stop"), Seen("exited", 0), Step.END, "cancelled"),
    ],
)
def test_what_is_done_next(job: JobFacts, seen: Seen | None, step: Step, verdict: str | None) -> None:
    decision = say(job, seen)
    assert (decision.step, decision.verdict) == (step, verdict)


def test_a_process_that_does_not_finish_is_stopped_and_counts_as_done() -> None:
    job = facts(desired="finish", finish_asked_at=T0, heartbeat_at=after(61))
    assert say(job, Seen("running"), after(60)).step is Step.WAIT
    assert say(job, Seen("running"), after(61)).verdict == "succeeded"


def test_a_timeout_fails_the_job_without_a_retry() -> None:
    job = facts(role=JobRole.CUSTOM, timeout_s=5.0)
    assert say(job, Seen("running"), after(5)).step is Step.WAIT
    assert say(job, Seen("running"), after(5.1)).verdict == "failed"


def test_last_words_are_those_of_the_newest_attempt() -> None:
    log = "--- attempt 1, x ---\nold\n--- attempt 2, x ---\nTraceback\nValueError: bad\n\n"
    assert rules.last_words(log) == "ValueError: bad"
    assert rules.last_words("--- attempt 1, x ---\nold\n--- attempt 2, x ---\n") == ""


@dataclass
class World:
    """One job, its processes and two dispatchers whose three phases interleave at will."""

    job: JobFacts
    now: datetime = T0
    lock: int | None = None
    next_lock: int = 1
    alive: set[int] = field(default_factory=set[int])
    """Attempts with a live process."""
    exited: dict[int, int] = field(default_factory=dict[int, int])
    hands: dict[int, tuple[int, Decision, str]] = field(default_factory=dict[int, tuple[int, Decision, str]])
    """Dispatcher -> its lock, what it does, and its phase."""
    stop_asked: bool = False

    def change(self, **values: object) -> None:
        status = values.get("status")
        if isinstance(status, JobStatus) and status is not self.job.status:
            assert rules.may_become(self.job.status, status), f"{self.job.status} -> {status}"
        self.job = replace(self.job, **values)  # pyright: ignore[reportArgumentType]

    def claim(self, who: int) -> None:
        seen = None
        if self.job.status is JobStatus.RUNNING:
            code = self.exited.get(self.job.attempt)
            is_alive = self.job.attempt in self.alive
            seen = Seen("running") if is_alive else Seen("unknown") if code is None else Seen("exited", code)
        decision = decide(self.job, seen, self.now, heartbeat_s=BEAT_S, listening_since=T0)
        if who in self.hands or decision.step is Step.WAIT:
            return
        self.lock, self.next_lock = self.next_lock, self.next_lock + 1
        self.change(lock_expires_at=self.now + timedelta(seconds=60))
        if decision.step is Step.START:
            self.change(status=JobStatus.STARTING, attempt=self.job.attempt + 1, started_at=None)
        if decision.step is Step.LOSE:
            self.change(status=JobStatus.LOST)
        self.hands[who] = (self.lock, decision, "act")

    def act(self, who: int) -> None:
        lock, decision, phase = self.hands[who]
        if phase != "act":
            return
        if decision.step is Step.START:
            if not self.alive:  # the runner's file lock: a second attempt does not start beside a first
                self.alive.add(self.job.attempt)
        elif decision.step is not Step.RECOVER:
            self.alive.clear()
        self.hands[who] = (lock, decision, "apply")

    def apply(self, who: int) -> None:
        lock, decision, phase = self.hands[who]
        if phase != "apply":
            return
        del self.hands[who]
        if lock != self.lock:
            return
        self.lock = None
        self.change(lock_expires_at=None)
        if decision.step is Step.START or (decision.step is Step.RECOVER and self.job.attempt in self.alive):
            self.change(status=JobStatus.RUNNING, started_at=self.now, heartbeat_at=None)
        elif decision.step is Step.RECOVER:
            self.change(status=JobStatus.QUEUED)
        else:
            verdict = decision.verdict or "retry"
            end = rules.settle(self.job, verdict, self.now)
            self.change(status=end.status, failures=end.failures, crashes=end.crashes, due_at=end.due_at)


EVENTS = st.sampled_from(["claim0", "claim1", "step0", "step1", "crash0", "crash1", "die", "kill", "stop", "time"])


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=80), st.sampled_from([JobRole.WORKER, JobRole.TRAINER, JobRole.CUSTOM]))
def test_invariants_hold_under_crashes_races_and_two_dispatchers(events: list[str], role: JobRole) -> None:
    world = World(facts(status=JobStatus.QUEUED, attempt=0, started_at=None, heartbeat_at=None, role=role))
    final: JobStatus | None = None
    for event in events:
        who = 1 if event.endswith("1") else 0
        if event.startswith("claim"):
            world.claim(who)
        elif event.startswith("step") and who in world.hands:
            (world.act if world.hands[who][2] == "act" else world.apply)(who)
        elif event.startswith("crash"):
            world.hands.pop(who, None)
        elif event == "die" and world.alive:
            world.exited[world.alive.pop()] = 1
        elif event == "kill":
            world.alive.clear()
        elif event == "stop" and world.job.status not in rules.FINAL:
            world.change(desired="stop")
        elif event == "time":
            world.now += timedelta(seconds=31)
        assert len(world.alive) <= 1
        assert world.job.failures <= world.job.max_attempts
        assert final is None or world.job.status is final, "a final state changed"
        final = world.job.status if world.job.status in rules.FINAL else None
        assert final is None or not world.alive or world.lock is None
    settle_down(world)


def settle_down(world: World) -> None:
    """Without further trouble a stopped job ends, with nothing left of it."""
    world.hands.clear()
    if world.job.status not in rules.FINAL:
        world.change(desired="stop")
    for _ in range(3):
        world.now += timedelta(seconds=61)
        world.claim(0)
        while 0 in world.hands:
            (world.act if world.hands[0][2] == "act" else world.apply)(0)
    assert world.job.status in rules.FINAL
    if world.job.desired == "stop" and world.job.attempt:
        assert not world.alive or world.job.status is not JobStatus.CANCELLED
