"""Everything that training needs to go on exactly: weights, optimizer, random state, and which leases are in them.

    runs/<run_id>/checkpoints/v000012/model.safetensors, state.safetensors, then checkpoint.json

- The header is written last and holds the hashes: a checkpoint is complete and whole, or it does not exist.
- Weights that the version's folder has number for number are not written again: `model.safetensors` is then that file
  under another name (`ArtifactStore.put_same`), which outlives the folder. Otherwise they are in the state.
- The leases in the header are those whose groups this state has learned from since the checkpoint before it. Publishing
  the header's version acks them; until then the checkpoint may turn out to be void (see `resume`).
- Weights are fp32, and a state that is restored continues bit for bit like the one that was captured.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from skyscale.artifacts.store import ArtifactStore
from skyscale.decoder.tensor_file import safetensors_pieces
from skyscale.errors import NotFound
from skyscale.trainer.sharding import part, whole
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order
from skyscale.wire.base import Reply

WEIGHTS, STATE, HEADER = "model.safetensors", "state.safetensors", "checkpoint.json"
KEEP = 2
"""The newest may be void, so the one before it must still be there."""


class SharedWeights(Reply):
    """Weights that lie in a file with Hugging Face's names."""

    sha256: str
    stacked: dict[str, list[str]]
    """Name of each parameter to those of the parts that are stacked in it, in their order."""


class CheckpointHeader(Reply):
    """What a checkpoint is."""

    run_id: str
    version: int
    """The policy version with these weights."""
    parent: int
    num_steps: int
    """Optimizer steps since the run began."""
    lease_ids: list[str]
    manifest_sha256: str
    """Of the published version with the same weights, so that a sibling of it is recognised."""
    state_sha256: str
    weights: SharedWeights | None = None
    """None: they are in the state."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a learner's state in CPU memory, which training further does not change."""

    tensors: dict[str, Tensor]
    """`model/<name>`, `optimizer/<key>/<name>`, `random/cpu`, `random/cuda`."""
    num_steps: int

    @property
    def weights(self) -> dict[str, Tensor]:
        """The model's parameters by name."""
        return {name[6:]: tensor for name, tensor in self.tensors.items() if name.startswith("model/")}


def capture(learner: Learner) -> Snapshot:
    """Copy the learner's state; a few milliseconds for a small model. Of a sharded one, the leader's followers help."""
    tensors: dict[str, Tensor] = {"random/cpu": torch.get_rng_state()}
    if learner.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(learner.device)
    if learner.team is not None and learner.is_sharded:
        learner.team.order(Order(kind="capture"))
    for path, tensor in whole_tensors(learner):
        tensors[path] = tensor.to("cpu", copy=True)
    return Snapshot(tensors, learner.num_steps)


