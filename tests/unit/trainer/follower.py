"""A follower as a process of its own: `follower.py MODEL_FOLDER PLACE KIND`, for tests of teams."""

import sys
from pathlib import Path

import torch

from skyscale.decoder.lora import LoraConfig, attach
from skyscale.trainer.following import follow
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Place, Team, join_team
from skyscale.wire.runs import Algorithm
from tests.unit.trainer import pinned

KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "sequences": {"name": "gspo", "minibatches": 2},
    "kl": {"kl_coefficient": 0.1, "minibatches": 2},
    "lora": {"minibatches": 2},
}


def learner(folder: Path, kind: str, team: Team | None) -> Learner:
    """The learner of a kind, alone or as part of a team."""
    algorithm = Algorithm.model_validate({"learning_rate": 1e-2, "warmup_steps": 0} | KINDS[kind])
    model = pinned.decoder(folder)
    if kind == "lora":
        attach(model, LoraConfig(4, 8.0), seed=1)
    reference = pinned.decoder(folder, seed=0.3).requires_grad_(False) if algorithm.kl_coefficient else None
    return Learner(model, algorithm, 1.0, 12, reference, team=team)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_team(Place.parse(sys.argv[2]), torch.device("cpu")) as joined:
        follow(learner(Path(sys.argv[1]), sys.argv[3], joined))
