"""Two gloo processes with a part of the model each train as one process with all of it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from skyscale.trainer.checkpoint import capture, restore
from skyscale.trainer.following import share_state
from skyscale.trainer.sharding import load_sharded
from tests.unit.trainer import pinned
from tests.unit.trainer.follower import learner
from tests.unit.trainer.test_team import numbers, team_of_two


def _is_close(found: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=1e-3)


@pytest.mark.parametrize("kind", ["plain", "sequences", "kl", "recomputed"])
def test_parts_have_the_losses_norms_and_weights_of_the_whole(tiny_folder: Path, kind: str):
    alone = learner(tiny_folder, kind, None)
    expected = numbers(alone, range(3))
    with team_of_two(tiny_folder, kind, "sharded") as (team, process):
        together = learner(tiny_folder, kind, team, is_sharded=True)
        assert numbers(together, range(3)) == pytest.approx(expected, abs=1e-4)
        for weight in together.weights.values():
            assert isinstance(weight, DTensor)
            assert weight.to_local().numel() == weight.numel() // 2
            assert together.optimizer.state[weight]["exp_avg"].to_local().shape == weight.to_local().shape
        found = capture(together)
    assert process.returncode == 0
    _is_close(found.weights, capture(alone).weights)


def test_half_precision_parts_are_close_to_masters(tiny_folder: Path):
    alone = learner(tiny_folder, "bf16", None)
    expected = numbers(alone, range(3))
    with team_of_two(tiny_folder, "bf16", "sharded") as (team, _):
        together = learner(tiny_folder, "bf16", team, is_sharded=True)
        assert numbers(together, range(3)) == pytest.approx(expected, abs=2e-2, rel=2e-2)
        assert all(weight.dtype == torch.float32 for weight in together.weights.values())
        found = capture(together)
    _is_close(found.weights, capture(alone).weights, atol=3e-3)


def test_a_state_goes_from_whole_to_parts_and_back(tiny_folder: Path):
    alone = learner(tiny_folder, "plain", None)
    numbers(alone, range(2))
    snapshot = capture(alone)
    expected = numbers(alone, range(2, 4))
    with team_of_two(tiny_folder, "plain", "sharded") as (team, _):
        together = learner(tiny_folder, "plain", team, is_sharded=True)
        numbers(together, range(1))
        restore(together, snapshot)
        share_state(together, snapshot)
        again = capture(together)
        assert all(torch.equal(again.tensors[path], tensor) for path, tensor in snapshot.tensors.items())
        assert numbers(together, range(2, 4)) == pytest.approx(expected, abs=1e-4)
        later = capture(together)
    back = learner(tiny_folder, "plain", None)
    restore(back, later)
    assert numbers(back, range(4, 6)) == pytest.approx(numbers(alone, range(4, 6)), abs=1e-4)


def test_a_process_without_rows_keeps_in_step_and_changes_nothing(tiny_folder: Path):
    groups = pinned.groups()[:1]
    alone = learner(tiny_folder, "kl", None)
    expected = alone.train(groups, 0).metrics
    with team_of_two(tiny_folder, "kl", "sharded") as (team, _):
        together = learner(tiny_folder, "kl", team, is_sharded=True)
        assert together.train(groups, 0).metrics == pytest.approx(expected, abs=1e-5)
        found = capture(together)
    _is_close(found.weights, capture(alone).weights)


def test_a_gradient_that_is_not_finite_is_left_out_by_every_process(tiny_folder: Path):
    with team_of_two(tiny_folder, "plain", "sharded") as (team, process):
        together = learner(tiny_folder, "plain", team, is_sharded=True)
        before = capture(together).weights
        groups = pinned.groups()
        groups[0].trajectories[0].logprobs[0] = float("nan")
        assert together.train(groups, 0).skipped_steps == 1
        assert all(torch.equal(tensor, before[name]) for name, tensor in capture(together).weights.items())
        assert together.train(pinned.groups(), 0).skipped_steps == 0
    assert process.returncode == 0


def test_a_model_is_loaded_part_by_part(tiny_folder: Path):
    from skyscale.decoder.checkpoint import load_decoder

    ids, positions = torch.arange(12)[None], torch.arange(12)[None]
    with team_of_two(tiny_folder, "plain", "loads") as (team, process):
        del team
        model = load_sharded(tiny_folder, 2, torch.device("cpu"), dtype=torch.float32)
        with torch.no_grad():
            found = model(ids, positions)
    assert process.returncode == 0
    with torch.no_grad():
        torch.testing.assert_close(found, load_decoder(tiny_folder)(ids, positions))
