"""Prefix trees: what is packed, who sees whom, and that the numbers are those of plain sequences."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen3ForCausalLM

from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer.episodes import lesson
from skyscale.trainer.packing import Row, micro_batches, pack
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import Algorithm

CPU = torch.device("cpu")
HELD = Algorithm(kl_coefficient=1.0)
"""With a KL term every group is computed, those of equal reward too."""


def _group(prompt: list[int], completions: list[list[int]]) -> LeasedGroup:
    trajectories = [
        Trajectory(
            episode_id=f"ep-{i:04d}", code="", completion_ids=ids, logprobs=[-float(i)] * len(ids),
            versions=[i] * len(ids), reward=(i % 3) / 2, outcome=Outcome.SCORED,
        )
        for i, ids in enumerate(completions)
    ]  # fmt: skip
    return LeasedGroup(group_id="g-0001", problem_id="p", prompt_ids=prompt, trajectories=trajectories)


def _rows(group: LeasedGroup, max_row_tokens: int) -> list[Row]:
    return pack(lesson(group, HELD, None), max_row_tokens)


def test_the_drawing_in_the_module_is_true():
    [row] = _rows(_group([1, 2], [[10, 11, 12], [10, 13, 14]]), 1000)
    assert row.ids == [1, 2, 10, 11, 13]
    assert row.positions == [0, 1, 2, 3, 3]
    assert row.last == [4, 4, 4, 3, 4]
    assert row.source == [1, 2, 3, 2, 4]
    assert row.target == [10, 11, 12, 13, 14]
    assert row.node == [0, 1, 2, 0, 3, 4]


def test_repeated_and_nested_completions_share_their_nodes():
    [row] = _rows(_group([1], [[5, 6], [5], [5, 6], [5]]), 1000)
    assert row.target == [5, 6]
    assert row.ids == [1, 5]
    assert sorted(row.node) == [0, 0, 0, 0, 1, 1]


def test_failed_episodes_and_empty_completions_are_left_out():
    group = _group([1], [[5, 6], [7], [], [8]])
    failed = group.trajectories[3].model_copy(update={"outcome": Outcome.INFRASTRUCTURE_FAILURE})
    [row] = _rows(group.model_copy(update={"trajectories": [*group.trajectories[:3], failed]}), 1000)
    # Rewards 0, 0.5, 1 of the three that count: the baseline is 0.5.
    assert row.target == [5, 6, 7]
    assert row.advantages == [-0.5, -0.5, 0.0]
    assert _rows(group.model_copy(update={"prompt_ids": []}), 1000) == []


def test_a_tree_that_is_too_large_is_cut_with_its_prompt_repeated():
    rows = _rows(_group([1, 2], [[n] * 6 for n in range(3, 9)]), 14)
    assert len(rows) == 3
    assert all(row.ids[:2] == [1, 2] and len(row.ids) <= 14 for row in rows)
    assert sum(len(row.node) for row in rows) == 36


def test_micro_batches_stay_below_the_budget_and_keep_every_token():
    groups = [_group([1] * n, [[2, 3, 4], [2, 5]]) for n in (3, 30, 8, 50, 9)]
    rows = [row for group in groups for row in _rows(group, 1000)]
    padded = micro_batches(rows, max_tokens=40, device=CPU, are_joined=False)
    joined = micro_batches(rows, max_tokens=40, device=CPU, are_joined=True)
    for batches in (padded, joined):
        assert sum(batch.num_tokens for batch in batches) == 25
    # Rows are the prompt and 2, 3: of 52, 32, 11, 10 and 5 tokens, padded to 52, 32, 3 * 11 or joined.
    assert [tuple(batch.ids_BT.shape) for batch in padded] == [(1, 52), (1, 32), (3, 11)]
    assert [batch.joined for batch in joined] == [(52,), (32,), (11, 10, 5)]
    assert [tuple(batch.ids_BT.shape) for batch in joined] == [(1, 52), (1, 32), (1, 26)]


completions = st.lists(st.lists(st.integers(0, 2), min_size=0, max_size=5), min_size=2, max_size=7)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory):
    from transformers import Qwen3Config

    torch.manual_seed(3)
    config = Qwen3Config(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        intermediate_size=24, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.3,
    )  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("model")
    reference = Qwen3ForCausalLM(config)
    reference.save_pretrained(folder)
    return Learner(load_decoder(folder), Algorithm(learning_rate=1e-3), 1.0), reference.eval()


@settings(max_examples=25)
@given(
    many=st.lists(completions, min_size=1, max_size=3),
    width=st.integers(1, 200),
    budget=st.integers(4, 60),
    are_joined=st.booleans(),
)
def test_packed_logprobs_equal_plain_sequences_in_transformers(models, many, width: int, budget: int, are_joined: bool):
    learner, reference = models
    groups = [_group([7, 8, 9][: i + 1], lists) for i, lists in enumerate(many)]
    found: dict[tuple[int, int, int], float] = {}
    for i, group in enumerate(groups):
        for batch in micro_batches(_rows(group, budget), max_tokens=width, device=CPU, are_joined=are_joined):
            with torch.no_grad():
                found_logprobs = learner.logprobs(batch).tolist()
            depth_of: dict[int, int] = {}
            for logprob, episode in zip(found_logprobs, batch.version_N.tolist(), strict=True):
                depth_of[episode] = depth_of.get(episode, -1) + 1
                found[i, episode, depth_of[episode]] = logprob
    assert len(found) == sum(len(ids) for lists in many for ids in lists)
    for i, group in enumerate(groups):
        for episode, t in enumerate(group.trajectories):
            if not t.completion_ids:
                continue
            ids = torch.tensor([group.prompt_ids + t.completion_ids])
            with torch.no_grad():
                logits = reference(input_ids=ids).logits[0, len(group.prompt_ids) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, torch.tensor(t.completion_ids)[:, None])[:, 0].tolist()
            assert [found[i, episode, d] for d in range(len(expected))] == pytest.approx(expected, abs=1e-4)
