"""One optimizer step of the trainer against TRL's GRPO update on the same batch, with random weights of real shapes.

    python perf/gpu_trainer.py [--groups 4] [--steps 3] [--only 0.6b]

Prints JSON. On a GPU: Qwen3-0.6B and Qwen3-4B shapes, bf16 compute with fp32 weights for the optimizer, layers computed
twice, on both sides. Without one: a toy shape in fp32, `"owed": true`, since its ratios say nothing about GPUs.
Each side is a process of its own. A step is a whole batch: packing or padding, forward, backward, clipping, AdamW.

- `tokens_per_s`: completion tokens trained on per second, median of the steps after one that is not counted.
- `mfu`: 6 * parameters * input tokens that the side really computes, padding included, over time and the GPU's peak.
- `peak_gib`: `torch.cuda.max_memory_allocated`; on a CPU the growth of the process's peak memory over its start.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from math import log
from pathlib import Path
from typing import Any

import torch

from skyscale.decoder.config import from_dict
from skyscale.decoder.model import Decoder
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import Algorithm

QWEN3 = {
    "model_type": "qwen3", "head_dim": 128, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768,
    "tie_word_embeddings": True, "vocab_size": 151936, "num_key_value_heads": 8,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "0.6b": QWEN3
    | {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 3072},
    "4b": QWEN3 | {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 9728},
    "toy": QWEN3
    | {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
    | {"intermediate_size": 384, "vocab_size": 4096},
}
LENGTHS = {"0.6b": (512, 1024), "4b": (512, 1024), "toy": (64, 48)}
"""Prompt tokens, and most completion tokens; completions are half of that or longer."""
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}
"""Dense bf16 by the name that CUDA gives; from the makers' data sheets."""
GROUP_SIZE, SEED = 8, 5


def main() -> None:
    """Run both sides of each shape, or be one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", choices=list(SHAPES))
    parser.add_argument("--ours", action="store_true", help="be our side of --only")
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.only, options.groups, options.steps)))
        return
    is_gpu = torch.cuda.is_available()
    names = [options.only] if options.only else ["0.6b", "4b"] if is_gpu else ["toy"]
    device = torch.cuda.get_device_name() if is_gpu else "cpu"
    result = {"device": device, "owed": not is_gpu, "torch": torch.__version__, "batch_groups": options.groups}
    print(json.dumps(result | {"shapes": {name: compare(name, options) for name in names}}))


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides of a shape, and their ratios."""
    common = ["--only", name, "--groups", str(options.groups), "--steps", str(options.steps)]
    sides: dict[str, Any] = {}
    theirs = str(Path(__file__).with_name("gpu_trainer_trl.py"))
    for side, script in (("ours", [__file__, "--ours"]), ("trl", [theirs])):
        command = [sys.executable, *script, *common]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            sides[side] = {"error": done.stderr[-1500:]}
            continue
        sides[side] = json.loads(done.stdout.strip().splitlines()[-1])
    if all("tokens_per_s" in side for side in sides.values()):
        sides["tokens_per_s_ratio"] = sides["ours"]["tokens_per_s"] / sides["trl"]["tokens_per_s"]
        sides["peak_ratio"] = sides["ours"]["peak_gib"] / sides["trl"]["peak_gib"]
    return sides


def batch(name: str, num_groups: int) -> list[LeasedGroup]:
    """Groups of random tokens with unequal lengths and rewards; the same for both sides."""
    rng, vocab = random.Random(SEED), SHAPES[name]["vocab_size"]
    num_prompt, longest = LENGTHS[name]

    def ids(count: int) -> list[int]:
        return [rng.randrange(vocab) for _ in range(count)]

    groups: list[LeasedGroup] = []
    for number in range(num_groups):
        episodes: list[Trajectory] = []
        for index in range(GROUP_SIZE):
            length = rng.randint(longest // 2, longest)
            episodes.append(
                Trajectory(
                    episode_id=f"ep-{number}-{index}", code="", completion_ids=ids(length),
                    logprobs=[-log(vocab)] * length, versions=[0] * length, reward=float(index % 2),
                    outcome=Outcome.SCORED,
                )
            )  # fmt: skip
        prompt = ids(num_prompt)
        groups.append(LeasedGroup(group_id=f"g-{number}", problem_id="p", prompt_ids=prompt, trajectories=episodes))
    return groups


def measured(times: list[float], completion: int, computed: int, parameters: int, rss_before: int) -> dict[str, Any]:
    """A side's numbers; `computed` input tokens per step."""
    seconds = statistics.median(times[1:])
    is_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if is_gpu else ""
    peak = next((flops for key, flops in PEAK_FLOPS.items() if key in name), None)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss_before) / 1024**2
    return {
        "tokens_per_s": completion / seconds,
        "step_s": seconds,
        "completion_tokens": completion,
        "input_tokens": computed,
        "parameters": parameters,
        "mfu": None if peak is None else 6 * parameters * computed / seconds / peak,
        "peak_gib": torch.cuda.max_memory_allocated() / 1024**3 if is_gpu else grown,
    }


def ours(name: str, num_groups: int, steps: int) -> dict[str, Any]:
    """Our side."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    groups, rss_before = batch(name, num_groups), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with device:
        model = Decoder(from_dict(dict(SHAPES[name]), None))
    model.initialize(0.02)
    model.recomputes_blocks = device.type == "cuda"
    algorithm = Algorithm(learning_rate=1e-6, group_size=GROUP_SIZE, groups_per_step=num_groups, minibatches=1)
    dtype = torch.bfloat16 if device.type == "cuda" else None
    learner = Learner(model, algorithm, 1.0, LENGTHS[name][1], compute_dtype=dtype)
    began = time.perf_counter()
    report = learner.train(groups, 0)  # its report waits for the device
    times = [time.perf_counter() - began]
    for version in range(1, steps + 1):
        began = time.perf_counter()
        learner.train(groups, version)
        times.append(time.perf_counter() - began)
    one_by_one = sum(len(g.prompt_ids) * len(g.trajectories) for g in groups)
    one_by_one += sum(len(t.completion_ids) for g in groups for t in g.trajectories)
    computed = round(report.metrics["packed_share"] * one_by_one)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return measured(times, report.num_tokens, computed, parameters, rss_before)


if __name__ == "__main__":
    main()
