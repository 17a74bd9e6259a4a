"""Two gloo processes with a part of the model each train as one process with all of it.

One follower serves several cases: `base` orders make it begin again, with the next of its kinds.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer.checkpoint import Snapshot, capture, restore
from skyscale.trainer.following import share_state
from skyscale.trainer.sharding import is_part, load_sharded
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order, Team
from tests.unit.trainer import pinned
from tests.unit.trainer.follower import learner
from tests.unit.trainer.test_team import numbers, team_of_two

KINDS = ["plain", "sequences", "kl", "recomputed"]


def _next_learner(team: Team, folder: Path, kind: str) -> Learner:
    team.order(Order(kind="base"))
    return learner(folder, kind, team, is_sharded=True)


def _require_close(found: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=1e-3)


def _require_parts(together: Learner) -> None:
    for weight in together.weights.values():
        moment = together.optimizer.state[weight]["exp_avg"]
        for tensor in (weight, moment):
            assert is_part(tensor)
            assert tensor.to_local().numel() == weight.numel() // 2  # pyright: ignore[reportAttributeAccessIssue]


def test_parts_have_the_losses_norms_and_weights_of_the_whole(tiny_folder: Path):
    one_group = pinned.groups()[:1]
    with team_of_two(tiny_folder, ",".join(["plain", *KINDS, "kl", "bf16"]), "sharded") as (team, process):
        for kind in KINDS:
            alone, together = learner(tiny_folder, kind, None), _next_learner(team, tiny_folder, kind)
            assert numbers(together, range(3)) == pytest.approx(numbers(alone, range(3)), abs=1e-4), kind
            _require_parts(together)
            _require_close(capture(together).weights, capture(alone).weights)

        # A process without rows keeps in step and changes nothing.
        alone, together = learner(tiny_folder, "kl", None), _next_learner(team, tiny_folder, "kl")
        expected = alone.train(one_group, 0).metrics
        assert together.train(one_group, 0).metrics == pytest.approx(expected, abs=1e-5)
        _require_close(capture(together).weights, capture(alone).weights)

        alone, together = learner(tiny_folder, "bf16", None), _next_learner(team, tiny_folder, "bf16")
        assert numbers(together, range(3)) == pytest.approx(numbers(alone, range(3)), abs=2e-2, rel=2e-2)
        assert all(weight.dtype == torch.float32 for weight in together.weights.values())
        _require_close(capture(together).weights, capture(alone).weights, atol=3e-3)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose embedding, norms and output matrices have no two equal halves."""
    torch.manual_seed(8)
    config = Qwen3Config(
        vocab_size=51, hidden_size=33, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        intermediate_size=47, max_position_embeddings=256, tie_word_embeddings=False, initializer_range=0.2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("odd")
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_state_goes_from_whole_to_parts_and_back(odd_folder: Path):
    alone = learner(odd_folder, "plain", None)
    numbers(alone, range(2))
    snapshot = capture(alone)
    expected = numbers(alone, range(2, 4))
    with team_of_two(odd_folder, "plain", "sharded") as (team, process):
        together = learner(odd_folder, "plain", team, is_sharded=True)
        numbers(together, range(1))
        restore(together, snapshot)
        share_state(together, snapshot)
        again = capture(together)
        assert again.tensors.keys() == snapshot.tensors.keys()
        assert all(torch.equal(again.tensors[path], tensor) for path, tensor in snapshot.tensors.items())
        assert numbers(together, range(2, 4)) == pytest.approx(expected, abs=1e-4)
        later = capture(together)
        _skips_what_is_not_finite(together, later)
    assert process.returncode == 0
    back = learner(odd_folder, "plain", None)
    restore(back, later)
    assert numbers(back, range(4, 6)) == pytest.approx(numbers(alone, range(4, 6)), abs=1e-4)
    with pytest.raises(KeyError, match="final_norm"):
        restore(back, Snapshot({path: tensor for path, tensor in later.tensors.items() if "final" not in path}, 1))


def _skips_what_is_not_finite(together: Learner, good: Snapshot) -> None:
    broken = Snapshot(good.tensors | {"model/final_norm": torch.full((33,), float("nan"))}, good.num_steps)
    for snapshot, num_skipped in ((broken, 1), (good, 0)):
        restore(together, snapshot)
        share_state(together, snapshot)
        assert together.train(pinned.groups(), 0).skipped_steps == num_skipped
        after = capture(together).weights["embedding"]
        assert torch.equal(after, good.weights["embedding"]) == bool(num_skipped)


def test_a_model_is_loaded_part_by_part(odd_folder: Path):
    ids, positions = torch.arange(12)[None], torch.arange(12)[None]
    with team_of_two(odd_folder, "plain", "loads") as (team, process):
        model = load_sharded(odd_folder, team.size, torch.device("cpu"), dtype=torch.float32)
        with torch.no_grad():
            found = model(ids, positions)
    assert process.returncode == 0
    with torch.no_grad():
        torch.testing.assert_close(found, load_decoder(odd_folder)(ids, positions))


def test_a_trainer_that_divides_nothing_does_not_load_what_divides():
    code = "import sys, skyscale.trainer.assembly; print('torch.distributed.fsdp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
