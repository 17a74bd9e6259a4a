"""Ends orphans: live jobs at a provider that carry our owner label and that no row knows.

- An orphan is reaped only after two sightings, `GRACE_S` apart: a start that is being recorded is none.
- Known is a row in a live state with this very provider and attempt; an older attempt of a known job is an orphan.
- A provider that does not answer is asked again next time; nothing is concluded from silence.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from skyscale.errors import SkyscaleError
from skyscale.jobs import queries
from skyscale.jobs.provider import Owned, Provider
from skyscale.store.engine import Database

log = logging.getLogger(__name__)

EVERY_S = 60.0
GRACE_S = 120.0
"""More than any start may take between the provider's yes and the row that says so."""
ASK_S = 30.0


class Reaper:
    """One loop over all providers that are ready."""

    def __init__(
        self,
        *,
        database: Database,
        providers: Mapping[str, Provider],
        grace_s: float = GRACE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._providers = providers
        self._grace_s = grace_s
        self._now = monotonic
        self._seen: dict[tuple[str, str, int], float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, first after a while: an adoption must not be mistaken for an orphan."""
        self._task = asyncio.create_task(self._run(), name="jobs.reaper")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> list[Owned]:
        """One round; what was ended in it."""
        ended: list[Owned] = []
        sighted: dict[tuple[str, str, int], float] = {}
        for name, provider in self._providers.items():
            if provider.missing() is not None:
                continue
            try:
                async with asyncio.timeout(ASK_S):
                    owned = await provider.owned()
            except (SkyscaleError, TimeoutError) as error:
                log.warning("%s does not say which jobs it has: %s", name, error)
                # What was seen before stays seen: silence is no evidence either way.
                sighted |= {key: at for key, at in self._seen.items() if key[0] == name}
                continue
            for orphan in await self._unknown(name, owned):
                key = (name, orphan.job_id, orphan.attempt)
                sighted[key] = self._seen.get(key, self._now())
                if key in self._seen and self._now() - sighted[key] >= self._grace_s:
                    await self._end(name, provider, orphan)
                    ended.append(orphan)
        self._seen = sighted
        return ended

    async def _unknown(self, name: str, owned: Sequence[Owned]) -> list[Owned]:
        if not owned:
            return []
        rows = await queries.live(self._db)
        known = {(row.view.job_id, row.facts.attempt) for row in rows if row.view.provider == name}
        return [each for each in owned if (each.job_id, each.attempt) not in known]

    async def _end(self, name: str, provider: Provider, orphan: Owned) -> None:
        log.warning("%s still has %s, attempt %d, which no row knows: ended", name, orphan.job_id, orphan.attempt)
        try:
            async with asyncio.timeout(ASK_S):
                await provider.stop(orphan.job_id, orphan.handle, 0)
        except (SkyscaleError, TimeoutError) as error:
            log.warning("%s: %s could not be ended: %s", name, orphan.job_id, error)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except Exception:
                log.exception("looking for orphans failed; trying again")
