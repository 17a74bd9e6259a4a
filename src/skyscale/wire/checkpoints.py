"""Published versions as things to keep: what is there, and where to fetch it from."""

from datetime import datetime

from skyscale.wire.base import Reply


class CheckpointFile(Reply):
    """One file of a published version."""

    name: str
    size_bytes: int | None
    """Null for what was added after publication, such as the model card."""
    sha256: str | None
    """Null for the same; else the file is verified with it."""


class Checkpoint(Reply):
    """A published version whose files are still there."""

    run_id: str
    version: int
    parent: int
    uri: str
    """Its folder in the artifact store; of a local one, what `from_pretrained` takes (`file://` removed)."""
    created_at: datetime
    size_bytes: int
    """Of the files of its manifest."""
    files: list[CheckpointFile]
    reward: float | None
    """On held-out problems, when it was evaluated."""
    is_newest: bool
    is_best: bool
    is_in_use: bool
    """Retention does not touch it: newest, best, served, pinned or under evaluation."""


class CheckpointList(Reply):
    """Every version of a run that is kept, newest first."""

    run_id: str
    checkpoints: list[Checkpoint]


class CheckpointDownload(Reply):
    """Where one file of a version is fetched from."""

    name: str
    url: str
    """A signed address at the artifact store that needs no credentials, or a path of this API."""
    expires_at: datetime | None
    """When a signed address stops working."""


class CheckpointDownloads(Reply):
    """One version, ready to be fetched."""

    checkpoint: Checkpoint
    downloads: list[CheckpointDownload]
