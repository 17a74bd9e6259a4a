"""From a snapshot to a published version: files, checkpoint, announcement, in this order and one version at a time.

    snapshot -> version folder (complete, unannounced) -> checkpoint (durable) -> POST policies (acks the leases)

- A crash before the POST leaves a checkpoint ahead of the server, which `resume` announces or discards.
- A version without a checkpoint acks nothing: its leases stay held and go with the next version that has one.
- It runs in a thread of its own, so that in asynchronous runs the next batch is trained meanwhile.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from skyscale.artifacts.store import MAX_SAME_BYTES, ArtifactStore
from skyscale.artifacts.versions import Published, prune_versions, publish_files, publish_version, version_prefix
from skyscale.decoder.checkpoint import decoder_files, stacked_names
from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.lora import LoraConfig, save_adapter
from skyscale.sdk.jobs import JobClient
from skyscale.trainer.checkpoint import WEIGHTS, SharedWeights, Snapshot, prune_checkpoints, write_checkpoint
from skyscale.wire.policies import PolicyPublish

SPARED_S = 15.0
"""A version younger than this is not deleted: a policy server may be fetching it."""
PRUNE_EVERY_S = 1.0
"""Listing what is there takes milliseconds, which a run with several versions a second would notice."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version to be."""

    version: int
    parent: int
    snapshot: Snapshot
    lease_ids: list[str]
    """Leases consumed since the last checkpoint."""
    has_checkpoint: bool


class Publisher:
    """Publishes the versions of one run."""

    def __init__(
        self,
        client: JobClient,
        store: ArtifactStore,
        *,
        run_id: str,
        config: DecoderConfig,
        base_folder: Path,
        scratch: Path,
        keep_versions: int,
        dtype: torch.dtype | None,
        pinned: Callable[[], Collection[int]] = tuple,
        lora: LoraConfig | None = None,
        base_name: str = "",
    ) -> None:
        """`pinned` tells which versions are kept whatever their age: the best so far, and those in use.

        With `lora` the snapshots and the versions hold adapters alone, for the base model called `base_name`.
        """
        self._client = client
        self._store = store
        self._run_id = run_id
        self._config = config
        self._base_folder = base_folder
        self._scratch = scratch
        self._keep_versions = keep_versions
        self._dtype = dtype
        self._pinned = pinned
        self._lora = lora
        self._base_name = base_name
        self._recent: deque[tuple[float, int]] = deque()
        self._pruned_at = time.monotonic()

    def publish(self, candidate: Candidate) -> None:
        """Make the candidate durable and announce it.

        Raises:
            Conflict: the server refuses it (`lease_fenced`, or another version was announced): its state is void.
        """
        published = self._write_folder(candidate)
        if candidate.has_checkpoint:
            self.checkpoint(candidate, published)
        self.announce(candidate, published, candidate.lease_ids if candidate.has_checkpoint else [])
        now = time.monotonic()
        self._recent.append((now, candidate.version))
        if now - self._pruned_at > PRUNE_EVERY_S:
            self.prune(SPARED_S)

    def prune(self, spared_s: float) -> None:
        """Delete what is neither pinned, nor among the newest, nor younger than `spared_s`."""
        self._pruned_at = time.monotonic()
        while self._recent and self._recent[0][0] <= self._pruned_at - spared_s:
            self._recent.popleft()
        spared = {recent for _, recent in self._recent}.union(self._pinned())
        prune_versions(self._store, self._run_id, self._keep_versions, spared)
        prune_checkpoints(self._store, self._run_id)

    def republish(self, candidate: Candidate, manifest_sha256: str) -> None:
        """Announce a version whose checkpoint exists and names this manifest. Raises Conflict like `publish`."""
        published = self._write_folder(candidate)
        if published.manifest_sha256 != manifest_sha256:
            # Something beside the weights has changed since. The checkpoint must name what is announced, or the next
            # trainer takes it for a sibling's.
            self.checkpoint(candidate, published)
        self.announce(candidate, published, candidate.lease_ids)

    def checkpoint_again(self, candidate: Candidate) -> None:
        """Make the state of a version that is published already durable."""
        self.checkpoint(candidate, self._write_folder(candidate))

    def checkpoint(self, candidate: Candidate, published: Published) -> None:
        """Make the candidate's state durable."""
        write_checkpoint(
            self._store,
            candidate.snapshot,
            run_id=self._run_id,
            version=candidate.version,
            parent=candidate.parent,
            lease_ids=candidate.lease_ids,
            manifest_sha256=published.manifest_sha256,
            weights=self._shared_weights(candidate, published),
        )

    def announce(self, candidate: Candidate, published: Published, lease_ids: list[str]) -> None:
        """Tell the control plane, which acks the leases in the same transaction."""
        body = PolicyPublish(
            version=candidate.version,
            parent=candidate.parent,
            manifest_uri=published.manifest_uri,
            manifest_sha256=published.manifest_sha256,
            lease_ids=lease_ids,
        )
        self._client.publish(self._run_id, body)

    def _shared_weights(self, candidate: Candidate, published: Published) -> tuple[str, SharedWeights] | None:
        """Where the version has the snapshot's own weights, unless its numbers are others or too many to share."""
        dtypes = {weight.dtype for weight in candidate.snapshot.weights.values()}
        if self._lora is not None or (self._dtype is not None and dtypes != {self._dtype}) or len(dtypes) > 1:
            return None
        file = next(file for file in published.files if file.name == WEIGHTS)
        if file.size_bytes > MAX_SAME_BYTES:
            return None
        key = f"{version_prefix(self._run_id, candidate.version)}/{file.name}"
        return key, SharedWeights(sha256=file.sha256, stacked=stacked_names(self._config))

    def _write_folder(self, candidate: Candidate) -> Published:
        run_id, version, parent = self._run_id, candidate.version, candidate.parent
        weights = candidate.snapshot.weights
        if self._lora is not None:
            folder = self._scratch / "version"
            save_adapter(weights, self._lora, folder, base_folder=self._base_folder, base_name=self._base_name)
            return publish_version(self._store, run_id=run_id, version=version, parent=parent, folder=folder)
        contents = decoder_files(self._config, weights, self._base_folder, dtype=self._dtype)
        return publish_files(self._store, run_id=run_id, version=version, parent=parent, contents=contents)
