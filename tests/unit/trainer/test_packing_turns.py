"""Episodes of several turns: what the environment wrote is context, and enters no gradient."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pytest import raises

from skyscale.trainer.episodes import lesson
from skyscale.trainer.packing import Row, micro_batches, pack
from skyscale.wire.algorithms import Algorithm
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.turns import TurnRecord


def _episode(index: int, spans: list[tuple[list[int], bool]], reward: float) -> Trajectory:
    """From runs of tokens, each sampled or not."""
    ids: list[int] = []
    turns: list[TurnRecord] = []
    for tokens, is_sampled in spans:
        if is_sampled:
            turns.append(TurnRecord(start=len(ids), end=len(ids) + len(tokens), reward=reward))
        ids += tokens
    return Trajectory(
        episode_id=f"ep-{index:04d}", code="", completion_ids=ids, logprobs=[-float(i) for i in range(len(ids))],
        versions=[index] * len(ids), reward=reward, outcome=Outcome.SCORED, turns=turns,
    )  # fmt: skip


def _group(*trajectories: Trajectory) -> LeasedGroup:
    return LeasedGroup(group_id="g-0001", problem_id="p", prompt_ids=[1, 2], trajectories=list(trajectories))


def _rows(group: LeasedGroup, max_row_tokens: int) -> list[Row]:
    return pack(lesson(group, Algorithm(kl_coefficient=1.0), None), max_row_tokens)


def test_what_the_environment_wrote_is_an_input_and_no_target():
    two_turns = _episode(0, [([10, 11], True), ([20, 21], False), ([12, 13], True)], 1.0)
    one_turn = _episode(1, [([10, 30], True)], 0.0)
    [row] = _rows(_group(two_turns, one_turn), 1000)
    assert row.ids == [1, 2, 10, 11, 20, 21, 12]
    assert row.positions == [0, 1, 2, 3, 4, 5, 6]
    assert row.target == [10, 11, 12, 13, 30]
    assert row.source == [1, 2, 5, 6, 2], "12 is predicted from 21, the environment's last token"
    assert row.node == [0, 1, 2, 3, 0, 4]
    assert row.engine_logprobs == [0.0, -1.0, -4.0, -5.0, 0.0, -1.0]
    assert row.advantages == [0.5] * 4 + [-0.5] * 2
    assert row.versions == [0, 0, 0, 0, 1, 1]


def test_a_token_counts_for_the_episode_that_sampled_it_only():
    sampled = _episode(0, [([5, 6, 7], True)], 1.0)
    told = _episode(1, [([5], True), ([6], False), ([7], True)], 0.0)
    [row] = _rows(_group(sampled, told), 1000)
    assert row.target == [5, 6, 7]
    assert row.node == [0, 1, 2, 0, 2]


spans = st.lists(st.tuples(st.lists(st.integers(3, 5), min_size=1, max_size=3), st.booleans()), max_size=3)


@settings(max_examples=60)
@given(st.lists(spans, min_size=2, max_size=5))
def test_every_sampled_token_is_packed_once_with_its_own_history(groups: list[list[tuple[list[int], bool]]]):
    episodes = [_episode(i, [([3], True), *s, ([4], True)], i % 2) for i, s in enumerate(groups)]
    rows = _rows(_group(*episodes), 1000)
    [batch] = micro_batches(rows, max_tokens=10_000, device=torch.device("cpu"), are_joined=True)
    masks = [episode.loss_mask or [] for episode in episodes]
    assert batch.num_tokens == sum(map(sum, masks))
    [row] = rows
    packed = sorted((version, _history(row, node)) for version, node in zip(row.versions, row.node, strict=True))
    wanted = sorted(
        (i, tuple([1, 2, *episode.completion_ids][: 3 + j]))
        for i, (episode, mask) in enumerate(zip(episodes, masks, strict=True))
        for j, is_sampled in enumerate(mask)
        if is_sampled
    )
    assert packed == wanted


def _history(row: object, node: int) -> tuple[int, ...]:
    """The tokens that a node's prediction sees, and the predicted one."""
    source = row.source[node]  # type: ignore[attr-defined]
    seen = [row.ids[j] for j in range(source + 1) if row.last[j] >= source]  # type: ignore[attr-defined]
    return (*seen, row.target[node])  # type: ignore[attr-defined]


def test_turns_that_overlap_or_leave_the_end_open_are_refused():
    good = _episode(0, [([1], True), ([2], False), ([3], True)], 0.0)
    body = good.model_dump()
    for start, end in ((0, 1), (2, 2), (2, 4), (2, 1)):
        turns = [body["turns"][0], body["turns"][1] | {"start": start, "end": end}]
        with raises(ValidationError, match="turns"):
            Trajectory.model_validate(body | {"turns": turns})
    assert good.loss_mask == [True, False, True]
