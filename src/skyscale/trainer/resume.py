"""Where training goes on after any crash, so that no acknowledged group is lost and none is learned from twice.

Newest checkpoint first, each compared with the server's newest published version `n`:

    checkpoint > n    it was written and not announced: announce it now, with its leases. Refused (409, for example
                      `lease_fenced`: its groups went back to the buffer) means its state is void: discard, look further
    checkpoint = n    go on from it, if the server announced this very manifest; a sibling that lost is discarded
    checkpoint < n    versions without checkpoints came after it; their groups were never acked and will be leased
                      again, so go on from the checkpoint and publish n + 1 with the checkpoint as parent
    none              the same, from the base model
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from skyscale.artifacts.store import ArtifactStore, open_uri
from skyscale.errors import Conflict, NotFound
from skyscale.trainer.checkpoint import (
    CheckpointHeader,
    Snapshot,
    checkpoint_versions,
    discard_checkpoint,
    read_checkpoint,
)
from skyscale.trainer.publishing import Candidate, Publisher
from skyscale.wire.jobs import HeartbeatReply

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Where to go on."""

    newest: int
    """Newest published version; the next one is one more."""
    parent: int
    """Version whose weights training starts from; 0 is the base model."""
    snapshot: Snapshot | None
    """The state of `parent`; None is a fresh optimizer on the base model."""


def find_resume_point(
    store: ArtifactStore, publisher: Publisher, server: HeartbeatReply, run_id: str, scratch: Path
) -> ResumePoint:
    """The newest state that is, or now becomes, part of the run's history; void checkpoints are deleted."""
    newest = server.policy_version
    for version in checkpoint_versions(store, run_id):
        found = read_checkpoint(store, run_id, version, scratch)
        if found is None:
            log.warning("checkpoint %d is damaged; it is discarded", version)
            discard_checkpoint(store, run_id, version)
            continue
        header, snapshot = found
        if _is_history(publisher, server, header, snapshot):
            return ResumePoint(max(newest, version), version, snapshot)
        log.warning("checkpoint %d never became part of the run; it is discarded", version)
        discard_checkpoint(store, run_id, version)
    return ResumePoint(newest, 0, None)


def _is_history(publisher: Publisher, server: HeartbeatReply, header: CheckpointHeader, snapshot: Snapshot) -> bool:
    if header.version < server.policy_version:
        return True
    if header.version == server.policy_version:
        return server.manifest_uri is not None and _sha256(server.manifest_uri) in (None, header.manifest_sha256)
    candidate = Candidate(header.version, header.parent, snapshot, header.lease_ids, has_checkpoint=True)
    try:
        publisher.republish(candidate, header.manifest_sha256)
    except Conflict as e:
        log.warning("version %d is refused: %s", header.version, e)
        return False
    return True


def _sha256(manifest_uri: str) -> str | None:
    store, key = open_uri(manifest_uri)
    try:
        return hashlib.sha256(store.get_bytes(key)).hexdigest()
    except NotFound:
        return None
