"""The life of a run, its limits, and what a request becomes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.errors import Conflict, Invalid
from skyscale.runs import addresses, resolve, rules
from skyscale.runs.rules import Progress
from skyscale.wire.runs import Evaluation, RunCreate, RunSpec, RunStage, RunStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
statuses = st.sampled_from(list(RunStatus))


def spec(**changes: object) -> RunSpec:
    return resolve.resolve(RunCreate.model_validate(changes), "rl-test")


def progress(newest: int = 0, started: datetime | None = None, rewards: list[float] | None = None) -> Progress:
    return Progress(newest_version=newest, rollouts_started_at=started, recent_rewards=rewards or [])


@given(st.lists(statuses, max_size=30))
def test_whatever_is_asked_a_run_only_goes_forward_and_an_end_is_final(wishes: list[RunStatus]) -> None:
    rank = {RunStatus.STARTING: 0, RunStatus.RUNNING: 1, RunStatus.STOPPING: 2}
    status = RunStatus.STARTING
    for wish in wishes:
        before = status
        try:
            status = rules.move(status, wish)
        except Conflict:
            assert status is before
            continue
        assert before not in rules.ENDED
        assert rank.get(status, 3) > rank[before]
        assert status not in rules.ENDED or before is RunStatus.STOPPING, "only STOPPING ends, so jobs are always ended"


@given(statuses)
def test_every_state_that_has_not_ended_can_reach_every_end(status: RunStatus) -> None:
    reachable, frontier = {status}, [status]
    while frontier:
        new = rules.TRANSITIONS[frontier.pop()] - reachable
        reachable |= new
        frontier += new
    assert status in rules.ENDED or reachable >= rules.ENDED


@given(statuses, st.booleans(), st.booleans(), st.booleans())
def test_a_stage_is_told_exactly_while_a_run_lives(status: RunStatus, ready: bool, trained: bool, end: bool) -> None:
    stage = rules.stage(status, is_policy_ready=ready, has_trained=trained, is_finishing=end)
    assert (stage is None) == (status in rules.ENDED)
    if stage is RunStage.TRAINING:
        assert ready and trained and not end


def test_max_steps_is_reached_at_that_version_and_not_before() -> None:
    assert rules.limit_reached(spec(max_steps=3), progress(2), NOW) is None
    assert "max_steps" in (rules.limit_reached(spec(max_steps=3), progress(3), NOW) or "")


def test_hours_count_from_the_first_rollout() -> None:
    assert rules.limit_reached(spec(max_hours=1), progress(9), NOW) is None
    assert rules.limit_reached(spec(max_hours=1), progress(started=NOW - timedelta(minutes=59)), NOW) is None
    assert "max_hours" in (
        rules.limit_reached(spec(max_hours=1), progress(started=NOW - timedelta(hours=1)), NOW) or ""
    )


def test_the_reward_target_needs_five_versions() -> None:
    target = spec(target_reward=0.5)
    assert rules.limit_reached(target, progress(rewards=[0.9] * 4), NOW) is None
    assert rules.limit_reached(target, progress(rewards=[0.9, 0.1, 0.1, 0.1, 0.1, 1.0]), NOW) is None
    assert "target_reward" in (rules.limit_reached(target, progress(rewards=[0.6, 0.4, 0.5, 0.5, 0.5]), NOW) or "")


@given(st.integers(1, 7), st.lists(st.integers(0, 3), max_size=40))
def test_evaluations_come_at_the_start_the_end_and_about_every_so_many_versions(every: int, steps: list[int]) -> None:
    evaluation, newest, asked = Evaluation(every_versions=every), 0, -1
    assert rules.evaluation_due(evaluation, newest=0, asked=-1, is_finishing=False)
    asked = 0
    for step in steps:
        newest += step
        if rules.evaluation_due(evaluation, newest=newest, asked=asked, is_finishing=False):
            assert newest > asked
            asked = newest
        assert newest - asked < every
    assert rules.evaluation_due(evaluation, newest=newest, asked=asked, is_finishing=True) == (newest > asked)


def test_evaluation_can_be_turned_off() -> None:
    off = Evaluation(num_problems=0)
    assert not rules.evaluation_due(off, newest=5, asked=-1, is_finishing=True)


def test_an_open_evaluation_holds_swaps_and_a_pin_holds_until_the_next_version() -> None:
    assert rules.version_to_serve(newest=7, pinned=None, evaluating=None) == 7
    assert rules.version_to_serve(newest=7, pinned=5, evaluating=None) == 5
    assert rules.version_to_serve(newest=7, pinned=5, evaluating=6) == 6
    assert rules.version_to_serve(newest=1, pinned=None, evaluating=0) == 0


def test_a_start_that_never_gets_healthy_is_overdue() -> None:
    late = NOW + rules.START_DEADLINE
    assert rules.overdue(RunStatus.STARTING, NOW, False, NOW) is None
    assert "register" in (rules.overdue(RunStatus.STARTING, NOW, False, late) or "")
    assert "healthy" in (rules.overdue(RunStatus.STARTING, NOW, True, late) or "")
    assert rules.overdue(RunStatus.RUNNING, NOW, False, late) is None


def test_defaults_depend_on_the_model() -> None:
    starter, large = spec(), spec(base_model="Qwen/Qwen3-0.6B")
    assert (starter.algorithm.learning_rate, starter.sampling.max_new_tokens) == (5e-4, 48)
    assert (large.algorithm.learning_rate, large.sampling.max_new_tokens) == (1e-6, 512)
    assert spec(algorithm={"learning_rate": 0.1}).algorithm.learning_rate == 0.1


def test_synchronous_runs_train_on_policy() -> None:
    assert spec(mode="synchronous").algorithm.max_staleness == 0
    assert spec().algorithm.max_staleness == 4


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gpu_model": "abacus"}, "gpu_model"),
        ({"provider": "moon"}, "provider"),
        ({"base_model": "not a model"}, "base_model"),
        ({"base_model": "../../etc/../x\n"}, None),
        ({"algorithm": {"minibatches": 17}}, "minibatches"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(changes: dict[str, object], named: str | None) -> None:
    if named is None:
        resolve.check(spec(**changes), {"local"})  # a path is the disk's question, asked elsewhere
        return
    with pytest.raises(Invalid, match=named):
        resolve.check(spec(**changes), {"local"})


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:80", "http://169.254.169.254/latest", "http://example.com", "http://user@127.0.0.1:1",
        "http://127.0.0.1:1/?x=1", "http://127.0.0.1:0", "http://", "http://[::1", "http://127.0.0.1:99999",
        "http://127.0.0.1.evil.com", "http://2130706433.example", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_the_policy_url_of_a_local_run_cannot_point_elsewhere(url: str) -> None:
    with pytest.raises(Invalid):
        addresses.check(url, is_this_host=True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:80", "https://127.8.8.8:1/a"]
)
def test_the_policy_url_of_a_local_run_is_on_this_machine(url: str) -> None:
    addresses.check(url, is_this_host=True)
