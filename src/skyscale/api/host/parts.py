"""Everything a sandbox host is made of.

    building(settings)   make and start the judge and the interactive sandboxes; at the end of the block end them all

- Draining is one way: nothing new is taken, what runs goes to its end.
- A failure of isolation to start is raised at once: a host that cannot isolate code does not join.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from skyscale import __version__
from skyscale.api.host.boxes import HostBoxes
from skyscale.boxes.files import BoxFiles
from skyscale.envs.judge import Judge
from skyscale.sandboxes.loading import WORKSPACES, load_backend, load_workspaces
from skyscale.settings import HostSettings
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import new_id
from skyscale.wire.hosts import HostReport
from skyscale.wire.problems import Problem

MAX_PROBLEMS = 4096


@dataclass(slots=True, kw_only=True)
class HostParts:
    """The parts of a host, and how it fares."""

    settings: HostSettings
    judge: Judge
    boxes: HostBoxes
    files: BoxFiles
    metrics: Metrics
    slots: int
    host_id: str = field(default_factory=lambda: new_id("sbh"))
    url: str = ""
    """Known when the port is bound."""
    num_judging: int = 0
    judged_total: int = 0
    is_draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is judged."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to report without waiting."""
    problems: dict[str, Problem] = field(default_factory=dict[str, Problem])
    """The newest by id: the judge remembers what it parsed by object."""

    def __post_init__(self) -> None:
        self.idle.set()

    @contextlib.contextmanager
    def judging(self, num_codes: int) -> Generator[None]:
        """While so many programs are judged."""
        self.num_judging += num_codes
        self.idle.clear()
        try:
            yield
        finally:
            self.num_judging -= num_codes
            if not self.num_judging:
                self.idle.set()

    def same(self, problem: Problem) -> Problem:
        """The object that stood for this problem before, if it has not changed."""
        known = self.problems.get(problem.id)
        if known is not None and known == problem:
            return known
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.clear()
        self.problems[problem.id] = problem
        return problem

    def report(self) -> HostReport:
        """What the control plane is told."""
        settings = self.settings
        return HostReport(
            name=settings.name or socket.gethostname()[:100], url=self.url, version=__version__,
            state="draining" if self.is_draining else "ready", slots=self.slots, backend=settings.backend,
            workspaces=sorted(self.boxes.backends), max_sandboxes=settings.sandbox_max_total,
            layers=self.judge.report(), judging=self.num_judging, judged_total=self.judged_total,
            sandboxes=self.boxes.ids(), busy=self.boxes.busy_ids(),
        )  # fmt: skip


@asynccontextmanager
async def building(settings: HostSettings) -> AsyncGenerator[HostParts]:
    """The parts, started. Raises SandboxFailure when this host cannot isolate code."""
    slots = settings.sandbox_slots or os.cpu_count() or 1
    backend = load_backend(settings.backend, slots=slots, allow_weak=settings.missing_layers == "warn")
    judge = Judge(backend, concurrency=slots)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(judge.stop)
        await judge.start()
        workspaces = {name: load_workspaces(name, label=_label(settings)) for name in WORKSPACES}
        boxes = HostBoxes(workspaces, settings.sandbox_max_total)
        stack.push_async_callback(boxes.stop)
        await boxes.start()
        yield HostParts(
            settings=settings, judge=judge, boxes=boxes, files=BoxFiles(boxes), metrics=Metrics(), slots=slots
        )


def _label(settings: HostSettings) -> str:
    return hashlib.sha256(f"sandboxd:{settings.data_dir.resolve()}".encode()).hexdigest()[:16]
