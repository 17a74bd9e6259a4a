"""What stale rollouts cost, and what a correction buys back: AReaL's ablation (arXiv:2505.24298) on the starter model.

One process, lock step, with the real engine, learner and judge. As in a run, `staleness` + 1 batches are sampled before
the first is trained on, and one more by each new version: from version `staleness` on, every batch is exactly so many
versions old. Every arm plays the same problems with the same seeds, trains on the same number of batches and is judged
by the reward of its own fresh rollouts over its last ten versions (`reward`), and of its last weights on held-out
problems (`heldout`). At staleness 0 there is one arm, since the corrections have nothing to correct. Arms:

    corrected    decoupled PPO whose clip counts the engine's age: runs' default, but for the steps' size
    decoupled    the same with a clip around the trainer's own policy alone, and tokens masked outside [0.5, 5]
    naive        PPO whose ratio divides by the engine's probability, no correction: plain PPO on old data
    uncorrected  the ratio divides by the trainer's own policy, and the engine's age is ignored

Steps are deliberately large (learning rate, minibatches), since with timid ones nothing is ever stale. It counts
versions and samples, never seconds. The last line is JSON; `perf/off_policy_plot.py` draws it.
"""

import argparse
import asyncio
import functools
import json
import random
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from skyscale.decoder.checkpoint import load_decoder, save_decoder
from skyscale.decoder.models import STARTER, resolve_model
from skyscale.envs.judge import Judge
from skyscale.envs.registry import load_problem_set
from skyscale.episodes.prompts import messages_of
from skyscale.policy.engine import Completion, Engine, GenerateRequest
from skyscale.policy.loading import open_engine
from skyscale.policy.tokenizer import ChatTokenizer
from skyscale.sandboxes.loading import load_backend
from skyscale.trainer.step import Learner
from skyscale.wire.algorithms import Algorithm
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.problems import Problem
from skyscale.worker.extract import extract_code

ARMS: dict[str, dict[str, object]] = {
    "corrected": {},
    "decoupled": {"clip_engine": False, "importance_low": 0.5},
    "naive": {"proximal": "engine", "correction": "none"},
    "uncorrected": {"correction": "none"},
}
MAX_NEW_TOKENS = 40
NUM_HELDOUT = 100
KEPT = ("grad_norm", "clip_share", "masked_share", "mismatch_kl", "entropy", "skipped_steps")


