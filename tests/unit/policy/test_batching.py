"""The torch engine's own arithmetic against the decoder's, and the edges of its sampling."""

from collections import deque
from typing import Any

import pytest
import torch

from skyscale.decoder.config import DecoderConfig, from_dict
from skyscale.decoder.model import Decoder
from skyscale.policy.batching.batch import MAX_PREFILL_TOKENS, Batch
from skyscale.policy.batching.forward import Forward
from skyscale.policy.batching.rows import Job
from skyscale.policy.batching.sampling import sample_tokens
from skyscale.policy.batching.slots import BELOW_ONE, Slots
from skyscale.policy.batching.weights import arrange
from skyscale.policy.engine import Completion, GenerateRequest

SIZES = {"vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "rms_norm_eps": 1e-3}
MODELS: dict[str, dict[str, Any]] = {
    "norms of heads, shared heads": {"model_type": "qwen3", "num_attention_heads": 6, "num_key_value_heads": 2,
                                     "head_dim": 8, "tie_word_embeddings": True},
    "one key head": {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16},
    "biases": {"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "a head of its own": {"model_type": "llama", "num_attention_heads": 3, "num_key_value_heads": 3},
    "stretched rotations": {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2,
                            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
}  # fmt: skip


def make(name: str, seed: int = 3) -> tuple[DecoderConfig, Decoder]:
    config = from_dict(SIZES | MODELS[name], eos=None)
    decoder, generator = Decoder(config).requires_grad_(False), torch.Generator().manual_seed(seed)
    for parameter in decoder.parameters():
        parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.25, generator=generator)
    return config, decoder


def job(seed: int, **changes: Any) -> Job:
    values: dict[str, Any] = {"prompt_ids": [3, 4, 5], "max_new_tokens": 12, "ignore_eos": True} | changes
    return Job(GenerateRequest(**values), seed, None, lambda job, error: None)


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_computes_what_the_decoder_computes(name: str) -> None:
    config, decoder = make(name)
    batch = Batch(config, arrange(config, decoder.state_dict()), decode=str, max_rows=8, max_tokens=4096)
    jobs = [job(1, n=2), job(2, prompt_ids=list(range(2, 21)), n=2, max_new_tokens=80), job(3, temperature=0.0)]
    waiting = deque(jobs)
    while waiting or batch.rows:
        batch.admit(waiting)
        batch.step(0)
    for each in jobs:
        prompt = each.request.prompt_ids
        for completion in each.completions:
            assert len(completion.token_ids) == each.request.max_new_tokens
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            logits = decoder.logits(decoder(ids, torch.arange(ids.shape[1])[None]))[0, len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None]).squeeze(1)
            assert (expected - torch.tensor(completion.logprobs)).abs().max().item() < 2e-5
            if each.request.temperature == 0.0:
                assert completion.token_ids == logits.argmax(-1).tolist()


def test_a_prompt_is_computed_beside_rows_that_go_on_and_rows_that_end() -> None:
    """Bits too: seeded rows give the same numbers alone and in any company."""
    config, decoder = make("norms of heads, shared heads")

    def sampled(steps_before: int, others: list[Job], ours: Job) -> list[Completion]:
        batch = Batch(config, arrange(config, decoder.state_dict()), decode=str, max_rows=64, max_tokens=8192)
        batch.admit(deque(others))
        for _ in range(steps_before):
            batch.step(0)
        batch.admit(deque([ours]))
        while batch.rows:
            batch.step(0)
        return ours.completions

    def ours() -> Job:
        request = GenerateRequest(prompt_ids=list(range(7, 29)), n=3, max_new_tokens=30, seed=5)
        return Job(request, 5, None, lambda job, error: None)

    alone = sampled(0, [], ours())
    for steps_before in (1, 4, 20):
        others = [job(i, n=1 + i, max_new_tokens=2 + 5 * i, prompt_ids=[2 + i] * (3 + 9 * i)) for i in range(5)]
        among = sampled(steps_before, others, ours())
        assert [(each.token_ids, each.logprobs) for each in among] == [(e.token_ids, e.logprobs) for e in alone]


def test_one_long_prompt_does_not_widen_many_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    config, decoder = make("one key head")
    computed: list[int] = []
    logits = Forward.logits

    def counted(self: Forward, weights: Any, ids: torch.Tensor, *others: Any) -> torch.Tensor:
        computed.append(len(ids))
        return logits(self, weights, ids, *others)

    monkeypatch.setattr(Forward, "logits", counted)
    batch = Batch(config, arrange(config, decoder.state_dict()), decode=str, max_rows=64, max_tokens=2**17)
    waiting = deque([job(0, prompt_ids=[3] * 1000), *(job(i, prompt_ids=[4] * 8) for i in range(1, 40))])
    while waiting or batch.rows:
        batch.admit(waiting)
        batch.step(0)
    assert max(computed) <= MAX_PREFILL_TOKENS + 64


@pytest.mark.parametrize("is_recomputed", [True, False])
def test_rows_that_are_recomputed_go_on_as_the_new_weights_alone_would(is_recomputed: bool) -> None:
    config, old = make("norms of heads, shared heads")
    _, new = make("norms of heads, shared heads", seed=4)
    batch = Batch(config, arrange(config, old.state_dict()), decode=str, max_rows=300, max_tokens=2**17)
    # Together more tokens than are computed at once; some rows have sampled more than others.
    early = [job(i, prompt_ids=[2 + i] * (5 + 90 * i), n=5, max_new_tokens=30) for i in range(4)]
    late = job(9, n=2, max_new_tokens=30)
    batch.admit(deque(early))
    for _ in range(7):
        batch.step(0)
    batch.admit(deque([late]))
    batch.step(0)
    batch.weights = arrange(config, new.state_dict())
    if is_recomputed:
        batch.recompute()
    while batch.rows:
        batch.step(1)
    off = 0.0
    for each in [*early, late]:
        prompt = each.request.prompt_ids
        for completion in each.completions:
            since = completion.versions.index(1)
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            logits = new.logits(new(ids, torch.arange(ids.shape[1])[None]))[0, len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1).gather(1, ids[0, len(prompt) :, None]).squeeze(1)
            off = max(off, (expected - torch.tensor(completion.logprobs))[since:].abs().max().item())
    assert off < 2e-5 if is_recomputed else off > 1e-2


def test_versions_follow_the_weights_that_sampled() -> None:
    config, decoder = make("one key head")
    batch = Batch(config, arrange(config, decoder.state_dict()), decode=str, max_rows=8, max_tokens=4096)
    early, late = job(1, max_new_tokens=6), job(2, max_new_tokens=3)
    batch.admit(deque([early]))
    for version in (4, 4, 7):
        batch.step(version)
    batch.admit(deque([late]))
    for version in (7, 9, 9):
        batch.step(version)
    assert early.completions[0].versions == [4, 4, 7, 7, 9, 9]
    assert late.completions[0].versions == [7, 9, 9]


def test_the_largest_uniform_number_chooses_a_token_that_can_be() -> None:
    logits = torch.full((2, 600), -200.0)
    logits[:, :300] = torch.linspace(-3, 3, 300)
    tokens, logprobs = sample_tokens(logits, torch.tensor([BELOW_ONE, 0.0], dtype=torch.float64))
    assert tokens.tolist() == [299, 0]
    assert logprobs.isfinite().all()


def test_a_slots_numbers_move_with_its_row() -> None:
    moved, kept = Slots(4, frozenset(), 50), Slots(4, frozenset(), 50)
    request = job(0, max_new_tokens=200).request
    moved.open(0, request, 1, range(1))
    moved.open(1, request, -2, range(5, 6))
    kept.open(0, request, -2, range(5, 6))
    drawn: list[float] = []
    for token in range(40):
        drawn.append(moved.uniforms(2)[1])
        moved.record(*_tokens([token, token + 1]))
    assert moved.lengths([1]) == [42]
    moved.keep([1], [0], 1)
    for token in range(40, 150):
        drawn.append(moved.uniforms(1)[0])
        moved.record(*_tokens([token % 50]))
    expected: list[float] = []
    for _ in range(150):
        expected.append(kept.uniforms(1)[0])
        kept.record(*_tokens([0]))
    assert drawn == expected
    assert moved.sampled(0)[0] == [*range(1, 41), *(token % 50 for token in range(40, 150))]
    assert moved.positions(3).tolist() == [152, 0, 0]


def _tokens(tokens: list[int]) -> tuple[Any, Any]:
    return torch.tensor(tokens).numpy(), torch.zeros(len(tokens)).numpy()
