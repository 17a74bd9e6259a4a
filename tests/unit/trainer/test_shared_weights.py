"""Weights that a version has number for number are in its checkpoint by another name of the file, and as safe there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from skyscale.artifacts.store import ArtifactStore, open_store
from skyscale.decoder.checkpoint import load_decoder
from skyscale.sdk.jobs import JobClient
from skyscale.trainer import publishing
from skyscale.trainer.checkpoint import Snapshot, capture, read_checkpoint
from skyscale.trainer.publishing import Candidate, Publisher
from skyscale.trainer.step import Learner
from skyscale.wire.runs import Algorithm

CHECKPOINT, VERSION = "runs/rl-a/checkpoints/v000001", "runs/rl-a/versions/v000001"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture
def client() -> Iterator[JobClient]:
    with JobClient("http://127.0.0.1:1", "unused", "job-1") as client:
        yield client


@pytest.fixture
def learner(tiny_folder: Path, make_group) -> Learner:
    learner = Learner(load_decoder(tiny_folder), Algorithm(learning_rate=1e-2), 1.0)
    learner.train([make_group(1, 5), make_group(2, 5)], 0)
    return learner


def _checkpoint(client, store, learner, folder: Path, dtype: torch.dtype | None = None) -> Snapshot:
    snapshot = capture(learner)
    publisher = Publisher(
        client, store, run_id="rl-a", config=learner.model.config, base_folder=folder, scratch=folder, keep_versions=2,
        dtype=dtype,
    )  # fmt: skip
    publisher.checkpoint_again(Candidate(1, 0, snapshot, [], has_checkpoint=True))
    return snapshot


def _names_in_state(store: ArtifactStore, tmp_path: Path) -> set[str]:
    with safe_open(store.fetch(f"{CHECKPOINT}/state.safetensors", tmp_path / "state"), framework="pt") as file:
        return {name.split("/")[0] for name in file.keys()}  # noqa: SIM118 - not a mapping


def _assert_same(found, snapshot: Snapshot) -> None:
    assert found is not None
    assert found[1].tensors.keys() == snapshot.tensors.keys()
    assert all(torch.equal(found[1].tensors[name], tensor) for name, tensor in snapshot.tensors.items())
    assert all(found[1].tensors[name].dtype == tensor.dtype for name, tensor in snapshot.tensors.items())


def test_weights_are_written_once_and_outlive_the_folder_of_the_version(client, store, learner, tiny_folder, tmp_path):
    snapshot = _checkpoint(client, store, learner, tiny_folder)
    assert _names_in_state(store, tmp_path) == {"optimizer", "random"}
    paths = [store.fetch(f"{folder}/model.safetensors", tmp_path / "w") for folder in (CHECKPOINT, VERSION)]
    assert paths[0].samefile(paths[1])
    store.delete_prefix(VERSION)
    _assert_same(read_checkpoint(store, "rl-a", 1, tmp_path), snapshot)


def test_a_version_of_other_content_does_not_change_the_checkpoint(client, store, learner, tiny_folder, tmp_path):
    snapshot = _checkpoint(client, store, learner, tiny_folder)
    store.put_bytes(f"{VERSION}/model.safetensors", b"another's")
    _assert_same(read_checkpoint(store, "rl-a", 1, tmp_path), snapshot)


def test_a_checkpoint_may_be_written_again(client, store, learner, tiny_folder, tmp_path):
    for _ in range(2):
        snapshot = _checkpoint(client, store, learner, tiny_folder)
    _assert_same(read_checkpoint(store, "rl-a", 1, tmp_path), snapshot)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_checkpoint_with_damaged_weights_is_not_one(client, store, learner, tiny_folder, tmp_path, damage):
    _checkpoint(client, store, learner, tiny_folder)
    key = f"{CHECKPOINT}/model.safetensors"
    if damage == "gone":
        store.delete_prefix(key)
    else:
        whole = store.get_bytes(key)
        store.put_bytes(key, whole[:-1] + bytes([whole[-1] ^ 1]))
    assert read_checkpoint(store, "rl-a", 1, tmp_path) is None


def test_weights_that_a_version_rounds_stay_whole_in_the_state(client, store, learner, tiny_folder, tmp_path):
    snapshot = _checkpoint(client, store, learner, tiny_folder, torch.bfloat16)
    assert _names_in_state(store, tmp_path) == {"model", "optimizer", "random"}
    assert not store.exists(f"{CHECKPOINT}/model.safetensors")
    _assert_same(read_checkpoint(store, "rl-a", 1, tmp_path), snapshot)


def test_weights_that_a_store_could_not_copy_in_one_call_stay_in_the_state(
    client, store, learner, tiny_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(publishing, "MAX_SAME_BYTES", 1000)
    snapshot = _checkpoint(client, store, learner, tiny_folder)
    assert "model" in _names_in_state(store, tmp_path)
    _assert_same(read_checkpoint(store, "rl-a", 1, tmp_path), snapshot)
