"""A provider whose every answer a test chooses: what it runs is a table, so that what is left of it can be counted.

`Account` is what exists at the provider and outlives control planes; `Place` is the provider as one of them has it.
"""

import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from skyscale.errors import Unavailable
from skyscale.jobs.provider import Abilities, JobLaunch, NoCapacity, Offer, Owned, Refused
from skyscale.jobs.rules import Seen

Fault = Literal["", "full", "refused", "before", "after", "crash_before", "crash_after", "silent"]
"""Of a start: full and refused start nothing; before and after is when the answer is lost; crash ends its caller."""


class Crash(BaseException):
    """The end of a control plane, in the middle of what it does."""


@dataclass
class Box:
    """One started attempt."""

    job_id: str
    attempt: int
    launch: JobLaunch
    seen: Seen


@dataclass
class Account:
    """All that was ever started, and what the next calls answer."""

    boxes: dict[str, Box] = field(default_factory=dict[str, Box])
    starts: Counter[str] = field(default_factory=Counter[str])
    faults: deque[Fault] = field(default_factory=deque[Fault])
    """Of the next starts, finds and stops, in the order of the calls; none: all is well."""
    first: Literal["pending", "running"] = "running"

    def live(self) -> list[Box]:
        return [box for box in self.boxes.values() if box.seen.state in ("pending", "running")]


@dataclass
class Place:
    """The provider."""

    name: str
    account: Account
    abilities: Abilities = field(
        default_factory=lambda: Abilities(
            gpu_models=None, runs_commands=True, runs_images=True, is_this_host=False, may_queue=True, start_s=5.0,
            quiet_s=1e6,
        )
    )  # fmt: skip
    needs: str | None = None
    offers: Sequence[Offer] = ()

    def missing(self) -> str | None:
        return self.needs

    async def start(self, launch: JobLaunch) -> str:
        fault = self._fault()
        if fault == "full":
            raise NoCapacity("nothing is free")
        if fault == "refused":
            raise Refused("no credit")
        if fault == "crash_before":
            raise Crash
        if fault in ("before", "silent"):
            raise Unavailable("the line went dead")
        self.account.starts[launch.name] += 1
        self.account.boxes[launch.name] = Box(launch.job_id, launch.attempt, launch, Seen(self.account.first))
        if fault == "crash_after":
            raise Crash
        if fault == "after":
            raise Unavailable("the answer was lost")
        return json.dumps([self.name, launch.name])

    async def find(self, job_id: str, attempt: int) -> str | None:
        self._may_be_silent()
        names = [name for name, box in self.account.boxes.items() if (box.job_id, box.attempt) == (job_id, attempt)]
        return json.dumps([self.name, names[0]]) if names else None

    async def poll(self, handle: str) -> Seen:
        box = self.account.boxes.get(self._name(handle))
        return box.seen if box else Seen("unknown")

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        self._may_be_silent()
        for name, box in self.account.boxes.items():
            if box.job_id == job_id and (handle is None or name == self._name(handle)):
                box.seen = Seen("exited", 143) if box in self.account.live() else box.seen

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        return ""

    async def addresses(self, handle: str) -> Mapping[int, str]:
        return {}

    async def inventory(self) -> Sequence[Offer]:
        return self.offers

    async def owned(self) -> Sequence[Owned]:
        boxes = self.account.boxes.items()
        return [Owned(b.job_id, b.attempt, json.dumps([self.name, n])) for n, b in boxes if b in self.account.live()]

    def _fault(self) -> Fault:
        return self.account.faults.popleft() if self.account.faults else ""

    def _may_be_silent(self) -> None:
        if self._fault() == "silent":
            raise Unavailable("no answer")

    def _name(self, handle: str) -> str:
        place, name = json.loads(handle)
        assert place == self.name, "a handle was taken to another provider"
        return name
