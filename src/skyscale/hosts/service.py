"""Who is there: takes hosts' reports, keeps the rows, and gives up hosts that fell silent.

- The rows are the truth that several control planes share; `_hosts` is what this one needs without asking anybody.
- A process that reports from an address replaces the one that was there before: that one is lost at once.
- Reports are answered within a transaction of their own; nothing here waits for a host.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from skyscale.errors import Conflict, NotFound
from skyscale.hosts import queries, rules
from skyscale.hosts.client import HostClient
from skyscale.hosts.host import Host
from skyscale.hosts.queries import HostRow
from skyscale.sandboxes.layers import missing, missing_needed
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.base import utc_now
from skyscale.wire.hosts import HostList, HostReport, HostState, HostView

log = logging.getLogger(__name__)
REFRESH_S = 1.0
KEEP_ROWS = timedelta(days=2)
GOOD_BYE = "it stopped"


class HostService:
    """The register of sandbox hosts; belongs to one event loop."""

    def __init__(self, database: Database, *, token: str | None, now: Callable[[], datetime] = utc_now) -> None:
        """`token` is shared with the hosts; without one only this machine's own hosts are taken."""
        self._database = database
        self._token = token
        self._now = now
        self._hosts: dict[str, Host] = {}
        self._loop: asyncio.Task[None] | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Learn who is there, and begin to watch."""
        async with self._database.write() as connection:
            await queries.forget(connection, self._now() - KEEP_ROWS)
        await self.refresh()
        self._loop = asyncio.create_task(self._refresh_for_ever(), name="sandbox hosts")

    async def stop(self) -> None:
        """Let go of every host; they go on, and report to the next control plane."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for host in self._hosts.values():
            host.give_up("the control plane stopped")
            await host.client.close()
        self._hosts = {}

    async def refresh(self) -> None:
        """Read what others wrote, and give up who fell silent."""
        rows = await self._database.read_at_once(lambda connection: queries.rows(connection, is_open=True))
        for row in rows:
            self._learn(row.host_id, row.report, row.seen_at)
        silent = [row for row in rows if rules.is_silent(self._last_seen(row), self._now())]
        lost = [row.host_id for row, is_lost in zip(silent, await self._are_lost(silent), strict=True) if is_lost]
        if lost:
            await self._end(lost, HostState.LOST, f"it did not report for {rules.LOST_S:.0f} s, nor answer")
        for host_id in set(self._hosts) - {row.host_id for row in rows}:
            await self._drop(host_id, "another control plane gave it up, or it said good-bye")

    async def _are_lost(self, silent: list[HostRow]) -> list[bool]:
        """Each is asked, for it may be us who did not listen; a report may also have come meanwhile."""
        hosts = [self._hosts[row.host_id] for row in silent]
        answers = await asyncio.gather(*(host.client.answers_as(host.host_id) for host in hosts))
        now = self._now()
        return [
            rules.is_silent(host.seen_at, now) and rules.is_lost(host.seen_at, now, answers=is_there)
            for host, is_there in zip(hosts, answers, strict=True)
        ]

    def _last_seen(self, row: HostRow) -> datetime:
        host = self._hosts.get(row.host_id)
        return row.seen_at if host is None else max(row.seen_at, host.seen_at)

    async def _refresh_for_ever(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await to_its_end(self.refresh())
            except Exception:
                log.exception("the register of sandbox hosts could not be read; it is tried again")

    # -- reports -------------------------------------------------------------------------------------------------

    async def report(self, host_id: str, report: HostReport) -> None:
        """Register a host, or note how it fares.

        Raises:
            Invalid: an address that may not be called. Conflict: this host was given up; it must start anew.
        """
        rules.check_url(report.url, has_token=self._token is not None)
        await to_its_end(self._report(host_id, report))

    async def _report(self, host_id: str, report: HostReport) -> None:
        now = self._now()
        async with self._database.write() as connection:
            known = await queries.get(connection, host_id)
            if known is not None and known.state not in rules.OPEN:
                raise Conflict(f"host {host_id} is {known.state}: {known.reason}", code="host_given_up")
            replaced = await queries.at_url(connection, report.url, host_id)
            await queries.end(connection, replaced, HostState.LOST, "another process took its address")
            await queries.put(connection, host_id, report, now, is_new=known is None)
        for lost in replaced:
            await self._drop(lost, "another process took its address")
        if known is None:
            _tell_of(report)
        self._learn(host_id, report, now)

    async def leave(self, host_id: str) -> None:
        """A host says good-bye; again changes nothing. Raises NotFound."""
        async with self._database.read() as connection:
            known = await queries.get(connection, host_id)
        if known is None:
            raise NotFound(f"there is no sandbox host {host_id!r}", code="host_not_found")
        await to_its_end(self._end([host_id], HostState.GONE, GOOD_BYE))

    async def listed(self) -> HostList:
        """All hosts of the last days, those in use first."""
        async with self._database.read() as connection:
            rows = await queries.rows(connection, is_open=False)
        rows.sort(key=lambda row: row.state not in rules.OPEN)
        return HostList(hosts=[_view(row) for row in rows])

    # -- use -----------------------------------------------------------------------------------------------------

    @property
    def hosts(self) -> list[Host]:
        """The hosts in use, those that drain or are suspect included."""
        return list(self._hosts.values())

    def usable(self, but: Collection[str] = ()) -> list[Host]:
        """Hosts of which something may be asked now."""
        return [host for host in self._hosts.values() if host.is_usable and host.host_id not in but]

    def get(self, host_id: str) -> Host | None:
        """A host in use."""
        return self._hosts.get(host_id)

    def suspect(self, host: Host, error: Exception) -> None:
        """Ask it nothing until it reports again."""
        if not host.is_suspect:
            log.warning("sandbox host %s does not do its part: %s", host.report.name, error)
        host.is_suspect = True

    # -- keeping -------------------------------------------------------------------------------------------------

    def _learn(self, host_id: str, report: HostReport, seen_at: datetime) -> None:
        host = self._hosts.get(host_id)
        if host is None:
            self._hosts[host_id] = Host(host_id, report, seen_at, HostClient(report.url, self._token))
        elif seen_at > host.seen_at:
            host.heard(report, seen_at)

    async def _end(self, host_ids: list[str], state: HostState, reason: str) -> None:
        async with self._database.write() as connection:
            await queries.end(connection, host_ids, state, reason)
        for host_id in host_ids:
            await self._drop(host_id, reason)

    async def _drop(self, host_id: str, reason: str) -> None:
        host = self._hosts.pop(host_id, None)
        if host is None:
            return
        level = logging.INFO if reason == GOOD_BYE else logging.WARNING
        log.log(level, "sandbox host %s is not used any more: %s", host.report.name, reason)
        host.give_up(reason)
        await host.client.close()


def _tell_of(report: HostReport) -> None:
    log.info("sandbox host %s at %s joined with %d slots", report.name, report.url, report.slots)
    if lacking := missing_needed(report.layers):
        log.warning("sandbox host %s lacks isolation that unknown code needs: %s", report.name, ", ".join(lacking))


def _view(row: HostRow) -> HostView:
    said = row.report
    return HostView(
        host_id=row.host_id, name=said.name, url=said.url, version=said.version, state=row.state, slots=said.slots,
        backend=said.backend, workspaces=said.workspaces, max_sandboxes=said.max_sandboxes, layers=said.layers,
        missing_layers=missing(said.layers), judging=said.judging, judged_total=said.judged_total,
        open_sandboxes=len(said.sandboxes), registered_at=row.registered_at, seen_at=row.seen_at, reason=row.reason,
    )  # fmt: skip
