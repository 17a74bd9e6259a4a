"""Tokens per second of the policy server over HTTP against transformers' `generate`, side by side on one core each.

Both sample at temperature 1 from the same prompt, without an end-of-sequence, the same number of tokens; transformers
is given its best case, one batch of equal rows in its own process with no HTTP. The server gets calls of 8 samples, as
a rollout worker sends them. The last line is JSON: tokens/s of both and their ratio at each concurrency.
"""

import argparse
import asyncio
import json
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import torch
from policy_process import policy_server
from transformers import AutoModelForCausalLM

from skyscale.decoder.models import resolve_model

NEW_TOKENS = 64
PROMPT_TOKENS = 64
GROUP = 8


async def served(url: str, model: str, concurrency: int, seconds: float) -> float:
    """Tokens per second of the server with so many completions in flight."""
    group = min(GROUP, concurrency)
    body: dict[str, Any] = {
        "model": model, "prompt": prompt(), "n": group, "max_tokens": NEW_TOKENS, "ignore_eos": True,
        "return_token_ids": True,
    }  # fmt: skip
    tokens = 0
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:

        async def caller(until: float) -> None:
            nonlocal tokens
            while time.perf_counter() < until:
                reply = await client.post("/v1/completions", json=body)
                reply.raise_for_status()
                tokens += sum(len(choice["token_ids"]) for choice in reply.json()["choices"])

        await asyncio.gather(*(caller(0.1 + time.perf_counter()) for _ in range(concurrency // group)))
        tokens, started = 0, time.perf_counter()
        await asyncio.gather(*(caller(started + seconds) for _ in range(concurrency // group)))
        return tokens / (time.perf_counter() - started)


def generated(reference: Any, concurrency: int, seconds: float) -> float:
    """Tokens per second of transformers with one batch of so many rows."""
    ids = torch.tensor([prompt()] * concurrency)
    call = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "do_sample": True, "top_k": 0,
            "max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "pad_token_id": 0}  # fmt: skip
    reference.generate(**call)
    tokens, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        tokens += concurrency * (reference.generate(**call).shape[1] - ids.shape[1])
    return tokens / (time.perf_counter() - started)


def prompt() -> list[int]:
    """A prompt of ordinary tokens; which ones does not change the arithmetic."""
    return [100 + i for i in range(PROMPT_TOKENS)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="skyscale/starter")
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    reference: Any = AutoModelForCausalLM.from_pretrained(resolve_model(options.model), dtype=torch.float32)
    result: dict[str, float] = {}
    with policy_server(options.model) as url:
        for concurrency in (1, 16, 64, 128):
            ours = asyncio.run(served(url, options.model, concurrency, options.seconds))
            theirs = generated(reference, concurrency, options.seconds)
            print(f"{concurrency:4d} in flight: {ours:8.0f} tokens/s, transformers {theirs:8.0f}, x{ours / theirs:.1f}")
            result[f"tokens_per_s_{concurrency}"] = round(ours)
            result[f"transformers_tokens_per_s_{concurrency}"] = round(theirs)
            result[f"ratio_{concurrency}"] = round(ours / theirs, 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
