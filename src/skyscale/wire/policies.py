"""Policy versions: immutable folders of weights, published by the trainer, pulled by policy servers.

A version folder holds Hugging Face files (`config.json`, tokenizer, `model.safetensors`) and a `manifest.json`
that is written last. Version 0 is the base model and has no folder.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request


class ManifestFile(Reply):
    """One file of a version folder."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(Reply):
    """The description of a version folder; its presence means that the folder is complete."""

    run_id: str
    version: int
    parent: int
    encoding: Literal["full"]
    files: list[ManifestFile]
    created_at: datetime


class PolicyPublish(Request):
    """The body of `POST /api/rl/runs/{id}/policies`: announce a version and commit what it consumed, in one step."""

    version: Annotated[int, Field(ge=1)]
    """One more than the newest; repeating the newest with the same manifest is answered as the first time."""
    parent: Annotated[int, Field(ge=0)]
    manifest_uri: str
    manifest_sha256: str
    lease_ids: list[str] = []
    """Leases whose groups this version (or a checkpoint before it) has consumed: acked in the same transaction."""


class PolicyVersion(Reply):
    """A published version."""

    version: int
    parent: int
    manifest_uri: str | None
    published_at: datetime


class PolicyRegister(Request):
    """The body of `POST /api/rl/runs/{id}/policy-server`."""

    url: Annotated[str, Field(min_length=8, max_length=500, pattern=r"^https?://")]


class PolicyReload(Request):
    """The body of `POST /api/rl/runs/{id}/policy-reload`: serve a published version (the newest by default)."""

    version: Annotated[int, Field(ge=0)] | None = None
    checkpoint_url: str | None = None
    """The manifest URI of a published version of this run; an alternative to `version`."""


class EngineReload(Request):
    """The body of `POST {policy}/reload`, sent by the control plane alone."""

    version: Annotated[int, Field(ge=1)]
    manifest_uri: str


class EngineReloadReply(Reply):
    """The version being served after a reload, and what the swap cost."""

    version: int
    fetch_ms: float
    stall_ms: float
    """How long decoding stood still."""


class PolicyPage(Reply):
    """Published versions of a run, oldest first."""

    run_id: str
    policies: list[PolicyVersion]
