"""Sandbox hosts: machines that judge programs and hold interactive sandboxes for control planes.

A host reports itself every few seconds; the first report registers it. Control planes call it at the URL it reported.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request
from skyscale.wire.episodes import MAX_CODE_CHARS, Verdict
from skyscale.wire.problems import Problem

HOST_ID_PATTERN = r"^sbh-[A-Za-z0-9_-]{4,60}$"
MAX_BATCH = 256


class HostState(StrEnum):
    """The life of a host: ready -> draining -> gone, or lost from either."""

    READY = "ready"
    DRAINING = "draining"
    """It finishes what it has and takes nothing new."""
    GONE = "gone"
    """It said good-bye."""
    LOST = "lost"
    """It was not heard of any more, or another process took its address."""


class HostReport(Request):
    """The body of `PUT /api/sandboxes/hosts/{host_id}`: who the host is, and how it fares."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+$", max_length=300)]
    """Where control planes reach it."""
    version: Annotated[str, Field(max_length=40)]
    state: Literal["ready", "draining"] = "ready"
    slots: Annotated[int, Field(ge=1, le=4096)]
    """Programs that it judges at once."""
    backend: Annotated[str, Field(min_length=1, max_length=40)]
    """What isolates the programs it judges."""
    workspaces: Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=16)] = []
    """Backends of interactive sandboxes that it has."""
    max_sandboxes: Annotated[int, Field(ge=0, le=100_000)] = 0
    layers: Annotated[dict[str, str], Field(max_length=64)] = {}
    """Each layer of isolation and whether it is in force there."""
    judging: Annotated[int, Field(ge=0)] = 0
    """Programs that it is judging, those that wait included."""
    judged_total: Annotated[int, Field(ge=0)] = 0
    """Programs judged since it started."""
    sandboxes: Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100_000)] = []
    """Interactive sandboxes that it holds."""
    busy: Annotated[list[Annotated[str, Field(max_length=80)]], Field(max_length=100_000)] = []
    """Those of them that run a program."""


class HostOrders(Reply):
    """The reply to a report."""

    drop: list[str]
    """Sandboxes that nobody wants any more: end them."""
    report_every_s: float


class HostHealth(Reply):
    """`GET /health` of a host."""

    status: Literal["ok", "draining"]
    host_id: str


class HostView(Reply):
    """A sandbox host."""

    host_id: str
    name: str
    url: str
    version: str
    state: HostState
    slots: int
    backend: str
    workspaces: list[str]
    max_sandboxes: int
    layers: dict[str, str]
    missing_layers: list[str]
    """The names of the layers that are not in force there."""
    judging: int
    judged_total: int
    open_sandboxes: int
    registered_at: datetime
    seen_at: datetime
    reason: str | None
    """Why it is gone or lost."""


class HostList(Reply):
    """`GET /api/sandboxes/hosts`: all hosts of the last days, those that answer first."""

    hosts: list[HostView]


class JudgeRequest(Request):
    """What a control plane asks of a host: `POST /judge`."""

    problem: Problem
    codes: Annotated[list[Annotated[str, Field(max_length=MAX_CODE_CHARS)]], Field(min_length=1, max_length=MAX_BATCH)]


class JudgeReply(Reply):
    """Verdicts in the order of the programs."""

    verdicts: list[Verdict]
