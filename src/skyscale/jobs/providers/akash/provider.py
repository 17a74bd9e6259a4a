"""Akash through the Console API: one deployment per attempt, found by its name.

    create -> bids -> lease (from here on it costs money) -> status, logs -> close

- What has ended is billed until it is closed, so `owned` has it; Akash's own runtime limit (whole hours, at most two
  days) closes what no control plane closes. The time limit itself is applied in the container.
- A closed lease shows nothing: how it ended and its last lines are kept in the job's folder when it is closed.
- Variables are readable on the provider's machine: a job gets its own token and no secret of ours.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence

from skyscale.errors import SkyscaleError, Unavailable
from skyscale.jobs import remote
from skyscale.jobs.gpus import MEMORY_GB
from skyscale.jobs.provider import Abilities, JobLaunch, Offer, Owned, Refused, Setup
from skyscale.jobs.providers.akash import kept, sdl
from skyscale.jobs.providers.akash.bidding import Bidding
from skyscale.jobs.providers.akash.console import Console, Deployment, LeaseId
from skyscale.jobs.providers.akash.gateway import Gateway
from skyscale.jobs.rules import Seen
from skyscale.settings import CloudSettings

STOP_S = 30.0
FAILED_PULL = ("not found", "denied", "unauthorized", "manifest unknown", "invalid reference", "does not exist")
"""Words of a cluster about an image that trying again does not help."""


class AkashProvider:
    """Deployments of one Console account."""

    name = "akash"
    abilities = Abilities(
        gpu_models=frozenset(sdl.SOLD), runs_commands=True, runs_images=True, is_this_host=False, is_remote=True,
        may_queue=True, maps_ports=True, python="python", start_s=180.0, quiet_s=900.0,
    )  # fmt: skip
    pace_s = 2.0
    """Between two questions while something is awaited."""
    look_s = 10.0
    """Between two looks at a running job's log for its end."""

    def __init__(self, setup: Setup, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._owner = setup.owner
        self._dir = setup.jobs_dir
        self._settings = CloudSettings()
        self._now = monotonic
        self._creations = remote.Creations()
        key = self._settings.akash_api_key
        self._console = Console(self._settings.akash_api_url, key.get_secret_value() if key else "")
        self._gateway = Gateway(self._console, self._settings.akash_proxy_url, monotonic=monotonic)
        self._looked: dict[str, tuple[float, Seen]] = {}
        self._bidding = Bidding(self._console, self._settings.akash_max_usd_per_hour, self._settings.akash_bid_wait_s)

    def missing(self) -> str | None:
        """The API key."""
        if self._settings.akash_api_key is None:
            return "set AKASH_API_KEY to a key of an Akash Console account"
        return None

    async def start(self, launch: JobLaunch) -> str:
        """Deploy the attempt with the cheapest acceptable bid, or adopt what an unheard call deployed."""
        self._require_key()
        text = sdl.sdl_of(launch, remote.image_of(launch), self._settings.akash_max_usd_per_hour)
        return await self._creations.run(launch.job_id, lambda: self._create(launch, text))

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The live deployment of that name, else one that had a lease once."""
        self._require_key()
        await self._creations.settled(job_id)
        name = sdl.name_of(self._owner, job_id, attempt)
        for state in ("active", "closed"):
            for each in await self._console.deployments(name, state):
                if each.name == name and each.leases:
                    return _handle(each.dseq, job_id, attempt)
        return None

    async def poll(self, handle: str) -> Seen:
        """From the lease; while it is live, from what the container printed or its cluster says."""
        self._require_key()
        dseq, job_id, _ = _parse(handle)
        ended = await asyncio.to_thread(kept.kept, self._dir, job_id, dseq)
        if ended is not None:
            return Seen("exited", ended.code)
        there = await self._console.deployment(dseq)
        if there is None or not there.leases:
            return Seen("unknown")
        lease = there.lease
        if not there.is_active or lease is None:
            self._bidding.shun(job_id, there.leases[0].id.provider)
            return Seen("exited", remote.KILLED)
        status = lease.status
        if status is None:
            return Seen("pending")
        service = status.services.get(sdl.SERVICE)
        return await self._look(dseq, lease.id, is_up=service is not None and service.available > 0)

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Close every deployment of it, keeping its last words; the provider gives it its own grace."""
        self._require_key()
        await self._creations.settled(job_id)
        prefix = sdl.name_of(self._owner, job_id)
        found = {each.dseq: each for each in await self._console.deployments(prefix)}
        if handle is not None and (dseq := _parse(handle)[0]) not in found:
            there = await self._console.deployment(dseq)
            found |= {dseq: there} if there is not None else {}
        try:
            async with asyncio.timeout(STOP_S + grace_s):
                await asyncio.gather(*(self._close(job_id, dseq, grace_s) for dseq in found))
        except TimeoutError as error:
            raise Unavailable(f"deployments of {job_id} are not closed in time", code="stop_failed") from error

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """Of all attempts: what is kept here of closed ones, and what is there of live ones."""
        self._require_key()
        parts = await asyncio.to_thread(kept.all_kept, self._dir, job_id)
        told = {dseq: (ended.attempt, ended.lines) for dseq, ended in parts.items()}
        for each in await self._console.deployments(sdl.name_of(self._owner, job_id)):
            there = await self._console.deployment(each.dseq)
            found = sdl.NAME.match(each.name or "")
            if there is not None and there.lease is not None and found:
                told[each.dseq] = (int(found[3]), await self._lines(there))
        texts = [remote.attempt_log(attempt, lines) for attempt, lines in sorted(told.values())]
        return remote.newest("".join(texts), max_bytes)

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """From the lease's forwarded ports."""
        self._require_key()
        there = await self._console.deployment(_parse(handle)[0])
        status = there.lease.status if there is not None and there.lease is not None else None
        ports = status.forwarded_ports.get(sdl.SERVICE, []) if status else []
        return {each.port: f"http://{each.host}:{each.externalPort}" for each in ports if each.host}

    async def inventory(self) -> Sequence[Offer]:
        """Models of the network with what they cost lately."""
        self._require_key()
        names: dict[str, str] = {}
        for model, sold in sdl.SOLD.items():
            names.setdefault(sold.name, model)
        offers: list[Offer] = []
        for each in await self._console.models():
            if (model := names.get(each.model)) is not None:
                ram = "".join(filter(str.isdigit, each.ram or ""))
                offers.append(
                    Offer(
                        gpu_model=model, name=f"{each.model} {each.interface or ''}".strip(),
                        memory_gb=int(ram) if ram else MEMORY_GB.get(model),
                        usd_per_hour=(each.price.med or None) if each.price else None,
                        total=each.availability.total, available=each.availability.available,
                    )
                )  # fmt: skip
        return offers

    async def owned(self) -> Sequence[Owned]:
        """By name; with or without a lease, running or ended: all of it is there until it is closed."""
        self._require_key()
        marks = [
            (each, sdl.NAME.match(each.name or ""))
            for each in await self._console.deployments(f"skyscale/{self._owner}/")
        ]
        return [
            Owned(found[2], int(found[3]), _handle(each.dseq, found[2], int(found[3])))
            for each, found in marks
            if found and found[1] == self._owner
        ]

    async def _create(self, launch: JobLaunch, text: str) -> str:
        name = sdl.name_of(self._owner, launch.job_id, launch.attempt)
        dseq = await self._bidding.deploy(launch, name, text, self.pace_s)
        return _handle(dseq, launch.job_id, launch.attempt)

    async def _look(self, dseq: str, lease: LeaseId, *, is_up: bool) -> Seen:
        """Whether it is at work, from its log; from time to time only, since each look is a stream of its own."""
        at, before = self._looked.get(dseq, (float("-inf"), None))
        if before is not None and (before.state == "exited" or self._now() - at < self.look_s):
            return before
        try:
            if is_up:
                code = sdl.code_in(await self._gateway.lines(lease))
                seen = Seen("running") if code is None else Seen("exited", code)
            else:
                events = await self._gateway.events(lease)
                seen = Seen("exited", remote.COULD_NOT_RUN) if _no_image(events) else Seen("pending")
        except (SkyscaleError, TimeoutError):
            # A provider whose gateway does not answer still runs the job: heartbeats say more than its silence.
            seen = Seen("running" if is_up else "pending")
        self._looked[dseq] = (self._now(), seen)
        return seen

    async def _lines(self, there: Deployment) -> list[str]:
        lease = there.lease
        assert lease is not None
        service = lease.status.services.get(sdl.SERVICE) if lease.status else None
        if service is None or service.available == 0:
            return await self._gateway.events(lease.id) if lease.status else []
        return sdl.without_mark(await self._gateway.lines(lease.id))

    async def _close(self, job_id: str, dseq: str, grace_s: float) -> None:
        there = await self._console.deployment(dseq)
        if there is None or not there.is_active:
            return
        lines: list[str] = []
        following = await self._follow(there, lines)
        await self._console.close(dseq)
        while (there := await self._console.deployment(dseq)) is not None and there.is_active:  # noqa: ASYNC110
            await asyncio.sleep(self.pace_s)
        if following is not None:
            await asyncio.wait([following], timeout=grace_s + self.pace_s)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await self._keep(job_id, dseq, there, lines)

    async def _follow(self, there: Deployment, lines: list[str]) -> "asyncio.Task[None] | None":
        """Its log from now until it is gone: what it says on the way out can be read at no other time."""
        lease = there.lease
        if lease is None or lease.status is None:
            return None
        service = lease.status.services.get(sdl.SERVICE)
        if service is None or service.available == 0:
            lines += await self._quietly(lease.id)
            return None
        opened = asyncio.Event()
        task = asyncio.create_task(self._gateway.follow(lease.id, lines, opened))
        await asyncio.wait(
            [asyncio.ensure_future(opened.wait()), task], timeout=self.pace_s, return_when="FIRST_COMPLETED"
        )
        return task

    async def _quietly(self, lease: LeaseId) -> list[str]:
        try:
            return await self._gateway.events(lease)
        except (SkyscaleError, TimeoutError):
            return []

    async def _keep(self, job_id: str, dseq: str, there: Deployment | None, lines: list[str]) -> None:
        found = sdl.NAME.match((there.name if there else None) or "")
        if found is None:
            return
        code = sdl.code_in(lines)
        before = self._looked.pop(dseq, (0.0, Seen("unknown")))[1]
        if code is None:
            code = before.code if before.state == "exited" and before.code is not None else remote.KILLED
        ended = kept.Ended(int(found[3]), code, sdl.without_mark(lines))
        await asyncio.to_thread(kept.keep, self._dir, job_id, dseq, ended)

    def _require_key(self) -> None:
        missing = self.missing()
        if missing is not None:
            raise Refused(f"Akash cannot be used: {missing}")


def _handle(dseq: str, job_id: str, attempt: int) -> str:
    return json.dumps([dseq, job_id, attempt])


def _parse(handle: str) -> tuple[str, str, int]:
    dseq, job_id, attempt = json.loads(handle)
    return dseq, job_id, attempt


def _no_image(events: Sequence[str]) -> bool:
    words = [event.lower() for event in events if event.startswith(("Failed:", "InspectFailed:"))]
    return any("image" in word and any(why in word for why in FAILED_PULL) for word in words)
