"""TRL's side of `gpu_trainer.py`: GRPOTrainer's own training step on a batch that is given instead of generated.

Needs `make bench`. The trainer's generation is replaced by the batch; everything after it is TRL's, with its default
settings for `dapo` (gradient checkpointing on), one group per micro-batch.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent))

import gpu_trainer
import torch
from datasets import Dataset
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from skyscale.decoder.models import resolve_model


class Steps(TrainerCallback):
    """The time of every optimizer step."""

    def __init__(self):
        self.times, self.began = [], 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - self.began)


class GivenBatch(GRPOTrainer):
    """Trains on `given` whatever it is asked to generate."""

    given: dict

    def _generate_and_score_completions(self, inputs):
        return {name: value.clone() for name, value in self.given.items()}


def tensors(groups, device):
    """The batch as TRL pads it: prompts alike, completions to the longest."""
    episodes = [(group.prompt_ids, t) for group in groups for t in group.trajectories]
    width = max(len(t.completion_ids) for _, t in episodes)
    prompts = torch.tensor([prompt for prompt, _ in episodes])
    ids = torch.tensor([t.completion_ids + [0] * (width - len(t.completion_ids)) for _, t in episodes])
    mask = torch.tensor([[1] * len(t.completion_ids) + [0] * (width - len(t.completion_ids)) for _, t in episodes])
    rewards = torch.tensor([t.reward for _, t in episodes]).reshape(len(groups), -1)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    found = {
        "prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts), "completion_ids": ids, "completion_mask": mask,
        "advantages": advantages.flatten(), "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    return {name: value.to(device) for name, value in found.items()}


def main():
    """Train for --steps and one more, and print the numbers."""
    parser = argparse.ArgumentParser()
    for name, kind in (("only", str), ("groups", int), ("steps", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    is_gpu = torch.cuda.is_available()
    groups = gpu_trainer.batch(options.only, options.groups)
    rss_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = Qwen3ForCausalLM(Qwen3Config(**gpu_trainer.SHAPES[options.only]))
    size = gpu_trainer.GROUP_SIZE
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder, max_steps=options.steps + 1, learning_rate=1e-6, per_device_train_batch_size=size,
            gradient_accumulation_steps=options.groups, num_generations=size, loss_type="dapo", beta=0.0,
            max_completion_length=gpu_trainer.LENGTHS[options.only][1], bf16=is_gpu, use_cpu=not is_gpu,
            gradient_checkpointing=is_gpu, report_to=[], save_strategy="no", logging_steps=1000, disable_tqdm=True,
        )  # fmt: skip
        steps = Steps()
        trainer = GivenBatch(
            model=model, args=config, reward_funcs=lambda completions, **_: [0.0] * len(completions),
            train_dataset=Dataset.from_list([{"prompt": "x"}] * 64), callbacks=[steps],
            processing_class=AutoTokenizer.from_pretrained(resolve_model("skyscale/starter")),
        )  # fmt: skip
        trainer.given = tensors(groups, trainer.accelerator.device)
        trainer.train()
    given = trainer.given
    computed = given["prompt_ids"].numel() + given["completion_ids"].numel()
    completion, parameters = int(given["completion_mask"].sum()), sum(p.numel() for p in model.parameters())
    print(json.dumps(gpu_trainer.measured(steps.times, completion, computed, parameters, rss_before)))


if __name__ == "__main__":
    main()
