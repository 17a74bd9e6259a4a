"""Hugging Face Jobs through `huggingface_hub`: one Job per attempt, found by its labels, since names are not unique.

- The API has no idempotency key: before a Job is created its labels are looked for, and what is found is adopted.
- `timeoutSeconds` is always sent; without it the Hub ends a Job after 30 minutes.
- All variables travel as secrets, which the Hub encrypts and shows to nobody; the image's own entry point is not used.
- Exposed ports are public: the Hub's proxy would consume the Authorization header that our own servers read.
- A stage, not an exit code, is what the Hub tells: the code is read from its message, else COULD_NOT_RUN.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from skyscale.errors import Invalid, ProtocolError, SkyscaleError, Unavailable
from skyscale.jobs import remote
from skyscale.jobs.gpus import NONE, Sold, offered, parse
from skyscale.jobs.provider import Abilities, JobLaunch, NoCapacity, Offer, Owned, Refused, Setup, labels
from skyscale.jobs.rules import Seen
from skyscale.settings import CloudSettings
from skyscale.wire.jobs import JobRole

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

T = TypeVar("T")
HTTP_S = 20.0
"""For one reply of the Hub; the client itself would wait for ever."""
STOP_S = 30.0
"""For a cancelled Job to reach a final stage."""
LOG_LINES = 2000
LIVE = ("SCHEDULING", "RUNNING")
SOLD: Mapping[str, Sold] = {
    "t4": Sold("t4-small", 0.40), "l4": Sold("l4x1", 0.80), "l40s": Sold("l40sx1", 1.80),
    "a10g": Sold("a10g-small", 1.00), "a100": Sold("a100-large", 2.50, 80), "a100-80": Sold("a100-large", 2.50),
    "h200": Sold("h200", 5.00), "rtx-pro-6000": Sold("rtx-pro-6000", 2.75),
}  # fmt: skip
"""Price list of 2026-08; `inventory` asks for today's."""
SEVERAL: Mapping[tuple[str, int], str] = {
    ("l4", 4): "l4x4", ("l40s", 4): "l40sx4", ("l40s", 8): "l40sx8", ("a10g", 2): "a10g-largex2",
    ("a10g", 4): "a10g-largex4", ("a100", 4): "a100x4", ("a100", 8): "a100x8", ("a100-80", 4): "a100x4",
    ("a100-80", 8): "a100x8", ("h200", 2): "h200x2", ("h200", 4): "h200x4", ("h200", 8): "h200x8",
    ("rtx-pro-6000", 2): "rtx-pro-6000x2", ("rtx-pro-6000", 4): "rtx-pro-6000x4",
    ("rtx-pro-6000", 8): "rtx-pro-6000x8",
}  # fmt: skip
CPU = (("cpu-basic", 2, 16_000), ("cpu-upgrade", 8, 32_000), ("cpu-xl", 16, 124_000), ("cpu-performance", 32, 256_000))
"""Flavor, cores, memory in MB; smallest first."""
EXIT_CODE = re.compile(r"exit code:? *(-?\d+)", re.IGNORECASE)


