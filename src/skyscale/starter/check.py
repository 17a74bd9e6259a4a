"""How right the starter model is, family by family, without running any of its code.

A sample counts as right when it is the reference solution to the letter. The corpus has one right answer per problem,
so this is the pass rate up to a few programs that are right in another way.
"""

from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from skyscale.starter.tokenizer import chat_prompt
from skyscale.wire.problems import Problem

MAX_NEW_TOKENS = 48


def right_share_by_family(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, problems: list[Problem], samples: int, seed: int
) -> dict[str, float]:
    """Family to share of right samples at temperature 1 over all its problems."""
    torch.manual_seed(seed)
    right: dict[str, list[bool]] = {}
    for start in range(0, len(problems), 64):
        chunk = problems[start : start + 64]
        answers = sample_answers(model, tokenizer, [p.prompt for p in chunk for _ in range(samples)])
        for i, answer in enumerate(answers):
            problem = chunk[i // samples]
            right.setdefault(problem.family, []).append(answer == problem.solution)
    return {family: sum(marks) / len(marks) for family, marks in right.items()}


def sample_answers(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str], greedy: bool = False
) -> list[str]:
    """One answer for each prompt, at temperature 1 or greedily, at most `MAX_NEW_TOKENS` long."""
    inputs = tokenizer(
        [chat_prompt(p) for p in prompts], padding=True, return_tensors="pt", return_token_type_ids=False
    )
    with torch.inference_mode():
        output = cast(Any, model).generate(
            **inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=not greedy, temperature=None if greedy else 1.0, top_k=0
        )
    new = output[:, inputs["input_ids"].shape[1] :]
    return tokenizer.batch_decode(new, skip_special_tokens=True)
