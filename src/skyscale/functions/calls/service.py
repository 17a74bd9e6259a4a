"""Executions: queued, run in a fresh sandbox, kept. At most once each.

- Slots bound how many run at once, and a bound on the line refuses the rest (429) instead of letting it grow.
- An asynchronous call, and one with an idempotency key, is on disk before it is answered or run. Any other call is
  answered as soon as it has ended and is written moments later, together with others; until then it is read from here.
- What a dead control plane had queued is taken over; what it was running is `lost`, for it may have had effects.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta

from pydantic_core import to_json

from skyscale.errors import BadRequest, Conflict, NotFound, SandboxFailure, TooLarge, TooMany
from skyscale.functions import rules
from skyscale.functions.calls import queries
from skyscale.functions.calls.playing import play
from skyscale.functions.calls.queries import Execution
from skyscale.functions.calls.views import logs_of, view_of
from skyscale.functions.calls.writing import Writer
from skyscale.functions.pool import Pool
from skyscale.functions.service import FunctionService, Version
from skyscale.store.engine import Database
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.functions import (
    MAX_INPUT_BYTES,
    ExecutionLogs,
    ExecutionPage,
    ExecutionStatus,
    ExecutionView,
    Invoke,
)

log = logging.getLogger(__name__)
MAX_WAITING = 1000
KEEP_ROWS = timedelta(days=7)
SWEEP_S = 1.0
FORGET_EVERY = 3600


class ExecutionService:
    """Calls of functions on this control plane, and the rows of all."""

    def __init__(
        self,
        database: Database,
        functions: FunctionService,
        pool: Pool,
        *,
        slots: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database, self._functions, self._pool = database, functions, pool
        self._now = now
        self._slots = asyncio.Semaphore(slots)
        self._holder = f"{socket.gethostname()[:100]}:{os.getpid()}:{new_id('cp')}"
        self._live: dict[str, Execution] = {}
        """Rows that this control plane holds and the database does not have yet as they are."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._writer = Writer(database, self._written)
        self._loop: asyncio.Task[None] | None = None
        self._is_stopping = False

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make ready, take over what dead control planes left, and begin to sweep."""
        await self._pool.start()
        await self.adopt()
        self._writer.start()
        self._loop = asyncio.create_task(self._sweep_for_ever(), name="function sweeper")

    async def stop(self) -> None:
        """End what runs (it is `lost`), leave what is queued for the next control plane, destroy every sandbox."""
        self._is_stopping = True
        if self._loop is not None:
            self._loop.cancel()
        tasks = [*self._tasks.values(), *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._writer.stop()
        await self._pool.stop()

    async def adopt(self) -> None:
        """Queued rows of control planes that are gone become ours and are run; running ones are lost."""
        async with self._database.write() as connection:
            await queries.forget(connection, self._now() - KEEP_ROWS)
            for row in await queries.open_rows(connection):
                if not self._is_gone(row.holder):
                    continue
                if row.status is ExecutionStatus.QUEUED and await queries.take_over(connection, row, self._holder):
                    row.holder = self._holder
                    self._database.after_commit(connection, lambda row=row: self._begin(row, is_kept=True))
                elif row.status is ExecutionStatus.RUNNING:
                    row.status, row.ended_at = ExecutionStatus.LOST, self._now()
                    row.error_message = "its control plane ended while it ran"
                    await queries.save(connection, row)

    def _is_gone(self, holder: str) -> bool:
        host, pid, _ = holder.rsplit(":", 2)
        if holder == self._holder or host != self._holder.rsplit(":", 2)[0]:
            return False
        # A pid of ours under another id is a control plane of this process that has stopped.
        return int(pid) == os.getpid() or not _is_process(int(pid))

    # -- calling -------------------------------------------------------------------------------------------------

    async def invoke(self, name: str, request: Invoke) -> ExecutionView:
        """The execution: ended when `sync`, else queued.

        Raises:
            NotFound: no such function or version. TooLarge: the input is. TooMany: the line is full.
            Conflict: the idempotency key belongs to a call with another input.
        """
        text = to_json(request.input).decode()
        if len(text) > MAX_INPUT_BYTES:
            raise TooLarge(f"input: more than {MAX_INPUT_BYTES // 1024} KB of JSON")
        version = await self._functions.version(name, request.version)
        if len(self._tasks) >= MAX_WAITING:
            raise TooMany(f"{MAX_WAITING} calls are waiting or running", code="functions_busy", retry_after_s=2.0)
        row = Execution(
            execution_id=new_id("fx"), function=name, version=version.version, holder=self._holder, input=text,
            idempotency_key=request.idempotency_key, created_at=self._now(),
        )  # fmt: skip
        is_kept = not request.sync or request.idempotency_key is not None
        if is_kept:
            row = await self._keep_or_find(row)
        if row.execution_id not in self._tasks and row.status is ExecutionStatus.QUEUED and row.holder == self._holder:
            self._begin(row, is_kept=is_kept)
        if not request.sync:
            return view_of(self._live.get(row.execution_id, row))
        return await self._wait(row)

    async def _keep_or_find(self, row: Execution) -> Execution:
        async with self._database.write() as connection:
            key = row.idempotency_key
            known = await queries.by_key(connection, row.function, key) if key is not None else None
            if known is None:
                await queries.insert_new(connection, [row])
                return row
        if known.input != row.input:
            raise Conflict("this idempotency key belongs to a call with another input", code="idempotency_key_taken")
        return self._live.get(known.execution_id, known)

    async def _wait(self, row: Execution) -> ExecutionView:
        task = self._tasks.get(row.execution_id)
        if task is not None:
            # Whoever waits may go away: the call is not theirs alone (a retry finds it by its key).
            await asyncio.wait({task})
        if row.status not in rules.ENDED:
            row = await self._row(row.execution_id)
        return view_of(row)

    def _begin(self, row: Execution, *, is_kept: bool) -> None:
        if row.execution_id in self._tasks or self._is_stopping:
            return
        self._live[row.execution_id] = row
        task = asyncio.create_task(self._run(row, is_kept), name=row.execution_id)
        self._tasks[row.execution_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(row.execution_id, None))

    async def _run(self, row: Execution, is_kept: bool) -> None:
        async with self._slots:
            try:
                version = await self._functions.version(row.function, row.version)
                row.status, row.started_at = ExecutionStatus.RUNNING, self._now()
                if is_kept:
                    async with self._database.write() as connection:
                        await queries.save(connection, row)
                await self._play(row, version)
            except NotFound:
                self._end(row, ExecutionStatus.FAILED, "the function was deleted before it was called")
            except SandboxFailure as error:
                self._end(row, ExecutionStatus.LOST, f"its sandbox broke: {error.detail}")
            except asyncio.CancelledError:
                if row.status is ExecutionStatus.RUNNING:
                    self._end(row, ExecutionStatus.LOST, "the control plane stopped")
                raise
            except Exception:
                log.exception("execution %s failed by our own fault", row.execution_id)
                self._end(row, ExecutionStatus.LOST, "a defect of Skyscale; the log of the control plane has it")
            finally:
                if row.status in rules.ENDED:
                    self._writer.put(row, is_new=not is_kept)
                elif not is_kept:
                    self._live.pop(row.execution_id, None)

    async def _play(self, row: Execution, version: Version) -> None:
        workspace, row.is_cold = await self._pool.take(version.key, version.spec, version.layer)
        try:
            outcome = await play(workspace, version.spec, row.input, has_layer=version.layer is not None)
        finally:
            self._pool.discard(workspace)
            self._pool.replenish(version.key)
        row.output, row.stdout, row.stderr = outcome.output, outcome.stdout, outcome.stderr
        row.error_traceback, row.duration_ms = outcome.error_traceback, round(outcome.duration_ms, 3)
        self._end(row, outcome.status, outcome.error_message)

    def _end(self, row: Execution, status: ExecutionStatus, message: str | None) -> None:
        row.status, row.error_message, row.ended_at = status, message, self._now()

    def _written(self, rows: list[Execution]) -> None:
        for row in rows:
            self._live.pop(row.execution_id, None)

    # -- looking -------------------------------------------------------------------------------------------------

    async def get(self, execution_id: str) -> ExecutionView:
        """One execution. Raises NotFound."""
        return view_of(await self._row(execution_id))

    async def logs(self, execution_id: str) -> ExecutionLogs:
        """What it printed. Raises NotFound."""
        return logs_of(await self._row(execution_id))

    async def page(self, *, function: str | None, cursor: str | None, limit: int) -> ExecutionPage:
        """A page of executions, newest first. Raises BadRequest for a cursor that is not ours."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.")
        await self._writer.flush()
        async with self._database.read() as connection:
            rows = await queries.page(
                connection, function=function, before=int(cursor) if cursor else None, limit=limit + 1
            )
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        shown = [view_of(self._live.get(row.execution_id, row)) for _, row in rows[:limit]]
        return ExecutionPage(executions=shown, next_cursor=more)

    async def _row(self, execution_id: str) -> Execution:
        live = self._live.get(execution_id)
        if live is not None:
            return live
        async with self._database.read() as connection:
            row = await queries.get(connection, execution_id)
        if row is None:
            raise NotFound(f"there is no execution {execution_id!r}", code="execution_not_found")
        return row

    # -- keeping order -------------------------------------------------------------------------------------------

    async def _sweep_for_ever(self) -> None:
        async for tick in _ticks():
            self._pool.sweep()
            if tick % FORGET_EVERY == 0:
                with contextlib.suppress(OSError):
                    await self.adopt()


async def _ticks() -> AsyncGenerator[int]:
    tick = 0
    while True:
        await asyncio.sleep(SWEEP_S)
        tick += 1
        yield tick


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
