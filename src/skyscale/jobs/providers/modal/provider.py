"""Modal sandboxes through its client: one sandbox per attempt, named after it and tagged, in one app.

- Names are unique among an app's live sandboxes: a second creation is refused, and what is there is adopted.
- An image is built (pulled) before a sandbox is asked for, so that a slow registry is not taken for a lack of GPUs.
- The client waits while a GPU is awaited; after `CAPACITY_S` the sandbox is taken back.
- Modal ends a sandbox after a day at the latest. One with a GPU may be preempted: it is gone, as if killed.
- Tunnels are public and have TLS; what listens there must know its callers itself.
- The client has deadlines of its own that are minutes long; every question here has a shorter one.
"""

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from skyscale.errors import Invalid, NotFound, SkyscaleError, Unavailable
from skyscale.jobs import remote
from skyscale.jobs.gpus import MEMORY_GB
from skyscale.jobs.provider import Abilities, JobLaunch, NoCapacity, Offer, Owned, Refused, Setup, labels
from skyscale.jobs.providers.modal.asking import NotYet, Slow, Taken, asked
from skyscale.jobs.providers.modal.offers import SOLD, gpu_of
from skyscale.jobs.rules import Seen, external_name
from skyscale.settings import CloudSettings
from skyscale.wire.jobs import JobRole

if TYPE_CHECKING:
    import modal

ASK_S = 30.0
"""For one question."""
BUILD_S = 600.0
"""For an image that Modal has never seen."""
CAPACITY_S = 180.0
"""For a GPU; the client itself would wait 21 minutes."""
STOP_S = 30.0
MOST_S = 86400
"""Modal's own limit on a sandbox's life."""
LOG_ENTRIES = 1000
THROTTLE_S = "20"
SUCCESS = 1
"""`GENERIC_STATUS_SUCCESS` of Modal's protocol."""
END_ALL = ("sh", "-c", "kill -TERM 1; kill -TERM -1")
"""Run in the container: its first process may be shielded from the second."""


