"""Database work that is let to its end.

A task that is cancelled in the middle of a statement leaves the async driver with a connection that it can neither
use nor close (seen with SQLAlchemy 2.1 and aiosqlite 0.22: the closing task waits for ever). Loops that are ended by
cancellation therefore do each round through `to_its_end`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
END_S = 10.0
"""The longest that a cancellation is held back."""


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; a cancellation is raised once it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=END_S)
        raise
