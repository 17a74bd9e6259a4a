"""A policy server's duty to its control plane: say where it is, how it is, and follow the newest version.

Heartbeats go on while the model loads, so that a slow load is not taken for a dead job. The pointer in each reply is
what makes a missed `/reload` harmless: the next heartbeat catches up.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from skyscale.errors import Gone, SkyscaleError
from skyscale.policy.engine import EngineStats
from skyscale.policy.serving import Serving
from skyscale.sdk.jobs import JobClient
from skyscale.wire.jobs import Heartbeat, HeartbeatReply, JobAssignment

log = logging.getLogger(__name__)
ORPHANED_AFTER_S = 900.0
"""A control plane that is silent for so long does not come back: the process ends rather than be forgotten."""


class Duty:
    """Registers, reports and catches up until the job is told to end."""

    def __init__(self, client: JobClient, assignment: JobAssignment, serving: Serving) -> None:
        self._client, self._assignment, self._serving = client, assignment, serving
        self._rates = Rates(time.monotonic)
        self._catching_up: asyncio.Task[None] | None = None

    def first_heartbeat(self) -> HeartbeatReply:
        """Blocking: report the start and learn which version to load. Raises Gone if the job is not wanted."""
        return self._client.heartbeat(Heartbeat(detail="loading the model"))

    async def register(self, url: str) -> None:
        """Tell the control plane where requests may be sent."""
        await asyncio.to_thread(self._client.register_policy, self._assignment.run_id, url)

    async def run(self) -> None:
        """Heartbeats until the control plane says that the job must end, or is gone itself, or the engine breaks."""
        heard_at = time.monotonic()
        while time.monotonic() - heard_at < ORPHANED_AFTER_S:
            try:
                reply = await asyncio.to_thread(self._client.heartbeat, self._report())
            except Gone:
                return
            except SkyscaleError as e:
                # Serving goes on: rollouts under way are worth more than a report.
                log.warning("no heartbeat: %s", e.detail)
            else:
                heard_at = time.monotonic()
                if reply.desired == "finish":
                    return
                self._catch_up(reply)
            await asyncio.sleep(self._assignment.heartbeat_s)
        log.error("no word from the control plane for %d s: ending", ORPHANED_AFTER_S)

    def _report(self) -> Heartbeat:
        if self._serving.version is None:
            return Heartbeat(detail="loading the model")
        stats = self._serving.ready().engine.stats()
        detail = f"version {stats.version}: {stats.running} running, {stats.waiting} waiting"
        return Heartbeat(detail=detail, policy_version=stats.version, metrics=self._rates.since_last(stats))

    def _catch_up(self, reply: HeartbeatReply) -> None:
        serving = self._serving.version
        if serving is None or reply.manifest_uri is None or reply.policy_version <= serving:
            return
        if self._catching_up is None or self._catching_up.done():
            # Beside the heartbeats: a store that does not answer for a minute must not make this process look dead.
            self._catching_up = asyncio.create_task(self._reload(reply, reply.manifest_uri), name="catch up")

    async def _reload(self, reply: HeartbeatReply, manifest_uri: str) -> None:
        try:
            await self._serving.reload(reply.policy_version, manifest_uri)
        except SkyscaleError as e:
            log.error("version %d is not activated: %s", reply.policy_version, e.detail)


class Rates:
    """Counters turned into rates between two reports."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, EngineStats] | None = None
        self._last: tuple[float, EngineStats] | None = None

    def since_last(self, stats: EngineStats) -> dict[str, float]:
        """tokens_per_s, idle_share (0..1), running, waiting, swaps; rates cover the time since the call before.

        generated_tokens is a count since this process began, total_idle_share the share since the first call.
        """
        now = self._clock()
        result = {"running": float(stats.running), "waiting": float(stats.waiting), "swaps": float(stats.swaps)}
        if self._last is not None and now > self._last[0]:
            seconds = now - self._last[0]
            before = self._last[1]
            result["tokens_per_s"] = (stats.generated_tokens - before.generated_tokens) / seconds
            result["idle_share"] = min(1.0, (stats.idle_s - before.idle_s) / seconds)
        if self._first is None:
            self._first = now, stats
        elif now > self._first[0]:
            result["total_idle_share"] = min(1.0, (stats.idle_s - self._first[1].idle_s) / (now - self._first[0]))
        result["generated_tokens"] = float(stats.generated_tokens)
        self._last = now, stats
        return result
