"""Queries that were written for an async connection, run to their end without a single suspension.

A `StraightConnection` answers `execute` with the result at once, so a coroutine that awaits nothing but statements
never yields and can be driven by one `send`. The whole transaction then takes one passage to the writer's thread,
where the async driver takes two for every statement: on a busy machine each passage waits for the interpreter lock.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult

T = TypeVar("T")


class StraightConnection:
    """The part of AsyncConnection that `queries.py` files use."""

    def __init__(self, connection: Connection) -> None:
        self.sync = connection
        """For statements that know how to be run at once (`store.prepared`)."""
        self.dialect = connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """The statement's result, there and then."""
        return self.sync.execute(statement, parameters)


def run_straight(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits; one that does is a defect of ours."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise AssertionError("a transaction at once may await nothing but statements")
