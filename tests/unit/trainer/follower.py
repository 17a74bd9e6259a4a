"""A follower as a process of its own: `follower.py MODEL_FOLDER PLACE KINDS [sharded|loads]`, for tests of teams."""

import sys
from pathlib import Path

import torch

from skyscale.decoder.lora import LoraConfig, attach
from skyscale.trainer.following import follow
from skyscale.trainer.sharding import load_sharded, shard
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Place, Team, join_team
from skyscale.wire.runs import Algorithm
from tests.unit.trainer import pinned

KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "sequences": {"name": "gspo", "minibatches": 2},
    "kl": {"kl_coefficient": 0.1, "minibatches": 2},
    "lora": {"minibatches": 2},
    "bf16": {"learning_rate": 1e-3, "minibatches": 2},
    "recomputed": {},
}


def learner(folder: Path, kind: str, team: Team | None, *, is_sharded: bool = False) -> Learner:
    """The learner of a kind, alone or as part of a team, with all of the model or a part of it."""
    algorithm = Algorithm.model_validate({"learning_rate": 1e-2, "warmup_steps": 0} | KINDS[kind])
    model = pinned.decoder(folder)
    model.recomputes_blocks = kind == "recomputed"
    if kind == "lora":
        attach(model, LoraConfig(4, 8.0), seed=1)
    reference = pinned.decoder(folder, seed=0.3).requires_grad_(False) if algorithm.kl_coefficient else None
    compute_dtype = torch.bfloat16 if kind == "bf16" else None
    if team is not None and is_sharded:
        for whole in (model, reference) if reference is not None else (model,):
            shard(whole, team.size, torch.device("cpu"), compute_dtype)
    return Learner(model, algorithm, 1.0, 12, reference, compute_dtype=compute_dtype, team=team)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_team(Place.parse(sys.argv[2]), torch.device("cpu")) as joined:
        if "loads" in sys.argv:
            ones = torch.ones(1, 1, dtype=torch.int64)
            load_sharded(Path(sys.argv[1]), 2, torch.device("cpu"), dtype=torch.float32)(ones, ones)
        kinds = iter(sys.argv[3].split(","))
        follow(lambda: learner(Path(sys.argv[1]), next(kinds), joined, is_sharded="sharded" in sys.argv))
