"""Traces from ticket to gradient: one for each group, across every process that has a hand in it.

    ticket --> rollout --> judge
                     `---> push --> lease --> train --> publish

- Ids follow from the group's id and the stage, so nothing is passed from process to process: whoever knows the group
  knows its trace, and what it hangs on.
- Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. `recorder` is None then; whoever records looks at it and does no more,
  and OpenTelemetry is not imported.
- A span that cannot be sent is lost; nothing waits for it.
"""

import logging
from enum import StrEnum
from hashlib import sha256
from importlib import import_module
from typing import Protocol

from skyscale.settings import TraceSettings

log = logging.getLogger(__name__)


class Stage(StrEnum):
    """What happens to a group, in this order."""

    TICKET = "ticket"
    """The control plane admits it: from the call to the grant."""
    ROLLOUT = "rollout"
    """The policy server samples it for a worker."""
    JUDGE = "judge"
    """Its programs are run."""
    PUSH = "push"
    """It is stored."""
    LEASE = "lease"
    """A trainer gets it: from asking to the batch."""
    TRAIN = "train"
    """The trainer takes its step."""
    PUBLISH = "publish"
    """The weights that it made are published."""


PARENTS = {
    Stage.ROLLOUT: Stage.TICKET,
    Stage.JUDGE: Stage.ROLLOUT,
    Stage.PUSH: Stage.ROLLOUT,
    Stage.LEASE: Stage.PUSH,
    Stage.TRAIN: Stage.LEASE,
    Stage.PUBLISH: Stage.TRAIN,
}
KEYED = frozenset((Stage.LEASE, Stage.TRAIN, Stage.PUBLISH))
"""A group may be leased more than once; these stages are of one lease, whose id is the key."""
REPEATED = frozenset((Stage.JUDGE, Stage.PUBLISH))
"""Nothing hangs on these, and a group may have several: their own ids are random."""


class Recorder(Protocol):
    """Where spans go."""

    def record(
        self, stage: Stage, group_id: str, began_ns: int, *, key: str = "", error: str = "", **attributes: str | int
    ) -> None:
        """One stage of one group, which ends now; `began_ns` is Unix time."""
        ...

    def stop(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...


recorder: Recorder | None = None
"""Read it where it is used: it is set when the process starts."""


def start(service: str, **ids: str) -> None:
    """Record from now on, if the environment says where to; called once, by the process's main."""
    global recorder  # noqa: PLW0603 - looked at on every group's way; anything else would cost when it is off
    settings = TraceSettings()
    if not settings.endpoint or recorder is not None:
        return
    try:
        recorder = import_module("skyscale.telemetry.otlp").OtlpRecorder(service, settings, ids)
    except ModuleNotFoundError as error:
        log.warning("traces are wanted, but %s is missing: pip install 'skyscale[otel]'", error.name)


def stop() -> None:
    """Send what is left and record nothing more."""
    global recorder  # noqa: PLW0603 - see start
    if recorder is not None:
        recorder.stop()
        recorder = None


def trace_id(group_id: str) -> int:
    """128 bits, never 0."""
    return _bits(f"trace {group_id}", 16)


def span_id(stage: Stage, group_id: str, key: str = "") -> int:
    """64 bits, never 0; `key` counts for the stages that have one."""
    return _bits(f"{stage} {group_id} {key if stage in KEYED else ''}", 8)


def _bits(text: str, num_bytes: int) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:num_bytes]) | 1
