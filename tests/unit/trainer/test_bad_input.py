"""What must not break training, or must end it in words."""

from pathlib import Path

import pytest
import torch

from skyscale.errors import SkyscaleError
from skyscale.trainer.checks import require_known_tokens
from skyscale.trainer.step import Learner
from skyscale.wire.algorithms import PRESETS, Algorithm
from tests.unit.trainer import pinned


@pytest.mark.parametrize("name", PRESETS)
def test_a_model_that_computes_no_number_skips_every_step_and_stays_as_it_is(tiny_folder: Path, name):
    model = pinned.decoder(tiny_folder)
    with torch.no_grad():
        model.final_norm[0] = float("nan")
    learner = Learner(model, Algorithm(name=name, learning_rate=1e-2), 1.0, 12)
    before = [p.detach().clone() for p in model.parameters()]
    report = learner.train(pinned.groups(), 0)
    assert report.skipped_steps == min(4, learner.algorithm.minibatches)
    torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), -1e30])
def test_an_engine_that_says_nonsense_about_one_token_costs_that_token_only(tiny_folder: Path, bad: float):
    groups = pinned.groups()
    first = groups[0].trajectories[0]
    spoilt = first.model_copy(update={"logprobs": [bad, *first.logprobs[1:]]})
    groups[0] = groups[0].model_copy(update={"trajectories": [spoilt, *groups[0].trajectories[1:]]})
    report = Learner(pinned.decoder(tiny_folder), Algorithm(learning_rate=1e-2), 1.0).train(groups, 0)
    assert report.skipped_steps == 0
    assert 0 < report.metrics["grad_norm"] < 10
    assert report.metrics["masked_share"] > 0


def test_token_ids_that_the_trainer_does_not_have_end_training_in_words():
    groups = pinned.groups()
    require_known_tokens(groups, 50)
    with pytest.raises(SkyscaleError, match=r"token id 4\d, and the trainer's model has 40 tokens") as caught:
        require_known_tokens(groups, 40)
    assert (caught.value.code, "base_model" in caught.value.hint) == ("vocabulary_mismatch", True)
