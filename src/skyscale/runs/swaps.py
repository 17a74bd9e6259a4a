"""Bringing a run's policy server to the version that it should serve, at once and again until it does.

    publish commits --wake--> one task per run: read what is wanted -> POST {policy}/reload -> record what it cost

- Claim, act, apply: the reply is recorded only if the same policy server is still registered.
- A failed swap never stops anything: the server goes on with what it has, and we try again with back-off.
- The leader's tasks keep up; `swap` may be asked of any control plane. Should two cross, the coordinator sees what is
  served and has it put right.
- While a version is being evaluated that version is served; newer ones follow when the evaluation is complete.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from time import perf_counter

import httpx
from pydantic import ValidationError

from skyscale.auth.tokens import JobTokens
from skyscale.errors import ProtocolError, SkyscaleError, Unavailable
from skyscale.events.service import EventLog
from skyscale.runs import queries
from skyscale.runs.queries import RunRecord
from skyscale.runs.rules import ENDED
from skyscale.store.engine import AsyncConnection, Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.jobs import JobRole
from skyscale.wire.policies import EngineReload, EngineReloadReply, PolicyVersion

log = logging.getLogger(__name__)
SWAP_TIMEOUT_S = 600.0
"""A reload may have to fetch tens of gigabytes."""
BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


class Swaps:
    """One task per run that has something to swap."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        http: httpx.AsyncClient,
        clock: Callable[[], datetime],
        tokens: JobTokens,
    ) -> None:
        self._db = database
        self._events = events
        self._http = http
        self._clock = clock
        self._tokens = tokens
        self._is_open = True
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, asyncio.Event] = {}

    def open(self) -> None:
        """Keep up from now on, when woken."""
        self._is_open = True

    def wake(self, run_id: str) -> None:
        """Look at once whether this run's policy server is behind; nothing while closed, when another sees to it."""
        if not self._is_open:
            return
        self._wanted.setdefault(run_id, asyncio.Event()).set()
        if run_id not in self._tasks:
            task = asyncio.create_task(self._keep_up(run_id), name=f"swap {run_id}")
            self._tasks[run_id] = task
            task.add_done_callback(lambda done: self._forget(run_id, done))

    async def swap(self, run_id: str) -> EngineReloadReply | None:
        """Have the wanted version served now; None when it is already, or nobody is there to serve it.

        Raises Unavailable or ProtocolError when the policy server does not do it.
        """
        claim = await to_its_end(self._claim(run_id))
        if claim is None:
            return None
        run, version = claim
        assert run.policy_url is not None and version.manifest_uri is not None
        started = perf_counter()
        reply = await self._post(run, EngineReload(version=version.version, manifest_uri=version.manifest_uri))
        await to_its_end(self._apply(run, version, reply, (perf_counter() - started) * 1000))
        return reply

    async def close(self) -> None:
        """End all tasks, and begin no more."""
        self._is_open = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(run_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("swapping for %s ended", run_id, exc_info=task.exception())
        wanted = self._wanted.pop(run_id, None)
        if wanted is not None and wanted.is_set() and not task.cancelled():
            self.wake(run_id)

    async def _keep_up(self, run_id: str) -> None:
        wanted = self._wanted[run_id]
        failures = 0
        while wanted.is_set() or failures:
            wanted.clear()
            try:
                if await self.swap(run_id) is not None:
                    wanted.set()  # look again: another version may have been published meanwhile
                failures = 0
            except (Unavailable, ProtocolError) as error:
                failures += 1
                await to_its_end(self._failed(run_id, error, failures))
                await _pause(wanted, BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _claim(self, run_id: str) -> tuple[RunRecord, PolicyVersion] | None:
        async def look(connection: AsyncConnection) -> tuple[RunRecord, PolicyVersion] | None:
            run = await queries.get(connection, run_id)
            if run is None or run.status in ENDED or run.policy_url is None or run.policy_healthy_at is None:
                return None
            if run.version_to_serve in (0, run.serving_version):
                return None
            found = await queries.policy(connection, run_id, run.version_to_serve)
            return (run, found[0]) if found is not None else None

        return await self._db.read_at_once(look)

    async def _post(self, run: RunRecord, body: EngineReload) -> EngineReloadReply:
        url = f"{run.policy_url}/reload"
        try:
            answer = await self._http.post(
                url, json=body.model_dump(), timeout=SWAP_TIMEOUT_S, headers=self._credentials(run)
            )
            if answer.status_code != 200:
                raise Unavailable(
                    f"the policy server answered {answer.status_code} to reload: {answer.text[:300]}",
                    code="reload_failed",
                )
            return EngineReloadReply.model_validate_json(answer.content)
        except httpx.HTTPError as error:
            raise Unavailable(f"the policy server did not answer to reload: {error!r}", code="reload_failed") from error
        except ValidationError as error:
            raise ProtocolError("the policy server's reply to reload is not in the protocol") from error

    def _credentials(self, run: RunRecord) -> dict[str, str]:
        """The policy job's own token, which it alone shares with us; a server that an operator registered gets none."""
        if run.policy_job_id is None or run.policy_attempt is None:
            return {}
        token = self._tokens.issue(run.policy_job_id, run.run_id, JobRole.POLICY, run.policy_attempt)
        return {"Authorization": f"Bearer {token}"}

    async def _apply(self, run: RunRecord, version: PolicyVersion, reply: EngineReloadReply, swap_ms: float) -> None:
        lag_ms = (self._clock() - version.published_at).total_seconds() * 1000
        data: dict[str, object] = {
            "version": reply.version, "fetch_ms": reply.fetch_ms, "stall_ms": reply.stall_ms,
            "swap_ms": round(swap_ms, 2), "since_publish_ms": round(lag_ms, 2),
        }  # fmt: skip
        message = f"now serving version {reply.version}; decoding stood still for {reply.stall_ms:.1f} ms"

        async def note(connection: AsyncConnection) -> None:
            now = await queries.get(connection, run.run_id, lock=True)
            if now is None or (now.policy_url, now.policy_attempt) != (run.policy_url, run.policy_attempt):
                return
            await queries.change(connection, run.run_id, self._clock(), {"serving_version": reply.version})
            await self._events.append(
                connection, run_id=run.run_id, component="policy", kind="policy.swapped", message=message, data=data
            )

        await self._db.write_at_once(note)

    async def _failed(self, run_id: str, error: SkyscaleError, failures: int) -> None:
        if failures & (failures - 1):
            return  # the 1st, 2nd, 4th, 8th ... failure is told: a log, not a flood
        async with self._db.write() as connection:
            await self._events.append(
                connection, run_id=run_id, component="policy", kind="policy.swap_failed", level="warning",
                message=f"{error.detail}; attempt {failures}, trying again", data={"failures": failures},
            )  # fmt: skip


async def _pause(wanted: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wanted.wait()
    except TimeoutError:
        return
