"""From an SDL to a lease: create, wait for bids, take the cheapest that will do.

- A deployment is adopted only with a lease; one without is closed, since its manifest is lost with the reply.
- A bid above the price limit is never taken; a provider that failed a job is not asked again for that job.
- Whatever comes in between, a deployment that got no lease is closed.
"""

import asyncio
import time

from skyscale.errors import Conflict, Invalid, SkyscaleError, Unavailable
from skyscale.jobs.gpus import parse
from skyscale.jobs.provider import JobLaunch, NoCapacity, Refused
from skyscale.jobs.providers.akash import sdl
from skyscale.jobs.providers.akash.console import Bid, Console

COMPANY_ROUNDS = 2
"""So many looks at the bids once there is a first: cheaper ones come seconds later."""


class Bidding:
    """Deployments of one account; remembers for each job which providers failed it."""

    def __init__(self, console: Console, max_usd_per_hour: float, wait_s: float) -> None:
        self._console = console
        self._most = max_usd_per_hour
        self._wait_s = wait_s
        self._shunned: dict[str, set[str]] = {}

    def shun(self, job_id: str, provider: str) -> None:
        """Take no more bids of a provider for a job."""
        self._shunned.setdefault(job_id, set()).add(provider)

    async def deploy(self, launch: JobLaunch, name: str, text: str, pace_s: float) -> str:
        """The number of a leased deployment of that name: one that is there, or a new one.

        Raises Invalid, Refused or NoCapacity when nothing was leased; Unavailable when that is not known.
        """
        for each in await self._console.deployments(name):
            if each.name == name and each.lease is not None:
                return each.dseq
            if each.name == name:
                await self._console.close(each.dseq)
        dseq, manifest = await self._console.create(text, name, sdl.hours_of(launch))
        try:
            await self._lease(launch, dseq, manifest, pace_s)
        except SkyscaleError:
            # Should this fail too: the Console closes what has no lease in ten minutes, `stop` closes what has one.
            await self._console.close(dseq)
            raise
        return dseq

    async def _lease(self, launch: JobLaunch, dseq: str, manifest: str, pace_s: float) -> None:
        refusals: list[str] = []
        for bid in await self._bids(launch, dseq, pace_s):
            try:
                await self._console.lease(manifest, bid.id)
                return
            except (Invalid, Conflict) as error:
                refusals.append(str(error))
            except (Refused, NoCapacity):
                raise
            except Unavailable as error:
                there = await self._console.deployment(dseq)
                if there is not None and there.lease is not None:
                    await self._console.lease(manifest, there.lease.id)  # it may not have got its manifest
                    return
                refusals.append(str(error))
            self.shun(launch.job_id, bid.id.provider)
        raise NoCapacity(f"Akash: no bid for {launch.gpu_model} could be taken: {'; '.join(refusals)}")

    async def _bids(self, launch: JobLaunch, dseq: str, pace_s: float) -> list[Bid]:
        """Bids that will do, cheapest first."""
        until, rounds = time.monotonic() + self._wait_s, 0
        found, others = list[Bid](), 0
        while rounds < COMPANY_ROUNDS and time.monotonic() < until:
            bids = await self._console.bids(dseq)
            found = [bid for bid in bids if self._will_do(launch, bid)]
            others = len(bids) - len(found)
            rounds += bool(found)
            await asyncio.sleep(pace_s)
        if not found:
            why = f"; {others} bids were above {self._most:g} $/h or of providers that failed it" if others else ""
            raise NoCapacity(f"Akash: nobody can be had for {launch.gpu_model} in {self._wait_s:g} s{why}")
        return sorted(found, key=lambda bid: (float(bid.price["amount"]), bid.id.provider))

    def _will_do(self, launch: JobLaunch, bid: Bid) -> bool:
        price, count = sdl.usd_per_hour(bid.price), max(parse(launch.gpu_model).count, 1)
        return (
            bid.state == "open"
            and price is not None
            and price <= self._most * count
            and bid.id.provider not in self._shunned.get(launch.job_id, ())
        )
