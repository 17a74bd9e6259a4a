"""A trajectory of training that depends on no random generator: the same batches on the same weights, step by step."""

import math
from pathlib import Path

import torch

from skyscale.decoder.checkpoint import load_decoder
from skyscale.decoder.model import Decoder
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeasedGroup, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.runs import Algorithm

LENGTHS = ((3, 5, 4, 7), (6, 6, 2, 3), (1, 4, 9, 5), (8, 2, 5, 5))
REWARDS = ((1.0, 0.0, 0.5, 0.25), (0.0, 1.0, 1.0, 0.0), (0.2, 0.4, 0.6, 0.8), (1.0, 0.0, 0.0, 0.0))


def groups() -> list[LeasedGroup]:
    """Four groups of four episodes with unequal lengths and rewards."""
    return [_group(index, *each) for index, each in enumerate(zip(LENGTHS, REWARDS, strict=True))]


def _group(index: int, lengths: tuple[int, ...], rewards: tuple[float, ...]) -> LeasedGroup:
    trajectories: list[Trajectory] = []
    for episode, (length, reward) in enumerate(zip(lengths, rewards, strict=True)):
        ids = [(7 * index + 3 * episode + 5 * t * t) % 50 for t in range(length)]
        drift = [0.6 * math.sin(1.7 * t + episode + 2 * index) for t in range(length)]
        trajectories.append(
            Trajectory(
                episode_id=f"ep-{index}-{episode}", code="", completion_ids=ids, logprobs=[-3.9 + d for d in drift],
                versions=[0] * length, reward=reward, outcome=Outcome.SCORED,
            )
        )  # fmt: skip
    prompt = [(11 * index + t) % 50 for t in range(3 + index)]
    return LeasedGroup(group_id=f"g-{index:04d}", problem_id="p", prompt_ids=prompt, trajectories=trajectories)


def decoder(folder: Path, seed: float = 0.0) -> Decoder:
    """The shape of `folder` with weights from a formula, small enough that tokens are nearly equally likely."""
    model = load_decoder(folder)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            if parameter.dim() == 2:
                index = torch.arange(parameter.numel(), dtype=torch.float64)
                values = 0.2 * torch.sin(index * 12.9898 + number * 78.233 + seed)
                parameter.copy_(values.reshape(parameter.shape))
    return model


def trajectory(folder: Path, algorithm: Algorithm, steps: int = 4, **learner: object) -> list[float]:
    """Loss and gradient norm of each of `steps` steps on the same four groups."""
    trained = Learner(decoder(folder), algorithm, 1.0, **learner)  # pyright: ignore[reportArgumentType]
    numbers: list[float] = []
    for version in range(steps):
        report = trained.train(groups(), version)
        numbers += [report.metrics["loss"], report.metrics["grad_norm"]]
    return numbers
