"""Executions: queued, run in a fresh sandbox or as a job, kept. At most once each.

- Slots bound how many run at once, and a bound on the line refuses the rest (429) instead of letting it grow.
- An asynchronous call, one with an idempotency key and one that runs as a job is on disk before it is answered or run.
  Any other call is answered as soon as it has ended and is written moments later, together with others; until then it
  is read from here.
- What a dead control plane had queued is taken over; what it was running is `lost`, for it may have had effects.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime

from pydantic_core import from_json, to_json

from skyscale.errors import BadRequest, Conflict, Gone, NotFound, SandboxFailure, SkyscaleError, TooLarge, TooMany
from skyscale.functions import rules
from skyscale.functions.calls import queries
from skyscale.functions.calls.dispatched import Dispatched, job_of, work_of
from skyscale.functions.calls.holding import RENEW_S, Holding
from skyscale.functions.calls.playing import Outcome, play
from skyscale.functions.calls.queries import Execution
from skyscale.functions.calls.views import logs_of, view_of
from skyscale.functions.calls.writing import Writer
from skyscale.functions.pool import Pool
from skyscale.functions.service import FunctionService, Version
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.functions import (
    MAX_INPUT_BYTES,
    ExecutionLogs,
    ExecutionPage,
    ExecutionResult,
    ExecutionStatus,
    ExecutionView,
    ExecutionWork,
    Invoke,
)

log = logging.getLogger(__name__)
MAX_WAITING = 1000
SYNC_WAIT_S = 900.0
"""A synchronous call that has not ended by then is answered as it is, and goes on."""
SWEEP_S = 1.0
FORGET_EVERY = 3600


class ExecutionService:
    """Calls of functions on this control plane, and the rows of all."""

    def __init__(
        self,
        database: Database,
        functions: FunctionService,
        pool: Pool,
        dispatched: Dispatched,
        metrics: Metrics,
        *,
        slots: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database, self._functions, self._pool, self._dispatched = database, functions, pool, dispatched
        self._metrics, self._now = metrics, now
        self._slots, self._gpu_slots = asyncio.Semaphore(slots), asyncio.Semaphore(dispatched.at_once)
        self._holding = Holding(database, now)
        self._live: dict[str, Execution] = {}
        """Rows that this control plane holds and the database does not have yet as they are."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._writer = Writer(database, self._written)
        self._loop: asyncio.Task[None] | None = None
        self._is_stopping = False

    @property
    def num_open(self) -> int:
        """Calls that wait or run here."""
        return len(self._tasks)

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make ready, take over what dead control planes left, and begin to sweep."""
        await self._pool.start()
        await self._functions.start()
        await self.adopt()
        self._writer.start()
        self._loop = asyncio.create_task(self._sweep_for_ever(), name="function sweeper")

    async def stop(self) -> None:
        """End what runs (it is `lost`), leave what is queued for the next control plane, destroy every sandbox."""
        self._is_stopping = True
        tasks = [*self._tasks.values(), *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._writer.stop()
            await self._holding.let_go()
        finally:
            await self._pool.stop()

    async def adopt(self) -> None:
        """Queued rows of control planes that are gone become ours and are run; running ones are lost."""
        taken, lost = await self._holding.adopt()
        for row in taken:
            self._begin(row, is_kept=True)
        for row in lost:
            if row.job_id is not None:
                await self._dispatched.cancel(row.job_id)

    # -- calling -------------------------------------------------------------------------------------------------

    async def invoke(self, name: str, request: Invoke) -> ExecutionView:
        """The execution: ended when `sync` (unless that takes longer than SYNC_WAIT_S), else queued.

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
            execution_id=new_id("fx"), function=name, version=version.version, holder=self._holding.name, input=text,
            lease_until=self._holding.until(), idempotency_key=request.idempotency_key, created_at=self._now(),
        )  # fmt: skip
        is_kept = not request.sync or request.idempotency_key is not None or version.spec.gpu is not None
        if is_kept:
            row = await self._keep_or_find(row)
        is_ours = row.status is ExecutionStatus.QUEUED and row.holder == self._holding.name
        if is_ours and row.execution_id not in self._tasks:
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
            await asyncio.wait({task}, timeout=SYNC_WAIT_S)
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
        asked = time.monotonic()
        try:
            version = await self._functions.version(row.function, row.version)
            async with self._slots if version.spec.gpu is None else self._gpu_slots:
                self._apply(row, await self._play(row, version, is_kept))
        except NotFound:
            self._end(row, ExecutionStatus.FAILED, "the function was deleted before it was called")
        except SandboxFailure as error:
            self._end(row, ExecutionStatus.LOST, f"its sandbox broke: {error.detail}")
        except SkyscaleError as error:
            self._end(row, ExecutionStatus.FAILED, f"it could not be run: {error.detail}")
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
                self._metrics.function_called(row.status, time.monotonic() - asked, is_cold=row.is_cold)
            else:
                self._live.pop(row.execution_id, None)

    async def _play(self, row: Execution, version: Version, is_kept: bool) -> Outcome:
        row.status, row.started_at = ExecutionStatus.RUNNING, self._now()
        row.job_id = None if version.spec.gpu is None else job_of(row.execution_id)
        if is_kept:
            await to_its_end(self._save(row))
        if version.spec.gpu is not None:
            return await self._dispatched.play(row, version.spec)
        workspace, row.is_cold = await self._pool.take(version.key, version.spec, version.layer)
        try:
            return await play(workspace, version.spec, row.input, has_layer=version.layer is not None)
        finally:
            self._pool.discard(workspace)
            self._pool.replenish(version.key)

    async def _save(self, row: Execution) -> None:
        async with self._database.write() as connection:
            await queries.save(connection, row)

    def _apply(self, row: Execution, outcome: Outcome) -> None:
        row.output, row.stdout, row.stderr = outcome.output, outcome.stdout, outcome.stderr
        row.error_traceback, row.duration_ms = outcome.error_traceback, round(outcome.duration_ms, 3)
        self._end(row, outcome.status, outcome.error_message)

    def _end(self, row: Execution, status: ExecutionStatus, message: str | None) -> None:
        row.status, row.error_message, row.ended_at = status, message, self._now()

    def _written(self, rows: list[Execution]) -> None:
        for row in rows:
            self._live.pop(row.execution_id, None)

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def work(self, execution_id: str) -> ExecutionWork:
        """What the execution's job is to do. Raises NotFound, Gone when nobody wants it any more."""
        row = await self._row(execution_id)
        if row.status is not ExecutionStatus.RUNNING:
            raise Gone(f"{execution_id} is {row.status.value}", code="execution_ended")
        version = await self._functions.version(row.function, row.version)
        return work_of(row, version.spec, from_json(row.input))

    def told(self, execution_id: str, result: ExecutionResult) -> None:
        """The execution's job says what came of it. Raises Gone when nobody waits for it."""
        self._dispatched.told(execution_id, result)

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
        tick = 0
        while True:
            try:
                self._pool.sweep()
                await to_its_end(self._keep_order(tick))
            except Exception:
                log.exception("functions could not be swept; the next round tries again")
            await asyncio.sleep(SWEEP_S)
            tick += 1

    async def _keep_order(self, tick: int) -> None:
        if self._tasks and tick % int(RENEW_S) == 0:
            await self._holding.renew()
        if tick % 10 == 9:
            await self.adopt()
        if tick % FORGET_EVERY == 0:
            await self._holding.forget()
