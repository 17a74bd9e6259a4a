"""Where each provider lives while the contract suite tries it: this host, or its protocol on loopback.

A new provider adds one line to `HOMES`: a name, and an async context manager that yields a `Home`.
"""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from skyscale.jobs.loading import load_provider
from skyscale.jobs.provider import Provider, Setup
from tests import ray_cluster
from tests.contract import cloud_homes
from tests.contract.home import OWNER, STRANGER, Home
from tests.contract.line import Line


@asynccontextmanager
async def local(folder: Path) -> AsyncGenerator[Home]:
    """Processes of this host."""

    def make(below: str) -> Provider:
        return load_provider("local", Setup(jobs_dir=folder / below, owner=OWNER))

    yield Home(make=lambda: make("mine"), stranger=lambda: make("other"))


@asynccontextmanager
async def ray(folder: Path) -> AsyncGenerator[Home]:
    """A Ray cluster of two nodes on this host, through a line that can be made to lose an answer."""
    with pytest.MonkeyPatch.context() as patch, Line(ray_cluster.shared().address) as line:
        patch.setenv("RAY_API_SERVER_ADDRESS", line.address)

        def make(owner: str) -> Provider:
            return load_provider("ray", Setup(jobs_dir=folder, owner=owner))

        mine = secrets.token_hex(6)  # the cluster remembers the jobs of earlier tests
        yield Home(
            make=lambda: make(mine), within_s=60.0, lose_next_reply=line.lose_next_reply,
            stranger=lambda: make(STRANGER),
        )  # fmt: skip
        for each in await make(mine).owned():
            await make(mine).stop(each.job_id, each.handle, 0)


HOMES: dict[str, Callable[[Path], AbstractAsyncContextManager[Home]]] = {
    "local": local,
    "ray": ray,
    **cloud_homes.HOMES,
}
SLOW = {"ray": pytest.mark.ray}
"""Marks of those that need more than this host's processes."""
