"""Tokens per second of the torch engine against transformers' `generate` and vLLM, side by side, one thread each.

All sample at temperature 1 from the same prompt, without an end-of-sequence, the same number of tokens. Transformers
is given its best case, one batch of equal rows in its own process with no HTTP. Ours and vLLM are asked over HTTP, in
calls of 8 samples with ids and log-probabilities, as a rollout worker asks; vLLM is its own OpenAI server with its
default engine settings, and takes part when `--vllm-python` names an interpreter that has it (`make vllm`).

The last line is JSON: how many times as many tokens per second we make, by the number of completions in flight.
"""

import argparse
import asyncio
import json
import os
import time
from contextlib import nullcontext
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import torch
from policy_process import policy_server
from transformers import AutoModelForCausalLM
from vllm_process import NAME, vllm_server

from skyscale.decoder.models import resolve_model

NEW_TOKENS = 64
PROMPT_TOKENS = 64
GROUP = 8
CONCURRENCIES = (1, 16, 64)


async def served(url: str, model: str, concurrency: int, seconds: float) -> float:
    """Tokens per second of a server with so many completions in flight."""
    group = min(GROUP, concurrency)
    body: dict[str, Any] = {
        "model": model, "prompt": prompt(), "n": group, "max_tokens": NEW_TOKENS, "ignore_eos": True,
        "temperature": 1.0, "logprobs": 0, "return_token_ids": True,
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
    parser.add_argument("--vllm-python", help="interpreter of an environment with vLLM; without it vLLM is left out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = resolve_model(options.model)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vs_transformers: dict[str, float] = {}
    vs_vllm: dict[str, float] = {}
    peer = vllm_server(options.vllm_python, folder) if options.vllm_python else nullcontext()
    with policy_server(options.model) as url, peer as vllm_url:
        for concurrency in CONCURRENCIES:
            # Side by side in time: each of them in turn at one load, so that the machine's other work hits them alike.
            ours = asyncio.run(served(url, options.model, concurrency, options.seconds))
            theirs = generated(reference, concurrency, options.seconds)
            shown = f"{concurrency:4d} in flight: {ours:8.0f} tokens/s, transformers {theirs:8.0f}"
            vs_transformers[str(concurrency)] = round(ours / theirs, 2)
            if vllm_url is not None:
                vllm = asyncio.run(served(vllm_url, NAME, concurrency, options.seconds))
                vs_vllm[str(concurrency)] = round(ours / vllm, 2)
                shown += f", vLLM {vllm:8.0f}"
            print(shown, flush=True)
    print(json.dumps({"vs_transformers": vs_transformers, "vs_vllm_cpu": vs_vllm or None}))


if __name__ == "__main__":
    main()
