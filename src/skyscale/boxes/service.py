"""The life of interactive sandboxes: made within quotas, used by one program at a time, destroyed for certain.

- A row is written before anything is made, so that a crash between the two leaves a row that is reaped, never a
  process without a row. Processes end with their control plane (the kernel sees to it), files with the processes.
- The holder's lease on its rows is renewed by `sweep`; rows of a holder that is gone are destroyed by whoever sweeps.
- Destroying is idempotent, and wins over everything: a program that runs is ended.
- A sandbox on a host outlives a control plane that crashed: whoever sweeps becomes its holder. It fails with its host.
- Every control plane reaches sandboxes on hosts; those that one holds itself are used through that one (HeldElsewhere).
- What is written to the database is let to its end, whoever goes away meanwhile; `stop` waits for it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from skyscale.boxes import queries, rules
from skyscale.boxes.holder import HeldElsewhere, is_gone, own_name
from skyscale.boxes.places import Places
from skyscale.boxes.queries import SandboxRow
from skyscale.boxes.running import Running
from skyscale.errors import BadRequest, Conflict, Gone, NotFound, SandboxFailure, SkyscaleError, TooMany
from skyscale.sandboxes.workspace import Command, Workspace, WorkspaceBackend, WorkspaceBusy
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.base import new_id, utc_now
from skyscale.wire.sandboxes import ExecRequest, SandboxCreate, SandboxPage, SandboxStatus, SandboxView

T = TypeVar("T")
log = logging.getLogger(__name__)
LEASE_S = 15.0
RENEW_S = 5.0
LEARN_S = 5.0
STOP_S = 20.0
SWEEP_S = 1.0
KEEP_ROWS = timedelta(days=7)
MAX_MAKING = 4
"""Sandboxes that are made at once; more wait their turn."""
ENDED = (SandboxStatus.DESTROYED, SandboxStatus.FAILED)


@dataclass(slots=True)
class Box:
    """A sandbox that can be used from here."""

    row: SandboxRow
    workspace: Workspace
    last_used_at: datetime
    running: Running | None = field(default=None)


class BoxService:
    """Interactive sandboxes of this control plane, and the rows of all."""

    def __init__(
        self,
        database: Database,
        backends: Mapping[str, WorkspaceBackend],
        places: Places,
        *,
        max_open: int,
        max_total: int,
        name: str | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`name` is the control plane's among those on its database."""
        self._database = database
        self._backends = backends
        self._places = places
        self._max_open, self._max_total, self._now = max_open, max_total, now
        self._holder = name or own_name()
        self._boxes: dict[str, Box] = {}
        self._in_making: dict[str, str] = {}
        """Callers by id of what they wait for."""
        self._making = asyncio.Semaphore(MAX_MAKING)
        self._renewed_at: datetime | None = None
        self._loop: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[Any]] = set()
        """What uses the database; ended before it is closed."""

    @property
    def num_open(self) -> int:
        """Sandboxes that this control plane holds."""
        return len(self._boxes)

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """End what dead control planes left behind, and begin to sweep."""
        for backend in self._backends.values():
            await backend.start()
        async with self._database.write() as connection:
            await queries.forget(connection, self._now() - KEEP_ROWS)
        await self.sweep()
        self._loop = asyncio.create_task(self._sweep_for_ever(), name="sandbox sweeper")

    async def stop(self) -> None:
        """Destroy every sandbox that this control plane holds."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._work:  # of callers that went away
            await asyncio.wait(self._work, timeout=STOP_S)
        with contextlib.suppress(SkyscaleError):
            await self._destroy(list(self._boxes), "the control plane stopped")
        for backend in self._backends.values():
            await backend.stop()

    async def create(self, caller: str, request: SandboxCreate) -> SandboxView:
        """A ready sandbox.

        Raises:
            Invalid: this cannot be made here. TooMany: a quota is reached. Conflict: the id is another sandbox's.
            SandboxFailure: it could not be made.
        """
        rules.check_create(request, sorted(self._backends.keys() | self._places.backends()))
        self._check_own_quota(caller, request)
        now = self._now()
        row = SandboxRow(
            sandbox_id=request.sandbox_id or new_id("sb"), caller=caller, holder=self._holder,
            lease_until=now + timedelta(seconds=LEASE_S), status=SandboxStatus.STARTING, request=request,
            created_at=now, last_used_at=now, expires_at=now + timedelta(seconds=request.ttl_seconds),
        )  # fmt: skip
        known = await self._kept(self._insert(row))
        if known is not None:
            return self._same(known, caller, request)
        self._in_making[row.sandbox_id] = caller
        try:
            return await self._make(row)
        except BaseException as error:
            reason = f"it could not be made: {error}" if isinstance(error, SkyscaleError) else "it was not waited for"
            await self._kept(self._destroy([row.sandbox_id], reason))
            raise
        finally:
            self._in_making.pop(row.sandbox_id, None)

    async def _insert(self, row: SandboxRow) -> SandboxRow | None:
        """The row of that id that was there before."""
        async with self._database.write() as connection:
            known = await queries.get(connection, row.sandbox_id)
            if known is None:
                self._check_quota(row.caller, await queries.num_open(connection))
                await queries.insert_sandbox(connection, row)
        return known

    async def _make(self, row: SandboxRow) -> SandboxView:
        async with self._making:
            row, workspace = await self._make_somewhere(row)
        self._boxes[row.sandbox_id] = Box(row, workspace, self._now())
        if not await self._write(queries.set_ready, row.sandbox_id):
            raise Gone("it was destroyed while it was made", code="sandbox_destroyed")
        return self._shown(row)

    async def _make_somewhere(self, row: SandboxRow) -> tuple[SandboxRow, Workspace]:
        """On the host with the most room, on the next one if that fails, else here."""
        failure: SkyscaleError | None = None
        for host_id in self._places.order(row.request.backend):
            row = replace(row, host_id=host_id)
            await self._write(queries.set_host, row.sandbox_id, host_id)
            try:
                return row, await self._places.create(host_id, row.sandbox_id, row.request)
            except SkyscaleError as error:
                log.warning("host %s did not make sandbox %s: %s", host_id, row.sandbox_id, error)
                failure = error
        backend = self._backends.get(row.request.backend)
        if backend is None or self._num_here() >= self._max_total:
            raise failure or TooMany("no host has room for another sandbox", retry_after_s=5.0, code="sandbox_quota")
        if row.host_id is not None:
            row = replace(row, host_id=None)
            await self._write(queries.set_host, row.sandbox_id, None)
        return row, await backend.create(row.sandbox_id, rules.limits_of(row.request.limits))

    def _num_here(self) -> int:
        return sum(box.row.host_id is None for box in self._boxes.values())

    def _check_own_quota(self, caller: str, request: SandboxCreate) -> None:
        """Refuse without asking the database what this control plane's own sandboxes already use up."""
        own = {key: box.row.caller for key, box in self._boxes.items()} | self._in_making
        if request.sandbox_id not in own:
            self._check_quota(caller, Counter(own.values()))

    def _check_quota(self, caller: str, num_open: Mapping[str, int]) -> None:
        if num_open.get(caller, 0) >= self._max_open:
            raise TooMany(
                f"{self._max_open} sandboxes are open, which is your quota",
                retry_after_s=5.0, code="sandbox_quota", hint="Destroy some, or raise SKYSCALE_SANDBOX_MAX_OPEN.",
            )  # fmt: skip
        max_total = self._max_total + self._places.room()
        if sum(num_open.values()) >= max_total:
            raise TooMany(
                f"{max_total} sandboxes are open altogether",
                retry_after_s=5.0, code="sandbox_quota", hint="Try again later, or raise SKYSCALE_SANDBOX_MAX_TOTAL.",
            )  # fmt: skip

    def _same(self, known: SandboxRow, caller: str, request: SandboxCreate) -> SandboxView:
        if known.caller != caller or known.request != request:
            raise Conflict(f"sandbox id {known.sandbox_id!r} is taken by another request", code="sandbox_id_taken")
        return self._shown(known)

    async def destroy(self, caller: str, sandbox_id: str) -> None:
        """End it and forget its files; again changes nothing. Raises NotFound."""
        row = await self._row(caller, sandbox_id)
        if row.host_id is not None and row.status not in ENDED and sandbox_id not in self._boxes:
            await self._places.attach(row.host_id, sandbox_id).close()
        await self._kept(self._destroy([sandbox_id], "destroyed by its caller"))

    async def _destroy(
        self, sandbox_ids: list[str], reason: str, status: SandboxStatus = SandboxStatus.DESTROYED
    ) -> None:
        boxes = [self._boxes.pop(sandbox_id) for sandbox_id in sandbox_ids if sandbox_id in self._boxes]
        await asyncio.gather(*(box.workspace.close() for box in boxes))
        if sandbox_ids:
            async with self._database.write() as connection:
                await queries.set_ended(connection, sandbox_ids, self._now(), reason, status)

    async def _write(self, query: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """One statement in a transaction of its own."""

        async def work() -> T:
            async with self._database.write() as connection:
                return await query(connection, *arguments)

        return await self._kept(work())

    async def _kept(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which goes to its end even when the caller goes away; `stop` waits for it."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    # -- looking -------------------------------------------------------------------------------------------------

    async def get(self, caller: str, sandbox_id: str) -> SandboxView:
        """One sandbox, destroyed ones included. Raises NotFound."""
        return self._shown(await self._row(caller, sandbox_id))

    async def page(self, caller: str, *, is_open: bool | None, cursor: str | None, limit: int) -> SandboxPage:
        """A page of the caller's sandboxes, newest first. Raises BadRequest for a cursor that is not ours."""
        if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
            raise BadRequest("this cursor is not one of ours", hint="Use `next_cursor` of the page before.")
        before = int(cursor) if cursor else None
        rows = await self._read(queries.page, caller, is_open=is_open, before=before, limit=limit + 1)
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return SandboxPage(sandboxes=[self._shown(row) for _, row in rows[:limit]], next_cursor=more)

    async def _row(self, caller: str, sandbox_id: str) -> SandboxRow:
        row = await self._read(queries.get, sandbox_id)
        if row is None or row.caller != caller:
            raise NotFound(f"there is no sandbox {sandbox_id!r}", code="sandbox_not_found")
        return row

    async def _read(self, query: Callable[..., Coroutine[Any, Any, T]], *arguments: object, **named: object) -> T:
        async def work() -> T:
            async with self._database.read() as connection:
                return await query(connection, *arguments, **named)

        return await self._kept(work())

    def _shown(self, row: SandboxRow) -> SandboxView:
        """With what only its holder knows: whether it is busy, and when it was used."""
        view, box = row.view(), self._boxes.get(row.sandbox_id)
        if box is None:
            return view
        status = SandboxStatus.READY if box.running is None else SandboxStatus.BUSY
        return view.model_copy(update={"status": status, "last_used_at": box.last_used_at})

    # -- use -----------------------------------------------------------------------------------------------------

    async def start_exec(self, caller: str, sandbox_id: str, request: ExecRequest) -> Running:
        """A program that has been started; wait for its `result()` or follow its `events()`.

        Raises:
            Invalid: no such program can be. NotFound, Gone: no such sandbox. WorkspaceBusy: another one is running.
        """
        rules.check_exec(request)
        box = await self.use(caller, sandbox_id)
        if box.running is not None:
            raise WorkspaceBusy(f"sandbox {sandbox_id} is busy: it runs one program at a time")
        command = Command(
            code=request.code,
            language=request.language or box.row.request.runtime,
            timeout_s=request.timeout_seconds,
            stdin=request.stdin,
        )
        box.running = Running(box.workspace, command, lambda: self._ended(box))
        return box.running

    def _ended(self, box: Box) -> None:
        box.running = None
        box.last_used_at = self._now()

    async def use(self, caller: str, sandbox_id: str) -> Box:
        """A sandbox to work with; it counts as used now.

        Raises:
            NotFound, Gone: there is none. Conflict: it is not ready yet. HeldElsewhere: another control plane has it.
        """
        box = self._boxes.get(sandbox_id)
        if box is not None and box.row.caller == caller:
            if not box.workspace.is_alive:
                await self._kept(self._destroy([sandbox_id], "it broke: its first process ended or did not answer"))
                raise SandboxFailure(f"sandbox {sandbox_id!r} broke and was destroyed", hint="Make another one.")
            box.last_used_at = self._now()
            return box
        row = await self._row(caller, sandbox_id)
        if row.status in ENDED:
            raise Gone(
                f"sandbox {sandbox_id!r} {_ENDED_HOW[row.status]}: {row.reason}",
                code=f"sandbox_{row.status.value}", hint="Make another.",
            )  # fmt: skip
        is_starting = row.status == SandboxStatus.STARTING and row.host_id is not None
        if is_starting or (row.holder == self._holder and row.host_id is None):
            raise Conflict(f"sandbox {sandbox_id!r} is being made", code="sandbox_starting", hint="Try again.")
        if row.host_id is not None:
            await self._write(queries.touch, sandbox_id, self._now())
            return Box(row, self._places.attach(row.host_id, sandbox_id), self._now())
        raise HeldElsewhere(sandbox_id, row.holder)

    async def unwanted(self, host_id: str, sandbox_ids: Collection[str]) -> list[str]:
        """Of what a host says it holds, what is not open there any more."""
        return sorted(set(sandbox_ids) - await self._read(queries.open_on, host_id)) if sandbox_ids else []

    # -- keeping order -------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Destroy what has expired, was idle, broke, or belonged to a control plane that is gone; renew our lease."""
        now = self._now()
        for sandbox_id, box in list(self._boxes.items()):
            reason = rules.why_destroy(
                now, expires_at=box.row.expires_at, last_used_at=box.last_used_at, is_alive=box.workspace.is_alive,
                idle_s=box.row.request.idle_seconds, is_busy=box.running is not None or box.workspace.is_busy,
            )  # fmt: skip
            if reason is not None:
                await self._destroy([sandbox_id], reason)
        held = list(self._boxes)  # before the look: each of these has a row
        rows = await self._database.read_at_once(queries.open_rows)
        # Rows that are closed though we hold them: another control plane was told to destroy them.
        await self._destroy(sorted(set(held) - {row.sandbox_id for row in rows}), "destroyed by its caller")
        lost = [row.sandbox_id for row in rows if self._is_lost(row, now)]
        if lost:
            await self._destroy(lost, "the sandbox host that held it is lost", SandboxStatus.FAILED)
        await self._take_over([row for row in rows if row.sandbox_id not in lost and self._is_orphan(row, now)], now)
        self._note_uses(rows)
        await self._renew(now)

    async def _take_over(self, orphans: list[SandboxRow], now: datetime) -> None:
        """Become the holder of what is on a host; end the rest."""
        hosted = [row for row in orphans if row.host_id is not None and row.status == SandboxStatus.READY]
        for row in hosted:
            async with self._database.write() as connection:
                is_ours = await queries.adopt(connection, row, self._holder, now + timedelta(seconds=LEASE_S))
            if is_ours and row.host_id is not None:
                workspace = self._places.attach(row.host_id, row.sandbox_id)
                self._boxes[row.sandbox_id] = Box(replace(row, holder=self._holder), workspace, row.last_used_at)
        ended = [row.sandbox_id for row in orphans if row not in hosted]
        if ended:
            await self._destroy(ended, "its control plane ended")

    def _note_uses(self, rows: list[SandboxRow]) -> None:
        """Of our sandboxes on hosts by other control planes."""
        for row in rows:
            box = self._boxes.get(row.sandbox_id)
            if box is not None and row.last_used_at > box.last_used_at:
                box.last_used_at = row.last_used_at

    def _is_orphan(self, row: SandboxRow, now: datetime) -> bool:
        return is_gone(row.holder, row.lease_until, own=self._holder, now=now)

    def _is_lost(self, row: SandboxRow, now: datetime) -> bool:
        """Whether its host is; a host that joined elsewhere a moment ago is not known here yet."""
        is_known = now - row.created_at > timedelta(seconds=LEARN_S)
        return row.host_id is not None and is_known and self._places.is_lost(row.host_id)

    async def _renew(self, now: datetime) -> None:
        due = self._renewed_at is None or now - self._renewed_at >= timedelta(seconds=RENEW_S)
        if not self._boxes or not due:
            return
        used = {key: box.last_used_at for key, box in self._boxes.items() if box.last_used_at != box.row.last_used_at}
        async with self._database.write() as connection:
            await queries.renew(connection, self._holder, now + timedelta(seconds=LEASE_S), used)
        self._renewed_at = now

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await to_its_end(self.sweep())
            except Exception:
                log.exception("a sweep over sandboxes failed; the next one looks at everything again")


_ENDED_HOW = {SandboxStatus.DESTROYED: "was destroyed", SandboxStatus.FAILED: "failed"}
