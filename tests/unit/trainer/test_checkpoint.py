"""A state that is stored and restored goes on bit for bit."""

from pathlib import Path

import pytest
import torch

from skyscale.artifacts.store import open_store
from skyscale.decoder.checkpoint import load_decoder
from skyscale.trainer.checkpoint import (
    capture,
    checkpoint_versions,
    prune_checkpoints,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from skyscale.trainer.step import Learner
from skyscale.wire.runs import Algorithm

ALGORITHM = Algorithm(learning_rate=1e-2, minibatches=2)


def _learner(folder: Path) -> Learner:
    return Learner(load_decoder(folder), ALGORITHM, 1.0)


def _write(store, learner: Learner, version: int) -> None:
    write_checkpoint(
        store, capture(learner), run_id="rl-a", version=version, parent=version - 1, lease_ids=[f"lease-{version}"],
        manifest_sha256="",
    )  # fmt: skip


def test_a_resumed_learner_has_the_same_next_losses_and_weights_bit_for_bit(
    tiny_folder: Path, make_group, tmp_path: Path
):
    batches = [[make_group(10 * b + g, 5) for g in range(4)] for b in range(6)]
    straight = _learner(tiny_folder)
    for version, batch in enumerate(batches[:3]):
        straight.train(batch, version)
    store = open_store((tmp_path / "store").as_uri())
    _write(store, straight, 3)
    random_numbers = torch.rand(3)
    expected = [straight.train(batch, 3 + i).metrics for i, batch in enumerate(batches[3:])]

    found = read_checkpoint(store, "rl-a", 3, tmp_path)
    assert found is not None
    header, snapshot = found
    resumed = _learner(tiny_folder)
    restore(resumed, snapshot)
    assert (header.version, header.lease_ids, resumed.num_steps) == (3, ["lease-3"], 6)
    assert torch.equal(torch.rand(3), random_numbers)
    assert [resumed.train(batch, 3 + i).metrics for i, batch in enumerate(batches[3:])] == expected
    assert all(torch.equal(a, b) for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True))


def test_a_snapshot_does_not_change_when_training_goes_on(tiny_folder: Path, make_group):
    learner = _learner(tiny_folder)
    learner.train([make_group(1, 5), make_group(2, 5)], 0)
    snapshot = capture(learner)
    before = {name: tensor.clone() for name, tensor in snapshot.tensors.items()}
    learner.train([make_group(3, 5), make_group(4, 5)], 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in snapshot.tensors.items())
    assert any(not torch.equal(before[f"model/{n}"], p) for n, p in learner.model.named_parameters())


@pytest.mark.parametrize("name", ["state.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_not_one(tiny_folder: Path, tmp_path: Path, name: str):
    store = open_store((tmp_path / "store").as_uri())
    _write(store, _learner(tiny_folder), 1)
    key = f"runs/rl-a/checkpoints/v000001/{name}"
    store.put_bytes(key, store.get_bytes(key)[:-1] + b"?")
    assert read_checkpoint(store, "rl-a", 1, tmp_path) is None


def test_the_two_newest_checkpoints_are_kept(tiny_folder: Path, tmp_path: Path):
    store = open_store((tmp_path / "store").as_uri())
    learner = _learner(tiny_folder)
    for version in (1, 2, 10):
        _write(store, learner, version)
    prune_checkpoints(store, "rl-a")
    assert checkpoint_versions(store, "rl-a") == [10, 2]