def whole_tensors(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    """Weights and optimizer state by their names in a snapshot, gathered one by one: all processes iterate together."""
    for name, parameter in learner.weights.items():
        yield f"model/{name}", whole(parameter.detach())
        for key, value in learner.optimizer.state[parameter].items():
            yield f"optimizer/{key}/{name}", whole(value)


def restore(learner: Learner, snapshot: Snapshot) -> None:
    """Overwrite the learner's state."""
    overwrite(learner, snapshot.tensors.items(), snapshot.num_steps)


def overwrite(learner: Learner, tensors: Iterable[tuple[str, Tensor]], num_steps: int) -> None:
    """`restore` from whole tensors that come one by one, of which a sharded learner keeps its parts.

    Raises:
        KeyError: a weight is missing, or is not the learner's.
    """
    missing = set(learner.weights)
    by_name: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors:
        kind, _, rest = path.partition("/")
        if kind == "model":
            with torch.no_grad():
                learner.weights[rest].copy_(part(tensor, learner.weights[rest]))
            missing.remove(rest)
        elif kind == "optimizer":
            key, name = rest.split("/", 1)
            like = learner.weights[name] if tensor.dim() else tensor
            # The optimizer keeps what it is given: a copy, lest it steps on the snapshot, or holds the whole of a part.
            by_name.setdefault(name, {})[key] = part(tensor, like).clone()
        elif path == "random/cpu":
            torch.set_rng_state(tensor)
        elif learner.device.type == "cuda":
            torch.cuda.set_rng_state(tensor, learner.device)
    if missing:
        raise KeyError(*sorted(missing))
    learner.weights_changed()
    state = {index: by_name[name] for index, name in enumerate(learner.weights) if name in by_name}
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
    learner.num_steps = num_steps


def write_checkpoint(
    store: ArtifactStore,
    snapshot: Snapshot,
    *,
    run_id: str,
    version: int,
    parent: int,
    lease_ids: list[str],
    manifest_sha256: str,
    weights: tuple[str, SharedWeights] | None = None,
) -> CheckpointHeader:
    """Store the snapshot; durable when it returns. An earlier checkpoint of the version is replaced.

    `weights` is the key of a file that has the snapshot's weights already, and what is in it.
    """
    prefix = _prefix(run_id, version)
    store.delete_prefix(f"{prefix}/{HEADER}")
    tensors: Mapping[str, Tensor] = snapshot.tensors
    if weights is not None:
        store.put_same(f"{prefix}/{WEIGHTS}", weights[0])
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("model/")}
    digest = store.put_pieces(f"{prefix}/{STATE}", safetensors_pieces(tensors))
    header = CheckpointHeader(
        run_id=run_id,
        version=version,
        parent=parent,
        num_steps=snapshot.num_steps,
        lease_ids=lease_ids,
        manifest_sha256=manifest_sha256,
        state_sha256=digest.sha256,
        weights=None if weights is None else weights[1],
    )
    store.put_bytes(f"{prefix}/{HEADER}", header.model_dump_json(indent=1).encode())
    return header


def checkpoint_versions(store: ArtifactStore, run_id: str) -> list[int]:
    """Versions that have a header, newest first."""
    keys = store.list(f"runs/{run_id}/checkpoints")
    return sorted((int(key.split("/")[-2][1:]) for key in keys if key.endswith(f"/{HEADER}")), reverse=True)


def read_checkpoint(
    store: ArtifactStore, run_id: str, version: int, scratch: Path
) -> tuple[CheckpointHeader, Snapshot] | None:
    """The checkpoint, or None when it is not whole."""
    prefix = _prefix(run_id, version)
    try:
        header = CheckpointHeader.model_validate_json(store.get_bytes(f"{prefix}/{HEADER}"))
        found = _read_tensors(store, f"{prefix}/{STATE}", header.state_sha256, scratch)
        if header.weights is not None:
            parts = _read_tensors(store, f"{prefix}/{WEIGHTS}", header.weights.sha256, scratch)
            stacked = header.weights.stacked.items()
            found |= {f"model/{name}": torch.cat([parts[part] for part in of]) for name, of in stacked}
    except (NotFound, ValidationError, _Damaged):
        return None
    return header, Snapshot(found, header.num_steps)


def discard_checkpoint(store: ArtifactStore, run_id: str, version: int) -> None:
    """Remove a checkpoint, its header first."""
    store.delete_prefix(f"{_prefix(run_id, version)}/{HEADER}")
    store.delete_prefix(_prefix(run_id, version))


def prune_checkpoints(store: ArtifactStore, run_id: str) -> None:
    """Remove all but the newest `KEEP`."""
    for version in checkpoint_versions(store, run_id)[KEEP:]:
        discard_checkpoint(store, run_id, version)


def _prefix(run_id: str, version: int) -> str:
    return f"runs/{run_id}/checkpoints/v{version:06d}"


class _Damaged(Exception):
    """A file is not the one that was written."""


def _read_tensors(store: ArtifactStore, key: str, sha256: str, scratch: Path) -> dict[str, Tensor]:
    path = store.fetch(key, scratch / f"resumed-{key.rpartition('/')[2]}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise _Damaged
    # Cloned out of the mapped file, which may be deleted while the tensors live.
    return {name: tensor.clone() for name, tensor in load_file(path).items()}
