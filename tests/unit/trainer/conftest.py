"""A tiny Qwen3 in a Hugging Face folder, and groups of token ids to train it on."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome

VOCAB = 50
MakeGroup = Callable[..., LeasedGroup]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, grouped queries, tied embeddings, fp32, seeded."""
    import torch

    torch.manual_seed(7)
    config = Qwen3Config(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        intermediate_size=48, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def make_group() -> MakeGroup:
    """`make_group(seed, prompt_tokens, completions, rewards=, version=)`; completions may be lists of ids or None."""

    def make(
        seed: int, num_prompt: int, completions: list[list[int]] | None = None, rewards: list[float] | None = None
    ) -> LeasedGroup:
        rng = random.Random(seed)
        if completions is None:
            stem = [rng.randrange(VOCAB) for _ in range(6)]
            completions = [
                stem[: rng.randint(0, 6)] + [rng.randrange(VOCAB) for _ in range(rng.randint(1, 7))] for _ in range(6)
            ]
        rewards = rewards or [rng.random() for _ in completions]
        trajectories = [
            Trajectory(
                episode_id=f"ep-{seed}-{i}",
                code="",
                completion_ids=ids,
                logprobs=[-3.9 + 0.2 * rng.random() for _ in ids],
                versions=[0] * len(ids),
                reward=reward,
                outcome=Outcome.SCORED,
            )
            for i, (ids, reward) in enumerate(zip(completions, rewards, strict=True))
        ]
        prompt = [rng.randrange(VOCAB) for _ in range(num_prompt)]
        return LeasedGroup(group_id=f"g-{seed:04d}", problem_id="p", prompt_ids=prompt, trajectories=trajectories)

    return make
