"""Supervised warm-up of the starter model.

Invariants: one thread, one seed, fixed order: on one machine and one torch build the same seed gives the same weights;
elsewhere floating-point order differs, and 750 steps amplify that. Only the answer and its <|im_end|> are learned.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from skyscale.starter.corpus import RIGHT, Corpus, Example
from skyscale.starter.tokenizer import IM_END, PAD, chat_prompt, token_id

_BATCHES_PER_SORT = 8
"""Examples are drawn for this many batches and sorted by length, which halves the padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 7
    clean_steps: int = 450
    """Steps at the beginning in which every answer is right: skills first."""
    steps: int = 750
    batch_size: int = 64
    learning_rate: float = 4e-3
    warmup_steps: int = 30
    weight_decay: float = 0.01


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    """An untrained model of 0.87 M parameters (with 1,024 tokens)."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_id(tokenizer, IM_END),
        pad_token_id=token_id(tokenizer, PAD),
        use_cache=True,
        dtype="float32",
    )
    return Qwen3ForCausalLM(config)


def warm_up(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    recipe: Recipe,
    report: Callable[[int, float], None],
) -> None:
    """Train `model` in place; `report(step, loss)` is called after every step."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    model.train()
    clean, mixed = (_batches(corpus, tokenizer, recipe.batch_size, right) for right in (1.0, RIGHT))
    for step in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        ids, labels = next(clean if step <= recipe.clean_steps else mixed)
        loss = _loss(model, ids, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        report(step, float(loss.detach()))
    model.eval()


def _schedule(step: int, recipe: Recipe) -> float:
    if step <= recipe.warmup_steps:
        return step / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _loss(model: Qwen3ForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the answers. ids, labels: (batch, length); label -100 is not learned."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    chosen = wanted != -100
    return F.cross_entropy(model.lm_head(hidden[chosen]), wanted[chosen])


def _batches(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, size: int, right: float
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Right-padded batches of similar lengths; causal attention never looks at the padding."""
    while True:
        rows = sorted((_encode(corpus.draw(right), tokenizer) for _ in range(size * _BATCHES_PER_SORT)), key=_length)
        order = torch.randperm(_BATCHES_PER_SORT).tolist()
        for index in order:
            chunk = rows[index * size : (index + 1) * size]
            width = max(map(_length, chunk))
            ids = torch.full((size, width), token_id(tokenizer, PAD))
            labels = torch.full((size, width), -100)
            for i, (prompt, answer) in enumerate(chunk):
                end = len(prompt) + len(answer)
                ids[i, :end] = torch.tensor(prompt + answer)
                labels[i, len(prompt) : end] = torch.tensor(answer)
            yield ids, labels


def _encode(example: Example, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    return tokenizer.encode(chat_prompt(example.prompt)), tokenizer.encode(example.answer + IM_END)


def _length(row: tuple[list[int], list[int]]) -> int:
    return len(row[0]) + len(row[1])
