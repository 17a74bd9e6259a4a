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


def test_a_job_is_lost_after_ten_missed_heartbeats_but_the_first_may_take_two_minutes() -> None:
    assert not rules.is_lost(after(20), T0, BEAT_S, started=T0, listening_since=T0)
    assert rules.is_lost(after(20.1), T0, BEAT_S, started=T0, listening_since=T0)
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


@dataclass(frozen=True)
class Hand:
    """What a dispatcher holds between its claim and its apply."""

    lock: int
    decision: Decision
    attempt: int
    has_acted: bool = False


@dataclass
class World:
    """One job, its processes and two dispatchers whose three phases interleave at will."""

    job: JobFacts
    now: datetime = T0
    lock: int | None = None
    locks_made: int = 0
    alive: set[int] = field(default_factory=set[int])
    """Attempts with a live process."""
    started: list[int] = field(default_factory=list[int])
    exited: dict[int, int] = field(default_factory=dict[int, int])
    hands: dict[int, Hand] = field(default_factory=dict[int, Hand])
    has_stray: bool = False
    """A dispatcher died while holding a lapsed lock: what it started is ended by its first heartbeat's 410."""

    def change(self, **values: object) -> None:
        status = values.get("status")
        if isinstance(status, JobStatus) and status is not self.job.status:
            assert rules.may_become(self.job.status, status), f"{self.job.status} -> {status}"
        self.job = replace(self.job, **values)  # pyright: ignore[reportArgumentType]

    def seen(self) -> Seen | None:
        if self.job.status is not JobStatus.RUNNING:
            return None
        code = self.exited.get(self.job.attempt)
        if self.job.attempt in self.alive:
            return Seen("running")
        return Seen("unknown") if code is None else Seen("exited", code)

    def claim(self, who: int) -> None:
        decision = decide(self.job, self.seen(), self.now, heartbeat_s=BEAT_S, listening_since=T0)
        if who in self.hands or decision.step is Step.WAIT:
            return
        self.lock = self.locks_made = self.locks_made + 1
        self.change(lock_expires_at=self.now + timedelta(seconds=60))
        if decision.step is Step.START:
            self.change(status=JobStatus.STARTING, attempt=self.job.attempt + 1, started_at=None)
        if decision.step is Step.LOSE:
            self.change(status=JobStatus.LOST)
        self.hands[who] = Hand(self.lock, decision, self.job.attempt)

    def act(self, who: int) -> None:
        hand = self.hands[who]
        if hand.decision.step is Step.START:
            if self.alive:  # the runner's file lock, which the local provider's own tests hold to
                self.exited[hand.attempt] = 75
            else:
                self.alive.add(hand.attempt)
                self.started.append(hand.attempt)
        elif hand.decision.step is not Step.RECOVER:
            self.alive.clear()
        self.hands[who] = replace(hand, has_acted=True)

    def apply(self, who: int) -> None:
        hand = self.hands.pop(who)
        step = hand.decision.step
        if hand.lock != self.lock:
            if step is Step.START:
                self.alive.discard(hand.attempt)
            return
        self.lock = None
        self.change(lock_expires_at=None)
        is_known = self.job.attempt in self.alive or self.job.attempt in self.exited
        if step is Step.START or (step is Step.RECOVER and is_known):
            self.change(status=JobStatus.RUNNING, started_at=self.now, heartbeat_at=None)
        elif step is Step.RECOVER:
            self.change(status=JobStatus.QUEUED)
        else:
            end = rules.settle(self.job, hand.decision.verdict or "retry", self.now)
            self.change(status=end.status, failures=end.failures, crashes=end.crashes, due_at=end.due_at)

    def crash(self, who: int) -> None:
        hand = self.hands.pop(who, None)
        self.has_stray |= hand is not None and hand.lock != self.lock

    def go_on(self, who: int) -> None:
        if who in self.hands:
            (self.apply if self.hands[who].has_acted else self.act)(who)

    def happen(self, event: str) -> None:
        who = int(event[-1]) if event[-1].isdigit() else 0
        match event.rstrip("01"):
            case "claim":
                self.claim(who)
            case "step":
                self.go_on(who)
            case "whole":
                self.claim(who)
                self.go_on(who)
                self.go_on(who)
            case "crash":
                self.crash(who)
            case "die" if self.alive:
                self.exited[self.alive.pop()] = 1
            case "kill":
                self.alive.clear()
            case "stop" if self.job.status not in rules.FINAL:
                self.change(desired="stop")
            case "time":
                self.now += timedelta(seconds=31)
            case _:
                pass


EVENTS = ["claim0", "claim1", "step0", "step1", "crash0", "crash1", "die", "kill", "stop", "time", "whole0", "whole1"]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(EVENTS), min_size=20, max_size=80),
    st.sampled_from([JobRole.WORKER, JobRole.TRAINER, JobRole.CUSTOM]),
)
def test_invariants_hold_under_crashes_races_and_two_dispatchers(events: list[str], role: JobRole) -> None:
    world = World(facts(status=JobStatus.QUEUED, attempt=0, started_at=None, role=role, max_attempts=2))
    for event in events:
        before = world.job.status
        world.happen(event)
        assert before not in rules.FINAL or world.job.status is before, "a final state changed"
        assert len(world.started) == len(set(world.started)), "an attempt was started twice"
        assert world.job.failures <= world.job.max_attempts, "more deaths than the budget"
        if world.job.status is JobStatus.RUNNING:
            assert world.job.attempt in {*world.started, *world.exited}, "running without a start"
    let_it_stop(world)
    assert world.job.status in rules.FINAL, "stop did not win"
    assert world.has_stray or not world.alive, "a process is left"


def let_it_stop(world: World) -> None:
    """No more trouble: both dispatchers go on, the job is to stop, locks of the dead lapse."""
    if world.job.status not in rules.FINAL:
        world.change(desired="stop")
    for who in (0, 1) * 4:
        world.go_on(who)
        world.go_on(who)
        world.now += timedelta(seconds=61)
        world.claim(who)
        world.go_on(who)
        world.go_on(who)
