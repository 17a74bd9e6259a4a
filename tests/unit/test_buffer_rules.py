"""The pure rules of the buffer: classification, admission, the choice of a batch."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.buffer import rules
from skyscale.buffer.parsing import parse_push
from skyscale.buffer.rules import Candidate, GroupState
from skyscale.buffer.verdicts import check, key_of_program
from skyscale.errors import BadRequest, Invalid
from skyscale.wire.batches import Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling


def spec(*, groups_per_step: int = 2, max_staleness: int = 1, mode: str = "async", **changes: bool) -> RunSpec:
    return RunSpec.model_validate(
        {
            "run_id": "rl-test", "base_model": "skyscale/starter", "num_workers": 1, "gpu_model": "cpu",
            "provider": "local", "problem_set": "embedded", "difficulty": None,
            "algorithm": Algorithm(
                groups_per_step=groups_per_step, max_staleness=max_staleness, group_size=2, **changes
            ),
            "sampling": Sampling(max_new_tokens=32), "evaluation": Evaluation(), "mode": mode, "seed": 1,
            "max_steps": None, "max_hours": None, "target_reward": None, "max_concurrent_groups": 4,
            "checkpoint_every": 1, "keep_versions": 3,
        }
    )  # fmt: skip


def trajectory(reward: float, outcome: Outcome = Outcome.SCORED, versions: tuple[int, ...] = (3, 4)) -> Trajectory:
    return Trajectory(
        episode_id=f"ep-{reward}", code="", completion_ids=[1] * len(versions), logprobs=[-0.5] * len(versions),
        versions=list(versions), reward=reward, outcome=outcome,
    )  # fmt: skip


BROKEN = Outcome.INFRASTRUCTURE_FAILURE
NUMBERS = st.integers(0, 20)


@pytest.mark.parametrize(
    ("rewards", "num_broken", "state"),
    [
        ([0.0, 1.0], 0, GroupState.WAITING),
        ([0.5, 0.5], 0, GroupState.FLAT),
        ([1.0], 0, GroupState.FLAT),
        ([0.0, 1.0], 1, GroupState.WAITING),
        ([0.5, 0.5], 1, GroupState.FAILED),
        ([1.0], 1, GroupState.FAILED),
        ([], 2, GroupState.FAILED),
    ],
)
def test_a_group_is_trained_on_only_if_two_rewards_differ(
    rewards: list[float], num_broken: int, state: GroupState
) -> None:
    group = [trajectory(r) for r in rewards] + [trajectory(0.0, BROKEN)] * num_broken
    summary = rules.classify(group, 3, is_eval=False)
    assert (summary.state, summary.kept, summary.dropped) == (state, len(rewards), num_broken)
    assert summary.reward_sum == sum(rewards)


def test_the_age_of_a_group_is_that_of_its_oldest_token() -> None:
    group = [trajectory(0.0, versions=(5, 6)), trajectory(1.0, versions=(4, 4)), trajectory(0.5, versions=())]
    assert rules.classify(group, 7, is_eval=False).min_version == 4
    assert rules.classify([trajectory(0.0, versions=())], 7, is_eval=False).min_version == 7


def test_slots_cover_one_batch_per_version_of_staleness_and_one_batch_when_synchronous() -> None:
    assert rules.num_slots(spec(groups_per_step=16, max_staleness=4)) == 80
    assert rules.num_slots(spec(groups_per_step=16, max_staleness=4, mode="synchronous")) == 16
    assert [rules.train_room(spec(), 4, holding, 7, None) for holding in (0, 2, 4, 5)] == [4, 2, 0, 0]


def candidates(*versions: int, of_lease: str | None = None) -> list[Candidate]:
    return [Candidate(f"grp-{i}-{v}-{of_lease}", 2, v, of_lease) for i, v in enumerate(versions)]


def test_a_batch_is_the_oldest_groups_or_nothing() -> None:
    waiting = candidates(4, 5, 5)
    assert rules.choose(waiting, 2, spec(), 5, ahead=0, flat=0).batch == waiting[:2]
    assert rules.choose(waiting, 4, spec(), 5, ahead=0, flat=0).batch == []


def test_a_group_too_old_for_the_version_it_would_be_trained_on_is_refused() -> None:
    waiting = candidates(3, 4, 5)
    choice = rules.choose(waiting, 2, spec(max_staleness=1), 5, ahead=0, flat=0)
    assert (choice.batch, choice.stale) == (waiting[1:], waiting[:1])
    # One full batch is leased and will be published first, so this one will be trained on at version 6.
    choice = rules.choose(waiting, 1, spec(max_staleness=1), 5, ahead=1, flat=0)
    assert (choice.batch, choice.stale) == (waiting[2:], waiting[:2])


def test_groups_of_an_expired_lease_that_are_left_behind_count_as_a_batch_ahead() -> None:
    waiting = candidates(5, 5) + candidates(4, 4, of_lease="lease-1")
    choice = rules.choose(waiting, 2, spec(max_staleness=0), 5, ahead=0, flat=0)
    assert choice.batch == waiting[:2]
    waiting = candidates(5, 5) + candidates(5, 5, of_lease="lease-1")
    assert rules.choose(waiting, 2, spec(max_staleness=0), 5, ahead=0, flat=0).batch == []


def test_groups_without_a_signal_count_for_a_batch_only_without_dynamic_sampling() -> None:
    sizes = [
        rules.batch_size(spec(dynamic_sampling=dynamic), 4, flat, waiting)
        for dynamic in (True, False)
        for flat, waiting in ((0, 4), (3, 5), (3, 1), (2, 1), (9, 0))
    ]
    assert sizes == [4, 4, 0, 0, 0, 4, 4, 1, 0, 0]


def body(**changes: object) -> bytes:
    row = trajectory(1.0).model_dump(mode="json")
    group = {"run_id": "rl-test", "group_id": "grp-1", "problem_id": "p", "prompt_ids": [1], "trajectories": [row]}
    return orjson.dumps(group | changes)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (body(colour="red"), "colour"),
        (body(prompt_ids="x"), "prompt_ids"),
        (body(trajectories=[]), "trajectories"),
        (orjson.dumps({"groups": [orjson.loads(body()), {"run_id": "rl-test"}]}), "groups.1.group_id"),
        (orjson.dumps({"run_id": "rl-test", "problem_id": "p", "prompt": "", "code": "", "reward": 2}), "reward"),
        (body(group_id="grp\x001"), "group_id"),
        (body().replace(b"-0.5", b"1e999"), "trajectories.0.logprobs"),
        (body().replace(b"-0.5", b"NaN"), "trajectories.0.logprobs"),
        (body().replace(b'"versions":[3', b'"versions":[-1'), "trajectories.0.versions"),
        (body().replace(b'"versions":[3', b'"versions":[99999999999999999999'), "trajectories.0.versions"),
        (body(trajectories=[trajectory(1.0).model_dump(mode="json")] * 2), "episode_id"),
    ],
)
def test_a_refused_push_names_the_field(raw: bytes, named: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_push(raw)
    assert named in caught.value.detail


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_what_is_not_a_json_object_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_push(raw)


def test_the_payload_kept_of_a_group_is_the_callers_own_bytes_without_broken_episodes() -> None:
    raw = body()
    assert parse_push(raw).groups[0].payload is raw
    rows = [trajectory(1.0).model_dump(mode="json"), trajectory(0.0, BROKEN).model_dump(mode="json")]
    payload = orjson.loads(parse_push(body(trajectories=rows)).groups[0].payload)
    assert payload["trajectories"] == rows[:1]


def test_a_reward_other_than_the_judged_one_is_refused() -> None:
    group = parse_push(body()).groups[0].push
    check(group, {key_of_program(""): 1.0})
    for judged in ({key_of_program(""): 0.25}, {key_of_program("another"): 1.0}):
        with pytest.raises(Invalid, match=r"trajectories\.0\.reward"):
            check(group, judged)


@given(wanted=NUMBERS, planned=NUMBERS, in_play=NUMBERS, cap=st.integers(1, 9), room=NUMBERS)
def test_evaluation_and_training_share_tickets_and_neither_starves(
    wanted: int, planned: int, in_play: int, cap: int, room: int
) -> None:
    share = rules.split(wanted, planned=planned, in_play=in_play, cap=cap, room=room)
    assert 0 <= share.evaluation <= planned and 0 <= share.train <= room
    assert share.evaluation + share.train == min(wanted, share.evaluation + share.train)
    assert share.evaluation + share.train >= min(wanted, max(planned, room)), (
        "no ticket is left over while one is wanted"
    )
    if share.evaluation and in_play + share.evaluation > cap:
        assert share.train == min(room, wanted - max(0, min(wanted, planned, cap - in_play))), (
            "only what training cannot use"
        )
    if wanted and planned and in_play < cap:
        assert share.evaluation > 0, "an evaluation within its share always advances"
    if room and wanted > cap:
        assert share.train > 0, "training goes on"


@given(holding=NUMBERS, newest=NUMBERS, lag=st.integers(0, 9), staleness=st.integers(0, 5), step=st.integers(1, 4))
def test_a_group_admitted_during_an_evaluation_is_trained_on_within_its_staleness(
    holding: int, newest: int, lag: int, staleness: int, step: int
) -> None:
    run = spec(groups_per_step=step, max_staleness=staleness)
    slots, evaluating = rules.num_slots(run), max(0, newest - lag)
    room = rules.train_room(run, slots, holding, newest, evaluating)
    if room:
        batches_before = (holding + room - 1) // step  # of the last group admitted; each is a version
        assert newest + batches_before + rules.STRAGGLERS - evaluating <= staleness
        assert rules.oldest_sampler(run, newest, holding + room - 1) <= evaluating
    synchronous = spec(groups_per_step=step, max_staleness=0, mode="synchronous")
    assert rules.train_room(synchronous, slots, holding, newest, evaluating) == 0


@given(newest=NUMBERS, ahead=NUMBERS, staleness=st.integers(0, 5), step=st.integers(1, 4))
def test_a_ticket_names_the_oldest_version_that_may_sample_it(
    newest: int, ahead: int, staleness: int, step: int
) -> None:
    run = spec(groups_per_step=step, max_staleness=staleness)
    oldest = rules.oldest_sampler(run, newest, ahead)
    assert oldest == 0 or newest + ahead // step - oldest == staleness
    if ahead < rules.num_slots(run):
        assert oldest <= newest, "no ticket waits for a version that does not exist"
    if ahead < step * staleness:
        assert oldest <= max(0, newest - 1), "while the buffer is not full, a swap under way is not waited for"
