"""A host's place in the world: it reports itself, does what it is told, and says good-bye.

- The first report joins; a control plane that restarts, or is not there yet, is simply told again.
- A host that was given up (it was silent for too long) starts again under a new id, without its sandboxes: somebody may
  have been told that they are lost.
"""

import asyncio
import logging

from skyscale.api.host.parts import HostParts
from skyscale.errors import SkyscaleError
from skyscale.sdk.call import Call, nothing, reading, to_json
from skyscale.sdk.job_transport import JobTransport
from skyscale.wire.base import new_id
from skyscale.wire.hosts import HostOrders

log = logging.getLogger(__name__)
REPORT_S = 2.0
CALL_S = 5.0
_PATH = "/api/sandboxes/hosts"


class Membership:
    """Keeps one control plane informed."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        token = parts.settings.token
        secret = token.get_secret_value() if token is not None else None
        self._transport = JobTransport(parts.settings.url, secret, CALL_S, 0.0)
        self._trouble = ""
        self._every_s = REPORT_S

    async def keep(self) -> None:
        """Report for ever; ends by being cancelled."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            self._parts.news.clear()
            if await self._report():
                heard_at = loop.time()
            await self._parts.boxes.sweep(loop.time() - heard_at)
            try:
                await asyncio.wait_for(self._parts.news.wait(), self._every_s)
            except TimeoutError:
                continue

    async def _report(self) -> bool:
        parts = self._parts
        call = Call(
            "PUT", f"{_PATH}/{parts.host_id}", reading(HostOrders), body=to_json(parts.report()), is_repeatable=False
        )
        try:
            orders = await self._transport.send(call)
        except SkyscaleError as error:
            await self._refused(error)
            return False
        if self._trouble:
            log.warning("the control plane at %s answers again", parts.settings.url)
        self._trouble, self._every_s = "", min(30.0, max(0.1, orders.report_every_s))
        await parts.boxes.drop(orders.drop)
        return True

    async def _refused(self, error: SkyscaleError) -> None:
        if error.code == "host_given_up":
            log.warning("this host was given up (%s): it starts again", error.detail)
            await self._parts.boxes.drop(self._parts.boxes.ids())
            self._parts.host_id = new_id("sbh")
            self._parts.news.set()
        elif error.detail != self._trouble:
            self._trouble = error.detail
            log.warning("the control plane does not take this host's report: %s (%s)", error.detail, error.hint)

    async def leave(self) -> None:
        """Say the last word and good-bye; a control plane that does not answer finds out by itself."""
        await self._report()
        call = Call("DELETE", f"{_PATH}/{self._parts.host_id}", nothing, is_repeatable=False)
        try:
            await self._transport.send(call)
        except SkyscaleError as error:
            log.warning("the control plane did not hear that this host leaves: %s", error.detail)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()