class Arena:
    """One engine, one judge, all problems; verdicts on the same program are remembered."""

    def __init__(self, base: Path, engine: Engine, judge: Judge) -> None:
        self.base, self.engine, self._judge = base, engine, judge
        self._problems = load_problem_set().train()
        self._heldout = load_problem_set().heldout()[:NUM_HELDOUT]
        self._tokenizer = ChatTokenizer(base)
        self._known: dict[tuple[str, str], float] = {}
        self.version = 0
        """Of the engine, which only counts up; arms have versions of their own."""

    async def serve(self, folder: Path) -> None:
        """Have the engine sample with the weights in `folder`."""
        self.version += 1
        await self.engine.reload(folder, self.version)

    async def heldout_reward(self) -> float:
        """Mean reward of the engine's weights on problems that are never trained on, 4 samples each."""
        groups = await asyncio.gather(*(self._group(each, i, 0, 4) for i, each in enumerate(self._heldout)))
        return mean_reward(groups)

    async def play(self, seed: int, version: int, num_groups: int, group_size: int) -> list[LeasedGroup]:
        """Groups on problems that `seed` chooses; tokens are marked as sampled by the arm's `version`."""
        chosen = random.Random(seed).sample(self._problems, num_groups)
        return list(
            await asyncio.gather(
                *(self._group(problem, seed * 1000 + i, version, group_size) for i, problem in enumerate(chosen))
            )
        )

    async def _group(self, problem: Problem, seed: int, version: int, size: int) -> LeasedGroup:
        prompt_ids = self._tokenizer.chat_prompt(messages_of(problem))
        request = GenerateRequest(prompt_ids=prompt_ids, n=size, max_new_tokens=MAX_NEW_TOKENS, seed=seed)
        completions = await self.engine.generate(request)
        trajectories = [await self._trajectory(problem, each, version, seed) for each in completions]
        return LeasedGroup(
            group_id=f"group-{seed}", problem_id=problem.id, prompt_ids=prompt_ids, trajectories=trajectories
        )

    async def _trajectory(self, problem: Problem, completion: Completion, version: int, seed: int) -> Trajectory:
        text = self._tokenizer.decode(completion.token_ids)
        code = extract_code(text)
        return Trajectory(
            episode_id=f"ep-{seed}-{completion.index}",
            code=code,
            text=text,
            completion_ids=completion.token_ids,
            logprobs=completion.logprobs,
            versions=[version] * len(completion.token_ids),
            reward=await self._reward(problem, code),
            outcome=Outcome.SCORED if completion.finish_reason == "stop" else Outcome.TRUNCATED,
        )

    async def _reward(self, problem: Problem, code: str) -> float:
        key = (problem.id, code)
        if key not in self._known:
            verdict = await self._judge.judge(problem, code)
            assert verdict.outcome is not Outcome.INFRASTRUCTURE_FAILURE, verdict
            self._known[key] = verdict.reward
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all arms have in common."""

    versions: int
    num_groups: int
    group_size: int
    minibatches: int
    learning_rate: float
    clip_high: float


async def run_arm(
    arena: Arena, setting: Setting, arm: str, staleness: int, seed: int, scratch: Path
) -> dict[str, object]:
    """Train one arm; its curve and its last ten versions."""
    algorithm = Algorithm.model_validate(
        {
            "group_size": setting.group_size, "groups_per_step": setting.num_groups, "clip_high": setting.clip_high,
            "minibatches": setting.minibatches, "learning_rate": setting.learning_rate, "dynamic_sampling": False,
            "max_staleness": staleness, **ARMS[arm],
        }
    )  # fmt: skip
    torch.manual_seed(seed)
    learner = Learner(load_decoder(arena.base), algorithm, 1.0, MAX_NEW_TOKENS)
    await arena.serve(arena.base)
    play = functools.partial(arena.play, num_groups=setting.num_groups, group_size=setting.group_size)
    # As in a run: the buffer holds `staleness` + 1 batches, and the place of one is free again when a version is out.
    waiting = deque([await play(seed * 100_000 + 50_000 + index, 0) for index in range(staleness + 1)])
    rewards = [mean_reward([group for batch in waiting for group in batch])]
    metrics: list[dict[str, float]] = []
    for version in range(setting.versions):
        batch = waiting.popleft()
        metrics.append((await asyncio.to_thread(learner.train, batch, version)).metrics)
        save_decoder(learner.model, scratch / "weights", arena.base)
        await arena.serve(scratch / "weights")
        waiting.append(await play(seed * 100_000 + version, version + 1))
        rewards.append(mean_reward(waiting[-1]))
    last = rewards[-10:]
    return {
        "arm": arm, "staleness": staleness, "seed": seed, "reward": round(sum(last) / len(last), 4),
        "heldout": round(await arena.heldout_reward(), 4),
        "curve": [round(reward, 4) for reward in rewards],
        **{name: round(sum(m.get(name, 0.0) for m in metrics) / len(metrics), 5) for name in KEPT},
    }  # fmt: skip


def mean_reward(groups: Sequence[LeasedGroup]) -> float:
    """Over all episodes."""
    rewards = [t.reward for group in groups for t in group.trajectories]
    return sum(rewards) / len(rewards)


async def main() -> None:
    """Run every arm and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=30)
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 4, 16])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--minibatches", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=7e-4)
    parser.add_argument("--clip-high", type=float, default=0.28)
    options = parser.parse_args()
    setting = Setting(
        options.versions, options.groups, options.group_size, options.minibatches, options.learning_rate,
        options.clip_high,
    )  # fmt: skip
    base = resolve_model(STARTER)
    tokenizer = ChatTokenizer(base)
    engine = open_engine("torch", base, version=0, decode=tokenizer.decode)
    judge = Judge(load_backend(slots=2), concurrency=2)
    await engine.start()
    await judge.start()
    results: list[dict[str, object]] = []
    try:
        arena = Arena(base, engine, judge)
        with tempfile.TemporaryDirectory() as scratch:
            for seed in options.seeds:
                for staleness in options.staleness:
                    for arm in options.arms if staleness else options.arms[:1]:
                        began = time.monotonic()
                        result = await run_arm(arena, setting, arm, staleness, seed, Path(scratch))
                        results.append(result)
                        shown = {name: result[name] for name in result if name != "curve"}
                        print(f"{time.monotonic() - began:5.1f} s  {shown}", flush=True)
    finally:
        await judge.stop()
        await engine.stop()
    print(json.dumps({"setting": vars(options), "results": results}))


if __name__ == "__main__":
    asyncio.run(main())
