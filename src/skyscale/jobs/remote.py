"""What providers on other people's machines have in common: creations that outlive their caller, images, logs.

- A create call is never abandoned half-way: a caller whose deadline passes leaves it running, and `find` and `stop` of
  the same job wait for its outcome first, so that they see what it made.
- Logs are one text in which every attempt begins with the attempt header.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec

from skyscale.errors import Invalid
from skyscale.jobs.provider import JobLaunch
from skyscale.jobs.rules import ATTEMPT_HEADER

SETTLE_S = 60.0
"""How long to wait for a creation that nobody waits for any more; clients give up earlier."""
KILLED, TIMED_OUT, COULD_NOT_RUN = 137, 124, 125
"""Exit codes as shells and container engines use them, for clouds that tell a story instead of a number."""


class Creations:
    """Creations under way, by job."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[str]] = {}

    async def run(self, job_id: str, create: Callable[[], Awaitable[str]]) -> str:
        """What `create` returns or raises. Being cancelled does not cancel it."""

        async def created() -> str:
            return await create()

        await self.settled(job_id)
        task = asyncio.create_task(created(), name=f"jobs.create.{job_id}")
        self._running[job_id] = task
        task.add_done_callback(lambda done: self._forget(job_id, done))
        return await asyncio.shield(task)

    async def settled(self, job_id: str) -> None:
        """Wait until no creation of the job is under way; what it led to is for `find` to see."""
        task = self._running.get(job_id)
        if task is not None:
            await asyncio.wait([task], timeout=SETTLE_S)

    def _forget(self, job_id: str, task: asyncio.Task[str]) -> None:
        if self._running.get(job_id) is task:
            del self._running[job_id]
        if not task.cancelled():
            task.exception()  # somebody may have hung up: then nobody else reads it


def sdk_missing(module: str, extra: str) -> str | None:
    """What to install when the module is not there."""
    return None if find_spec(module) else f"pip install 'skyscale[{extra}]'"


def image_of(launch: JobLaunch) -> str:
    """The image to run. Raises Invalid when there is none."""
    if launch.docker_image is None:
        raise Invalid(
            "this provider runs container images and none is named",
            code="image_missing",
            hint="Set SKYSCALE_JOB_IMAGE to an image with skyscale[train] in it, or give `docker_image`.",
        )
    return launch.docker_image


def attempt_log(attempt: int | str, lines: Sequence[str]) -> str:
    """One attempt's part of a job's log."""
    return "".join(f"{line}\n" for line in (f"{ATTEMPT_HEADER}{attempt} ---", *lines))


def newest(text: str, max_bytes: int) -> str:
    """The last so many bytes of a text."""
    return text.encode()[-max_bytes:].decode(errors="replace") if max_bytes > 0 else ""