class ModalProvider:
    """Sandboxes of one app."""

    name = "modal"
    abilities = Abilities(
        gpu_models=frozenset(SOLD), runs_commands=True, runs_images=True, is_this_host=False, is_remote=True,
        maps_ports=True, python="python", start_s=BUILD_S + CAPACITY_S + 4 * ASK_S, quiet_s=900.0,
        gpu_capacities=frozenset({"preemptible"}),
    )  # fmt: skip
    capacity_s = CAPACITY_S
    ask_s = ASK_S

    def __init__(self, setup: Setup) -> None:
        self._owner = setup.owner
        self._settings = CloudSettings()
        self._creations = remote.Creations()
        self._opening = asyncio.Lock()
        self._opened: tuple[modal.Client, modal.App] | None = None

    def missing(self) -> str | None:
        """The SDK or the token."""
        if self._settings.modal_token_id is None or self._settings.modal_token_secret is None:
            return "set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET"
        return remote.sdk_missing("modal", "modal")

    async def start(self, launch: JobLaunch) -> str:
        """Create the attempt's sandbox, or adopt the one that an unheard call made."""
        gpu, image = gpu_of(launch), remote.image_of(launch)
        if not launch.command:
            raise Invalid("a Modal job needs a command: without one a sandbox sleeps", code="command_missing")
        return await self._creations.run(launch.job_id, lambda: self._create(launch, image, gpu))

    async def find(self, job_id: str, attempt: int) -> str | None:
        """By its name: the live one, else the last one that ended and is still remembered."""
        await self._creations.settled(job_id)
        return await self._find(job_id, attempt)

    async def poll(self, handle: str) -> Seen:
        """Running until it has an exit code."""
        try:
            async with asked(self.ask_s):
                box = await self._box(handle)
                code = await box.poll.aio()
        except NotFound:
            return Seen("unknown")
        if code is None:
            return Seen("running")
        return Seen("exited", remote.COULD_NOT_RUN if code == 0 and _is_modal_s_failure(box) else code)

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Ask every process in each of its sandboxes to end, terminate after the grace, wait until it is so."""
        await self._creations.settled(job_id)
        left = {f"{box.object_id}/0" for box in await self._boxes({"skyscale-job": job_id})}
        if handle is not None:
            left = {each for each in left if each.partition("/")[0] != handle.partition("/")[0]} | {handle}
        try:
            async with asyncio.timeout(STOP_S + grace_s):
                await asyncio.gather(*(self._end(each, grace_s) for each in left))
        except TimeoutError as error:
            raise Unavailable(f"sandboxes of {job_id} do not end", code="stop_failed") from error

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """Of the handle's sandbox, or without one of those that live."""
        handles = [handle] if handle else [each.handle for each in await self.owned() if each.job_id == job_id]
        texts = [
            remote.attempt_log(each.partition("/")[2], (await self._printed(each)).splitlines())
            for each in sorted(handles, key=lambda each: int(each.partition("/")[2]))
        ]
        return remote.newest("".join(texts), max_bytes)

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """From its tunnels."""
        try:
            async with asked(self.ask_s):
                tunnels = await (await self._box(handle)).tunnels.aio(timeout=int(self.ask_s / 2) or 1)
        except (NotFound, Unavailable):
            return {}
        return {port: tunnel.url for port, tunnel in tunnels.items()}

    async def inventory(self) -> Sequence[Offer]:
        """What Modal sells by our price list, once it has let us in; it does not tell how many are free."""
        await self._session()
        return [
            Offer(
                gpu_model=model, name=sold.name, memory_gb=sold.memory_gb or MEMORY_GB.get(model),
                usd_per_hour=sold.usd_per_hour,
            )
            for model, sold in SOLD.items()
        ]  # fmt: skip

    async def owned(self) -> Sequence[Owned]:
        """By the owner's tag."""
        found: list[Owned] = []
        for box in await self._boxes({}):
            with suppress(NotFound):  # it ended since it was listed
                async with asked(self.ask_s):
                    tags = await box.get_tags.aio()
                job_id, attempt = tags.get("skyscale-job"), tags.get("skyscale-attempt", "")
                if job_id and attempt.isdecimal():
                    found.append(Owned(job_id, int(attempt), f"{box.object_id}/{attempt}"))
        return found

    async def _create(self, launch: JobLaunch, image: str, gpu: str | None) -> str:
        known = await self._find(launch.job_id, launch.attempt)
        if known is not None:
            return known
        import modal

        client, app = await self._session()
        built = modal.Image.from_registry(image).entrypoint([])  # pyright: ignore[reportUnknownMemberType] - untyped
        async with asked(BUILD_S):
            await built.build.aio(app)
        secrets = [] if launch.role is JobRole.CUSTOM else [modal.Secret.from_name(name) for name in self._secrets()]
        try:
            async with asked(self.capacity_s):
                box = await modal.Sandbox.create.aio(  # pyright: ignore[reportUnknownMemberType] - untyped
                    *launch.command, app=app, client=client, name=launch.name, image=built, gpu=gpu, secrets=secrets,
                    tags=labels(self._owner, launch.job_id, launch.attempt), cpu=launch.cpus, memory=launch.memory_mb,
                    env={"PYTHONUNBUFFERED": "1", **launch.env, **launch.settings()},
                    timeout=min(MOST_S, max(1, math.ceil(launch.timeout_s))), encrypted_ports=list(launch.ports),
                )  # fmt: skip
        except Taken:
            known = await self._find(launch.job_id, launch.attempt)
            if known is None:
                raise
            return known
        except NotFound as error:
            raise Invalid(error.detail, code="job_refused") from error  # one of our secrets' names
        except Slow as error:
            await self._take_back(launch)
            raise NoCapacity(f"Modal had no {gpu or 'machine'} for {self.capacity_s:g} s") from error
        return f"{box.object_id}/{launch.attempt}"

    async def _take_back(self, launch: JobLaunch) -> None:
        """What was asked for in vain must not start later; that it cannot is known only when Modal says so."""
        left = await self._find(launch.job_id, launch.attempt)
        if left is not None:
            await self._end(left, 0)

    async def _find(self, job_id: str, attempt: int) -> str | None:
        import modal

        client, _ = await self._session()
        for ended_too in (False, True):
            with suppress(NotFound):
                async with asked(self.ask_s):
                    box = await modal.Sandbox.from_name.aio(
                        self._settings.modal_app, external_name(job_id, attempt), include_terminated=ended_too,
                        client=client,
                    )  # fmt: skip
                return f"{box.object_id}/{attempt}"
        return None

    async def _boxes(self, tags: Mapping[str, str]) -> list["modal.Sandbox"]:
        import modal

        client, app = await self._session()
        wanted = {"skyscale": self._owner, **tags}
        async with asked(self.ask_s):
            return [box async for box in modal.Sandbox.list.aio(app_id=app.app_id, tags=wanted, client=client)]

    async def _end(self, handle: str, grace_s: float) -> None:
        with suppress(NotFound):
            if grace_s > 0 and await self._ends_when_asked(handle, grace_s):
                return
            async with asked(self.ask_s):
                await (await self._box(handle)).terminate.aio()
        await self._gone(handle)

    async def _ends_when_asked(self, handle: str, grace_s: float) -> bool:
        """A container that cannot be asked (any more) is terminated all the same."""
        try:
            async with asyncio.timeout(grace_s), asked(5.0):
                await (await self._box(handle)).exec.aio(*END_ALL)
                await self._gone(handle)
        except (SkyscaleError, TimeoutError):
            return (await self.poll(handle)).state != "running"
        return True

    async def _gone(self, handle: str) -> None:
        while (await self.poll(handle)).state == "running":  # noqa: ASYNC110 - it is Modal that knows
            await asyncio.sleep(0.2)

    async def _printed(self, handle: str) -> str:
        try:
            async with asked(self.ask_s):
                box = await self._box(handle)
                return "".join([entry.message async for entry in box.logs.tail.aio(LOG_ENTRIES)])
        except (NotFound, NotYet):
            return ""

    async def _box(self, handle: str) -> "modal.Sandbox":
        import modal

        client, _ = await self._session()
        return await modal.Sandbox.from_id.aio(handle.partition("/")[0], client=client)

    def _secrets(self) -> list[str]:
        return [name.strip() for name in self._settings.modal_secrets.split(",") if name.strip()]

    async def _session(self) -> "tuple[modal.Client, modal.App]":
        """The client and the app, opened once."""
        missing, token = self.missing(), self._settings.modal_token_secret
        if missing is not None or token is None:
            raise Refused(f"Modal cannot be used: {missing}")
        async with self._opening:
            if self._opened is None:
                # Throttled, the client would try for ever.
                os.environ.setdefault("MODAL_MAX_THROTTLE_WAIT", THROTTLE_S)
                import modal

                async with asked(self.ask_s):
                    client = await modal.Client.from_credentials.aio(
                        self._settings.modal_token_id or "", token.get_secret_value()
                    )
                    app = await modal.App.lookup.aio(self._settings.modal_app, create_if_missing=True, client=client)
                self._opened = client, app
        return self._opened


def _is_modal_s_failure(box: "modal.Sandbox") -> bool:
    """Whether an exit code of 0 is none: Modal's own failures have that default, and the client hides their status."""
    inner = next((value for name, value in vars(box).items() if name.startswith("_sync_original")), None)
    status = getattr(getattr(getattr(inner, "_impl", None), "result", None), "status", SUCCESS)
    return status != SUCCESS
