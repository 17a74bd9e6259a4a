"""docs/metrics-training.md and what the trainer really logs have the same names."""

import re
from pathlib import Path

import pytest

from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer.step import Learner
from skyscale.wire.batches import RolloutWindow
from tests.service.trainer.test_crash_rules import World

PAGE = Path(__file__).parents[3] / "docs" / "metrics-training.md"


def test_every_logged_number_is_defined_and_every_defined_one_is_logged(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    world = World(tmp_path, base_folder)
    algorithm = world.assignment.spec.algorithm.model_copy(update={"kl_coefficient": 0.1})

    def held_to_the_base() -> Learner:
        return Learner(load_decoder(base_folder), algorithm, 1.0, 8, load_decoder(base_folder).requires_grad_(False))

    monkeypatch.setattr(world, "learner", held_to_the_base)
    sample = world.ledger.sample
    window = RolloutWindow(groups=2, flat_groups=0, trajectories=4, mean_reward=0.5)
    world.ledger.sample = lambda body: sample(body).model_copy(update={"rollouts": window})
    logged: set[str] = set()
    world.ledger.metrics = lambda body: logged.update(body.metrics, {"episode_reward"})
    world.live()
    defined = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE))
    assert defined == logged
