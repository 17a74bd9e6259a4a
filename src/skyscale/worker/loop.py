"""The worker's life: heartbeats on one side, a bounded number of groups in flight on the other.

    heartbeat --> policy url, finish, 410          tickets --> play --> play --> ...
        |                                             ^ only while a policy server is known, slots are free,
        `---- moves the link, ends the loop ----------'  and the run wants more

- At most `max_concurrent_groups` groups are with the policy server and as many more being judged or pushed, so that
  the engine does not stand still while programs run. In synchronous mode one in all: ticket order is playing order.
- `finish`: no new tickets, what is in flight is played to its end, exit 0. 410: everything is dropped, exit 0.
- A control plane that stays silent for `ORPHANED_AFTER_S` ends the worker with exit code 1.
"""

import asyncio
import time
from contextlib import suppress

from skyscale.errors import Gone, SkyscaleError
from skyscale.sdk.jobs import AsyncJobClient
from skyscale.wire.base import new_id
from skyscale.wire.episodes import GroupTicket, TicketRequest
from skyscale.wire.jobs import Heartbeat, JobAssignment
from skyscale.worker.meter import Meter
from skyscale.worker.player import Player
from skyscale.worker.policy_link import PolicyLink

# Long enough for a control plane to be killed, replaced and migrated; short enough not to leave billed machines.
ORPHANED_AFTER_S = 300.0
TICKET_WAIT_S = 10.0
# Slots that become free within this time are asked for in one call.
GATHER_S = 0.02
# Two tickets of one call cost the control plane hardly more than one does: a free slot waits so long for a second one,
# where others keep the policy server busy meanwhile.
LOT, LOT_S = 2, 0.04
MANY_GROUPS = 8
POLICY_POLL_S = 0.1


class Worker:
    """Plays a run's groups until the control plane wants no more."""

    def __init__(self, client: AsyncJobClient, assignment: JobAssignment, *, heartbeat_s: float | None = None) -> None:
        spec = assignment.spec
        self._client = client
        self._run_id = assignment.run_id
        self._heartbeat_s = heartbeat_s or assignment.heartbeat_s
        is_synchronous = spec.mode == "synchronous"
        self._most_sampling = 1 if is_synchronous else spec.max_concurrent_groups
        self._most = 1 if is_synchronous else 2 * spec.max_concurrent_groups
        self._lot = LOT if self._most_sampling >= MANY_GROUPS else 1
        self._num_sampling = 0
        self._policy = PolicyLink()
        self._meter = Meter(time.monotonic())
        self._player = Player(client, self._policy, self._meter, spec=spec)
        self._player.component = f"worker-{assignment.index}"
        self._groups: set[asyncio.Task[None]] = set()
        self._slot_freed = asyncio.Event()
        self._is_finishing = False
        self._activity = "waiting for the policy server"

    async def run(self) -> int:
        """Work to the end; returns the process's exit code."""
        heart = asyncio.create_task(self._beat())
        rollouts = asyncio.create_task(self._roll_out())
        try:
            await asyncio.wait((heart, rollouts), return_when=asyncio.FIRST_COMPLETED)
            ended = heart if heart.done() else rollouts
            return ended.result()
        except Gone:
            return 0
        finally:
            tasks = {heart, rollouts, *self._groups}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._policy.close()

    async def _beat(self) -> int:
        last_heard = time.monotonic()
        while time.monotonic() - last_heard < ORPHANED_AFTER_S:
            metrics = self._meter.report(time.monotonic(), len(self._groups))
            try:
                reply = await self._client.heartbeat(
                    Heartbeat(detail=self._detail(), metrics=metrics), retry_for_s=3 * self._heartbeat_s
                )
            except Gone:
                raise
            except SkyscaleError:
                pass  # the loop's own deadline decides when silence has lasted too long
            else:
                last_heard = time.monotonic()
                self._policy.move_to(reply.policy_url)
                if reply.desired == "finish":
                    self._is_finishing = True
            await asyncio.sleep(self._heartbeat_s)
        return 1

    def _detail(self) -> str:
        num = len(self._groups)
        if self._is_finishing:
            return f"finishing {num} groups"
        return f"playing {num} group{'s' if num != 1 else ''}" if num else self._activity

    async def _roll_out(self) -> int:
        while not self._is_finishing:
            if not self._policy.is_known:
                await asyncio.sleep(POLICY_POLL_S)
            elif self._room() <= 0:
                await self._wait_for_slot()
            else:
                await self._wait_for_lot()
                if not self._is_finishing:
                    await self._take_tickets()
        while self._groups:
            await asyncio.wait(self._groups)
        await self._last_words()
        return 0

    def _room(self) -> int:
        return min(self._most_sampling - self._num_sampling, self._most - len(self._groups))

    async def _wait_for_slot(self) -> None:
        self._slot_freed.clear()
        await self._slot_freed.wait()
        if self._most > 1:
            await asyncio.sleep(GATHER_S)

    async def _wait_for_lot(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOT_S):
                while self._room() < self._lot and not self._is_finishing:
                    self._slot_freed.clear()
                    await self._slot_freed.wait()

    async def _take_tickets(self) -> None:
        self._activity = "waiting for a free slot in the buffer"
        request = TicketRequest(
            run_id=self._run_id,
            request_id=new_id("tr"),
            num_groups=min(256, self._room()),
            wait_s=min(TICKET_WAIT_S, self._heartbeat_s),
        )
        asked = time.monotonic()
        try:
            reply = await self._client.tickets(request)
        except Gone:
            raise
        except SkyscaleError as error:
            # Without tickets there is nothing to do but to ask again; the heartbeats decide when to give up.
            self._activity = f"no tickets: {error.detail}"[:200]
            await asyncio.sleep(self._heartbeat_s)
            return
        for ticket in reply.groups:
            self._start(ticket, asked)
        if not reply.groups:
            await asyncio.sleep(min(reply.retry_after_s, TICKET_WAIT_S))

    def _start(self, ticket: GroupTicket, asked: float) -> None:
        # The clock of a ticket starts before its reply arrives; counting from then errs on the early side at most.
        expires_at = max(asked, time.monotonic() - 2 * TICKET_WAIT_S) + ticket.expires_in_s
        self._num_sampling += 1
        task = asyncio.create_task(self._player.play(ticket, expires_at, self._sampled))
        self._groups.add(task)
        task.add_done_callback(self._ended)

    def _sampled(self) -> None:
        self._num_sampling -= 1
        self._slot_freed.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a defect: let the event loop's handler print it into the job's log

    async def _last_words(self) -> None:
        metrics = self._meter.report(time.monotonic(), 0)
        # All that was played is pushed: a control plane that does not hear this will see the process end.
        with suppress(SkyscaleError):
            await self._client.heartbeat(Heartbeat(detail="finished", metrics=metrics), retry_for_s=self._heartbeat_s)
