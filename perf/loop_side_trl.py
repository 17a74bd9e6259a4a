"""TRL's side of `loop_vs_trl.py`: GRPOTrainer on the starter model, judged by our sandbox and tests.

Needs `make bench`. Settings that both sides share come as arguments; the rest is TRL's own default for `dapo`.
"""

import argparse
import asyncio
import json
import os
import threading
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from skyscale.decoder.models import resolve_model
from skyscale.envs.judge import Judge
from skyscale.envs.registry import load_problem_set
from skyscale.sandboxes.loading import load_backend
from skyscale.worker.extract import extract_code


class SandboxReward:
    """The reward function: our judge on its own event loop; identical programs of a batch run once."""

    __name__ = "sandbox_reward"

    def __init__(self, out: Path) -> None:
        self.problems = load_problem_set("embedded")
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.judge = Judge(load_backend("process", slots=2), concurrency=2)
        asyncio.run_coroutine_threadsafe(self.judge.start(), self.loop).result(60)
        self.out = out.open("w")
        self.started = 0.0

    def __call__(self, completions: list[list[dict[str, str]]], problem_id: list[str], **_: object) -> list[float]:
        codes = [extract_code(completion[0]["content"]) for completion in completions]
        pairs = list(dict.fromkeys(zip(problem_id, codes, strict=True)))
        rewards = asyncio.run_coroutine_threadsafe(self._judge(pairs), self.loop).result(120)
        batch = [rewards[pair] for pair in zip(problem_id, codes, strict=True)]
        line = {"at_s": time.perf_counter() - self.started, "samples": len(batch), "reward": sum(batch) / len(batch)}
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()
        return batch

    async def _judge(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
        verdicts = await asyncio.gather(*(self.judge.judge(self.problems.get(name), code) for name, code in pairs))
        return {pair: verdict.reward for pair, verdict in zip(pairs, verdicts, strict=True)}

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.judge.stop(), self.loop).result(30)


class Budget(TrainerCallback):
    """Start the clock when training begins and stop it when the budget is spent."""

    def __init__(self, reward: SandboxReward, seconds: float) -> None:
        self.reward, self.seconds = reward, seconds

    def on_train_begin(self, args, state, control, **kwargs):
        self.reward.started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = time.perf_counter() - self.reward.started >= self.seconds


def main() -> None:
    """Train with TRL until the budget is spent; every batch of rollouts is a line of --out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    for name, kind in (("seconds", float), ("group-size", int), ("groups", int), ("learning-rate", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("seed", "max-new-tokens", "minibatches"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    folder = str(resolve_model("skyscale/starter"))
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    reward = SandboxReward(arguments.out)
    rows = [{"prompt": [{"role": "user", "content": p.prompt}], "problem_id": p.id} for p in reward.problems.train()]
    config = GRPOConfig(
        output_dir=str(arguments.out.parent / "trl"),
        num_generations=arguments.group_size,
        per_device_train_batch_size=arguments.group_size * arguments.groups // arguments.minibatches,
        steps_per_generation=arguments.minibatches,
        max_completion_length=arguments.max_new_tokens,
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5,
        adam_beta1=0.9,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        epsilon=0.2,
        epsilon_high=0.28,
        beta=0.0,
        loss_type="dapo",
        temperature=1.0,
        seed=arguments.seed,
        num_train_epochs=1000,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1000,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reward],
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Budget(reward, arguments.seconds)],
    )
    trainer.train()
    reward.close()


if __name__ == "__main__":
    main()
