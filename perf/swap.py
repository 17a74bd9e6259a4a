"""What a weight swap costs under load: from "optimizer step done" to the first token sampled by the new weights.

The clock starts with new weights in this process's memory. They are written, published with their manifest (durably)
and announced to a real policy server that keeps a batch of 64 completions decoding. `swap_ms` ends when a streaming
client receives the first token of the new version. `stall_decode_steps` is how long decoding stood still to activate,
in decode steps of that load; `gap_decode_steps` is the longest pause between two tokens that the streaming client saw
from the announcement on, in usual pauses, so it includes what reading the weights on the same cores costs.
The last line is JSON, medians over the swaps.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx
import torch
from policy_process import TOKEN, policy_server

from skyscale.artifacts.store import ArtifactStore, open_store
from skyscale.artifacts.versions import publish_version
from skyscale.decoder.checkpoint import load_decoder, save_decoder
from skyscale.decoder.model import Decoder
from skyscale.decoder.models import resolve_model

PROMPT = [100 + i for i in range(48)]
LOAD_CALLS, GROUP = 8, 8


@dataclass
class Heard:
    """What the streaming client received."""

    times: list[float] = field(default_factory=list[float])
    versions: list[int] = field(default_factory=list[int])


async def listen(client: httpx.AsyncClient, model: str, heard: Heard) -> None:
    """Stream without end, noting each token's time and version."""
    body: dict[str, Any] = {"model": model, "prompt": PROMPT, "max_tokens": 200, "ignore_eos": True, "stream": True,
            "return_token_ids": True}  # fmt: skip
    while True:
        async with client.stream("POST", "/v1/completions", json=body) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    heard.times.append(time.perf_counter())
                    heard.versions.append(json.loads(line[6:])["policy_version"])


async def load(client: httpx.AsyncClient, model: str) -> None:
    """Keep one group decoding."""
    body: dict[str, Any] = {"model": model, "prompt": PROMPT, "n": GROUP, "max_tokens": 200, "ignore_eos": True}
    while True:
        (await client.post("/v1/completions", json=body)).raise_for_status()


async def step_ms(client: httpx.AsyncClient, seconds: float) -> float:
    """Milliseconds of one decode step under the present load."""

    async def counters() -> tuple[float, float]:
        lines = (await client.get("/metrics")).text.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return float(values["skyscale_policy_busy_seconds_total"]), float(values["skyscale_policy_decode_steps_total"])

    before = await counters()
    await asyncio.sleep(seconds)
    after = await counters()
    return (after[0] - before[0]) / (after[1] - before[1]) * 1e3


def publish(decoder: Decoder, base: Path, store: ArtifactStore, version: int) -> str:
    """What the trainer does after its optimizer step; the manifest's URI."""
    with tempfile.TemporaryDirectory() as draft:
        save_decoder(decoder, Path(draft), base)
        return publish_version(
            store, run_id="rl-perf", version=version, parent=version - 1, folder=Path(draft)
        ).manifest_uri


async def swap(client: httpx.AsyncClient, decoder: Decoder, base: Path, store: ArtifactStore, version: int,
               heard: Heard) -> dict[str, float]:  # fmt: skip
    """One swap, measured."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 1e-4)
    started = time.perf_counter()
    manifest_uri = await asyncio.to_thread(publish, decoder, base, store, version)
    published = time.perf_counter()
    body = {"version": version, "manifest_uri": manifest_uri}
    reply = await client.post("/reload", json=body, headers={"authorization": f"Bearer {TOKEN}"})
    reply.raise_for_status()
    async with asyncio.timeout(10):
        while version not in heard.versions[-200:]:  # noqa: ASYNC110 - looked for among what arrives
            await asyncio.sleep(0.001)
    first = heard.times[heard.versions.index(version)]
    after = heard.times[heard.versions.index(version) : heard.versions.index(version) + 2]
    during = [when for when in heard.times if published - 0.05 <= when <= after[-1]]
    return {
        "swap_ms": (first - started) * 1e3,
        "publish_ms": (published - started) * 1e3,
        "fetch_ms": reply.json()["fetch_ms"],
        "stall_ms": reply.json()["stall_ms"],
        "gap_ms": max((b - a) * 1e3 for a, b in pairwise(during)),
    }


async def measure(url: str, model: str, swaps: int) -> dict[str, float]:
    """Medians over so many swaps under load."""
    base, heard = resolve_model(model), Heard()
    decoder = load_decoder(base)
    limits = httpx.Limits(max_connections=None)
    with tempfile.TemporaryDirectory() as root:
        store = open_store(Path(root).as_uri())
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
            tasks = [asyncio.create_task(listen(client, model, heard))]
            tasks += [asyncio.create_task(load(client, model)) for _ in range(LOAD_CALLS)]
            await asyncio.sleep(1.0)
            step = await step_ms(client, 2.0)
            usual_gap_ms = statistics.median(b - a for a, b in pairwise(heard.times)) * 1e3
            seen: list[dict[str, float]] = []
            for version in range(1, swaps + 1):
                seen.append(await swap(client, decoder, base, store, version, heard))
                await asyncio.sleep(0.3)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    result = {name: statistics.median(one[name] for one in seen) for name in seen[0]}
    result |= {"decode_step_ms": step, "stall_decode_steps": result["stall_ms"] / step}
    result |= {"gap_decode_steps": result["gap_ms"] / usual_gap_ms, "swaps": swaps}
    return {name: round(value, 3) for name, value in result.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="skyscale/starter")
    parser.add_argument("--swaps", type=int, default=20)
    options = parser.parse_args()
    with policy_server(options.model) as url:
        print(json.dumps(asyncio.run(measure(url, options.model, options.swaps))))


if __name__ == "__main__":
    main()