class HuggingFaceProvider:
    """Jobs of one namespace."""

    name = "huggingface"
    abilities = Abilities(
        gpu_models=frozenset(SOLD), runs_commands=True, runs_images=True, is_this_host=False, is_remote=True,
        may_queue=True, maps_ports=True, python="python", start_s=90.0, quiet_s=900.0,
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        self._owner = setup.owner
        self._settings = CloudSettings()
        self._creations = remote.Creations()
        self._made: HfApi | None = None

    def missing(self) -> str | None:
        """The SDK, the token or the namespace."""
        if self._settings.hf_token is None:
            return "set HF_TOKEN to a token that may start Jobs"
        if self._settings.hf_namespace is None:
            return "set SKYSCALE_HF_NAMESPACE to the user or organisation that pays"
        return remote.sdk_missing("huggingface_hub", "huggingface")

    async def start(self, launch: JobLaunch) -> str:
        """Create the attempt's Job, or adopt the one that an unheard call made; its id."""
        flavor = flavor_of(launch)
        image = remote.image_of(launch)
        if not launch.command:
            raise Invalid("a Job needs a command: the Hub does not use an image's own", code="command_missing")
        return await self._creations.run(launch.job_id, lambda: self._create(launch, image, flavor))

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The newest Job with the attempt's labels."""
        await self._creations.settled(job_id)
        return await self._find(job_id, attempt)

    async def poll(self, handle: str) -> Seen:
        """From the Job's stage."""
        try:
            return _seen(await self._ask(lambda api, space: api.inspect_job(job_id=handle, namespace=space)))
        except _Gone:
            return Seen("unknown")

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Cancel every live Job of it; how long its process has then to end is the Hub's choice, not `grace_s`'s."""
        await self._creations.settled(job_id)
        left: set[str] = {job.id for job in await self._jobs({"skyscale-job": job_id}, live=True)} | (
            {handle} if handle else set()
        )
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(self._cancel(each) for each in left))
        except TimeoutError as error:
            raise Unavailable(f"Jobs of {job_id} are not cancelled after {STOP_S:g} s", code="stop_failed") from error

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """Of all attempts that the Hub still lists."""
        text = ""
        for job in await self._jobs({"skyscale-job": job_id}, live=False):
            lines = await self._lines(job.id)
            why = job.status.message or ""
            if job.status.stage == "ERROR" and why and not EXIT_CODE.search(why):
                lines.append(why)  # nothing that the process printed says it
            text = remote.attempt_log((job.labels or {}).get("skyscale-attempt", "?"), lines) + text
            if len(text) >= max_bytes:
                break
        return remote.newest(text, max_bytes)

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """From the Job's exposed URLs, whose host name ends in `--<port>`."""
        try:
            job = await self._ask(lambda api, space: api.inspect_job(job_id=handle, namespace=space))
        except _Gone:
            return {}
        found = [(re.search(r"--(\d+)\.", url), url) for url in job.status.expose_urls or []]
        return {int(match[1]): url.rstrip("/") for match, url in found if match}

    async def inventory(self) -> Sequence[Offer]:
        """Flavors with one accelerator, at today's prices; the Hub does not tell how many are free."""
        ours = {sold.name: model for model, sold in SOLD.items()}
        return [
            Offer(
                gpu_model=ours[each.name], name=each.name, memory_gb=_gigabytes(each.accelerator.vram),
                usd_per_hour=round(each.unit_cost_usd * 60, 4) if each.unit_cost_usd else None,
            )
            for each in await self._ask(lambda api, _: api.list_jobs_hardware())
            if each.name in ours and each.accelerator
        ]  # fmt: skip

    async def owned(self) -> Sequence[Owned]:
        """By the owner label."""
        return [
            Owned(marks["skyscale-job"], int(marks["skyscale-attempt"]), job.id)
            for job in await self._jobs({}, live=True)
            if "skyscale-job" in (marks := job.labels or {}) and marks.get("skyscale-attempt", "").isdecimal()
        ]

    async def _create(self, launch: JobLaunch, image: str, flavor: str) -> str:
        known = await self._find(launch.job_id, launch.attempt)
        if known is not None:
            return known
        variables = dict(launch.env) | {"PYTHONUNBUFFERED": "1"} | launch.settings()
        if launch.role is not JobRole.CUSTOM and self._settings.hf_token is not None:
            variables["HF_TOKEN"] = self._settings.hf_token.get_secret_value()
        try:
            job = await self._ask(
                lambda api, space: api.run_job(
                    image=image, command=list(launch.command), secrets=variables, flavor=flavor, name=launch.name,
                    timeout=max(1, int(launch.timeout_s)), expose_public=list(launch.ports) or None, namespace=space,
                    labels=labels(self._owner, launch.job_id, launch.attempt),
                )
            )  # fmt: skip
        except _Gone as error:
            detail = f"Hugging Face knows no namespace {self._settings.hf_namespace!r}, or the token may not use it"
            raise Refused(detail) from error
        return job.id

    async def _find(self, job_id: str, attempt: int) -> str | None:
        marks = {"skyscale-job": job_id, "skyscale-attempt": str(attempt)}
        return next((job.id for job in await self._jobs(marks, live=False)), None)

    async def _jobs(self, marks: Mapping[str, str], *, live: bool) -> list["JobInfo"]:
        """Newest first; checked again here, whatever the Hub makes of several labels."""
        wanted = {"skyscale": self._owner, **marks}

        def listed(api: "HfApi", space: str) -> list["JobInfo"]:
            return list(
                api.list_jobs(labels=wanted, status=list(LIVE) if live else None, namespace=space, timeout=int(HTTP_S))
            )

        try:
            found = await self._ask(listed)
        except _Gone as error:
            raise Refused(f"Hugging Face knows no namespace {self._settings.hf_namespace!r}") from error
        ours = [job for job in found if wanted.items() <= (job.labels or {}).items()]
        return sorted(ours, key=lambda job: str(job.created_at), reverse=True)

    async def _cancel(self, handle: str) -> None:
        try:
            if (await self.poll(handle)).state not in ("pending", "running"):
                return
            await self._ask(lambda api, space: api.cancel_job(job_id=handle, namespace=space))
        except (_Gone, Invalid):
            pass  # it ended between the two calls; the stage decides
        while (await self.poll(handle)).state in ("pending", "running"):  # noqa: ASYNC110 - it is the Hub that knows
            await asyncio.sleep(0.2)

    async def _lines(self, handle: str) -> list[str]:
        def fetched(api: "HfApi", space: str) -> list[str]:
            return [line.rstrip("\n") for line in api.fetch_job_logs(job_id=handle, namespace=space, tail=LOG_LINES)]

        try:
            return await self._ask(fetched)
        except _Gone:
            return []

    async def _ask(self, call: Callable[["HfApi", str], T]) -> T:
        """One call of the client on a thread, with its errors told apart."""
        missing = self.missing()
        if missing is not None:
            raise Refused(f"Hugging Face Jobs cannot be used: {missing}")
        from httpx2 import HTTPError, InvalidURL
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return await asyncio.to_thread(lambda: call(self._api(), self._settings.hf_namespace or ""))
        except HfHubHTTPError as error:
            raise _told(error.response.status_code, str(error.server_message or error)) from error
        except (HTTPError, InvalidURL, OSError) as error:
            raise Unavailable(f"Hugging Face does not answer: {error or type(error).__name__}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"Hugging Face answered what is not a Job: {error!r}") from error

    def _api(self) -> "HfApi":
        if self._made is None:
            from httpx2 import Client, Timeout
            from huggingface_hub import HfApi, set_client_factory

            # The control plane's only user of this client, which has no deadline of its own and serves all of hub.
            set_client_factory(lambda: Client(follow_redirects=True, timeout=Timeout(HTTP_S)))
            token = self._settings.hf_token
            self._made = HfApi(
                endpoint=self._settings.hf_endpoint.rstrip("/"), token=token.get_secret_value() if token else False
            )
        return self._made


class _Gone(SkyscaleError):
    """The Hub does not know it (any more)."""


def flavor_of(launch: JobLaunch) -> str:
    """The hardware flavor for what is asked. Raises Invalid, with what there is, when it is not sold."""
    gpu = parse(launch.gpu_model)
    if gpu.model == NONE:
        fits = (name for name, cores, memory in CPU if cores >= launch.cpus and memory >= launch.memory_mb)
        return next(fits, CPU[-1][0])
    sold = offered(gpu, SOLD, "huggingface")
    assert sold is not None
    if gpu.count == 1:
        return sold.name
    flavor = SEVERAL.get((gpu.model, gpu.count))
    if flavor is None:
        counts = ", ".join(["1", *(str(count) for model, count in SEVERAL if model == gpu.model)])
        raise Invalid(f"gpu_model: huggingface sells {gpu.model} by {counts}, not {gpu.count}", code="gpu_count")
    return flavor


def _seen(job: "JobInfo") -> Seen:
    stage, message = str(job.status.stage), job.status.message or ""
    match stage:
        case "RUNNING":
            return Seen("running")
        case "COMPLETED":
            return Seen("exited", 0)
        case "CANCELED":
            return Seen("exited", remote.KILLED)
        case "DELETED":
            return Seen("unknown")
        case "ERROR":
            told = EXIT_CODE.search(message)
            if told:
                return Seen("exited", int(told[1]))
            return Seen("exited", remote.TIMED_OUT if "timeout" in message.lower() else remote.COULD_NOT_RUN)
        case _:
            return Seen("pending")  # SCHEDULING, and whatever the Hub may call its way there tomorrow


def _told(status: int, message: str) -> SkyscaleError:
    match status:
        case 404:
            return _Gone(message)
        case 401 | 402 | 403:
            return Refused(f"Hugging Face refuses ({status}): {message}")
        case 429:
            return NoCapacity(f"Hugging Face takes no more now: {message}")
        case _ if 400 <= status < 500:
            return Invalid(f"Hugging Face refuses the Job ({status}): {message}", code="job_refused")
        case _:
            return Unavailable(f"Hugging Face answered {status}: {message}")


def _gigabytes(text: str) -> int | None:
    number = re.match(r"\d+", text)
    return int(number[0]) if number else None
