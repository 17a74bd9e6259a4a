"""Jobs on a Ray cluster, through its Jobs API (KubeRay's included). Ray is a scheduler of our unchanged processes here.

- Plain HTTP: the control plane needs no Ray, and neither do the processes, which are the same as everywhere.
- The submission id is made from owner, job and attempt, so a repeated submission is refused by the cluster itself.
- `ray_runner.py` is each job's parent: it holds the hard limit. Ray stops a waiting job only when it begins: `stop`
  leaves that order with Ray, and the process, once it begins, is told by the control plane that it is not wanted.
- A node that dies takes its jobs along: they are `unknown`, which is lost and retried, and so are their logs.
- Jobs of one cluster are not isolated from each other, and its API shows their tokens: share it with nobody else.
"""

import asyncio
import json
import re
import shlex
import ssl
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpx

from skyscale import jobs
from skyscale.errors import Invalid, Unavailable
from skyscale.jobs import gpus
from skyscale.jobs.gpus import ANY, MEMORY_GB, Sold
from skyscale.jobs.provider import Abilities, JobLaunch, Offer, Owned, Refused, Setup, Unreachable, labels
from skyscale.jobs.rules import ATTEMPT_HEADER, Seen, external_name
from skyscale.settings import RaySettings
from skyscale.wire.jobs import JobRole

RUNNER = Path(jobs.__path__[0]) / "ray_runner.py"
CALL_S, CONNECT_S = 20.0, 5.0
STOP_S, LOOK_S = 30.0, 0.25
STOP_WAIT_S = 5
"""How long Ray waits between SIGTERM and SIGKILL; it takes this from the job's environment."""
COULD_NOT_RUN, STOPPED = 125, 143
"""Exit codes of what Ray could not start, and of what it stopped without telling a code."""
PREAMBLE = re.compile(r"\A(?:.* job_manager\.py.*\n)*Running entrypoint for job .*\n")
"""How Ray begins a log."""
OLDER_LOGS = 5
"""Earlier attempts whose output is shown too."""
LIVE = frozenset({"PENDING", "RUNNING"})
NOT_OURS = frozenset({"RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR"})
"""Troubles of starting, which another attempt will not cure by itself."""
GPUS: Mapping[str, Sold] = {
    "t4": Sold("T4"), "l4": Sold("L4"), "a10g": Sold("A10G"), "l40s": Sold("L40S"), "a100": Sold("A100"),
    "a100-40": Sold("A100-40G"), "a100-80": Sold("A100-80G"), "h100": Sold("H100"), "h200": Sold("H200"),
    "b200": Sold("B200"), "rtx-pro-6000": Sold("RTX-PRO-6000"),
}  # fmt: skip
"""Our name -> Ray's accelerator type; nodes of other cards are labelled by whoever starts them."""
TYPE = "accelerator_type:"
MARKET = "ray.io/market-type"
MARKETS: Mapping[str, str] = {"on_demand": "!spot", "preemptible": "spot"}
"""What a node's label must say; KubeRay and cloud launchers set it (RAY_NODE_MARKET_TYPE). Unlabelled is on demand."""


class RayProvider:
    """Processes on the nodes of one Ray cluster."""

    name = "ray"
    abilities = Abilities(
        gpu_models=frozenset({*MEMORY_GB, ANY}), runs_commands=True, runs_images=False, is_this_host=False,
        may_queue=True, shares_network=True, start_s=60.0, quiet_s=180.0, capacities=frozenset(MARKETS),
    )  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        self._owner = setup.owner
        self._settings = RaySettings()
        self.abilities = replace(self.abilities, python=self._settings.python)

    def missing(self) -> str | None:
        """The address of a cluster, while there is none."""
        return None if self._settings.address else "set RAY_API_SERVER_ADDRESS, for example http://head:8265"

    async def start(self, launch: JobLaunch) -> str:
        """Submit the attempt; its submission id. A repeated submission is the first one."""
        name = self._id(launch.job_id, launch.attempt)
        answer = await self._call("POST", "", json=self._submission(name, launch))
        if answer.status_code == 500 and await self._info(name) is not None:
            return name  # Ray refuses an id that it has
        if answer.status_code == 400 and "label_selector" in answer.text and launch.capacity is not None:
            raise Invalid("this Ray cluster is too old to choose nodes by capacity", code="capacity_not_offered")
        if answer.status_code in (400, 422):
            raise Invalid(f"Ray refuses this job: {_last_line(answer)}", code="ray_refuses")
        _require_ok(answer)
        return name

    async def find(self, job_id: str, attempt: int) -> str | None:
        """The attempt's submission id, when the cluster has it."""
        name = self._id(job_id, attempt)
        return name if await self._info(name) is not None else None

    async def poll(self, handle: str) -> Seen:
        """Waiting, running, or ended; unknown when the cluster forgot it or lost its node."""
        info = await self._info(handle)
        return Seen("unknown") if info is None else _seen(info)

    async def stop(self, job_id: str, handle: str | None, grace_s: float) -> None:
        """Have Ray stop it (SIGTERM, then SIGKILL after `STOP_WAIT_S`) and wait until it says so."""
        names = [handle] if handle else [each.handle for each in await self.owned() if each.job_id == job_id]
        await asyncio.gather(*(self._stop(name) for name in names))

    async def logs(self, job_id: str, handle: str | None, max_bytes: int) -> str:
        """What the attempts printed, oldest first; a node that is gone took its part along."""
        if handle is None:
            return ""
        newest = int(handle.rpartition("-a")[2])
        text = ""
        for attempt in range(newest, max(0, newest - 1 - OLDER_LOGS), -1):
            part = await self._log_of(self._id(job_id, attempt), must=attempt == newest)
            text = f"{ATTEMPT_HEADER}{attempt} ---\n{part}{text}" if part is not None else text
            if len(text) >= max_bytes:
                break
        return text.encode()[-max_bytes:].decode(errors="replace")

    async def addresses(self, handle: str) -> Mapping[int, str]:
        """None: nodes are reached by their own addresses, which processes tell."""
        return {}

    async def inventory(self) -> Sequence[Offer]:
        """The cluster's accelerators by type; those of nodes without a type are `any`."""
        answer = await self._get("/api/v0/nodes", {"detail": "1", "limit": "1000"})
        nodes = cast("list[dict[str, Any]]", answer.json()["data"]["result"]["result"])
        return _offers([node["resources_total"] for node in nodes if node["state"] == "ALIVE"])

    async def owned(self) -> Sequence[Owned]:
        """Our submissions that wait or run."""
        rows = cast("list[dict[str, Any]]", (await self._get("/api/jobs/")).json())
        marks = {row["submission_id"]: _labels(row) for row in rows if row["status"] in LIVE}
        return [
            Owned(mark["skyscale-job"], int(mark["skyscale-attempt"]), name)
            for name, mark in marks.items()
            if mark.get("skyscale") == self._owner
        ]

    def _id(self, job_id: str, attempt: int) -> str:
        return f"{self._owner}-{external_name(job_id, attempt)}"

    def _submission(self, name: str, launch: JobLaunch) -> dict[str, Any]:
        if not launch.command:
            raise Invalid("ray runs commands, not images: give `command`", code="command_missing")
        gpu = gpus.parse(launch.gpu_model)
        defaults = {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}
        runner = {
            "SKYSCALE_JOB_RUNNER": RUNNER.read_text(),
            "SKYSCALE_JOB_COMMAND": json.dumps(list(launch.command)),
            "SKYSCALE_JOB_TIMEOUT_S": str(launch.timeout_s),
            "SKYSCALE_JOB_ASK": str(int(launch.role is JobRole.CUSTOM)),
        }
        if launch.role is not JobRole.CUSTOM and gpu.count == 0:
            defaults["OMP_NUM_THREADS"] = str(max(1, round(launch.cpus)))
        python = shlex.quote(self._settings.python or sys.executable)
        wanted: dict[str, Any] = {
            "entrypoint": f'exec {python} -I -S -c "$SKYSCALE_JOB_RUNNER"',
            "submission_id": name,
            "metadata": labels(self._owner, launch.job_id, launch.attempt),
            "runtime_env": {"env_vars": defaults | dict(launch.env) | launch.settings() | runner},
            "entrypoint_num_gpus": gpu.count,
            # Where accelerators are, they are what is scarce: a node with few cores for each must not be shut out.
            "entrypoint_num_cpus": min(1.0, launch.cpus) if gpu.count else launch.cpus,
        }
        if gpu.count == 0:
            wanted["entrypoint_memory"] = launch.memory_mb * 1024 * 1024
        elif gpu.model != ANY:
            wanted["entrypoint_resources"] = {f"{TYPE}{_type_of(gpu.model)}": 0.001}
        if launch.capacity is not None:
            wanted["entrypoint_label_selector"] = {MARKET: MARKETS[launch.capacity]}
        return wanted

    async def _stop(self, name: str) -> None:
        async with asyncio.timeout(STOP_S):
            while True:
                info = await self._info(name)
                if info is None or info["status"] not in LIVE:
                    return
                answer = await self._call("POST", f"{name}/stop")
                if answer.status_code != 404:
                    _require_ok(answer)
                if info["status"] == "PENDING":
                    return  # Ray has the order, and no process of it runs
                await asyncio.sleep(LOOK_S)

    async def _log_of(self, name: str, *, must: bool) -> str | None:
        answer = await self._call("GET", f"{name}/logs")
        if answer.status_code == 404 or not (answer.is_success or must):
            return None
        _require_ok(answer)
        text = str(answer.json()["logs"])
        return PREAMBLE.sub("", text, count=1)

    async def _info(self, name: str) -> dict[str, Any] | None:
        answer = await self._call("GET", name)
        if answer.status_code == 404:
            return None
        _require_ok(answer)
        return cast("dict[str, Any]", answer.json())

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Response:
        async with self._http() as http, _told():
            answer = await http.get(path, params=dict(query or {}))
        _require_ok(answer)
        return answer

    async def _call(self, method: str, path: str, json: dict[str, Any] | None = None) -> httpx.Response:
        async with self._http() as http, _told():
            return await http.request(method, f"/api/jobs/{path}", json=json)

    def _http(self) -> httpx.AsyncClient:
        missing = self.missing()
        if missing is not None or self._settings.address is None:
            raise Refused(missing or "", hint="Set RAY_API_SERVER_ADDRESS.")
        token = self._settings.token
        return httpx.AsyncClient(
            base_url=self._settings.address,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else {},
            timeout=httpx.Timeout(CALL_S, connect=CONNECT_S),
            trust_env=False,
            verify=_trust(),
        )


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()  # read once: it takes longer than a call


@asynccontextmanager
async def _told() -> AsyncGenerator[None]:
    """Turn troubles of the line into ours: without a connection nothing was sent."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"no connection to the Ray cluster at {error.request.url.host}: {error}") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"Ray did not answer: {type(error).__name__} {error}", code="ray_silent") from error


def _require_ok(answer: httpx.Response) -> None:
    if answer.status_code in (401, 403):
        raise Refused(f"Ray answers {answer.status_code}: its token is missing or wrong", hint="Set RAY_AUTH_TOKEN.")
    if not answer.is_success:
        raise Unavailable(f"Ray answers {answer.status_code}: {_last_line(answer)}", code="ray_error")


def _seen(info: Mapping[str, Any]) -> Seen:
    match info["status"]:
        case "PENDING":
            return Seen("pending")
        case "RUNNING":
            return Seen("running")
        case "SUCCEEDED":
            return Seen("exited", 0)
        case "STOPPED":
            return Seen("exited", STOPPED)
        case _:
            if info.get("driver_exit_code") is not None:
                return Seen("exited", int(info["driver_exit_code"]))
            return Seen("exited", COULD_NOT_RUN) if info.get("error_type") in NOT_OURS else Seen("unknown")


def _offers(nodes: Sequence[Mapping[str, float]]) -> list[Offer]:
    names = {sold.name: model for model, sold in GPUS.items()}
    totals: dict[str, int] = {}
    for resources in nodes:
        types = [key.removeprefix(TYPE) for key in resources if key.startswith(TYPE)]
        if count := int(resources.get("GPU", 0)):
            totals[types[0] if types else ""] = totals.get(types[0] if types else "", 0) + count
    return [
        Offer(
            gpu_model=names.get(kind, kind.lower() or ANY), name=kind or "GPU",
            memory_gb=MEMORY_GB.get(names.get(kind, "")), usd_per_hour=None, total=total,
        )
        for kind, total in sorted(totals.items())
    ]  # fmt: skip


def _labels(row: Mapping[str, Any]) -> dict[str, str]:
    return cast("dict[str, str]", row["metadata"] or {})


def _type_of(model: str) -> str:
    return GPUS[model].name if model in GPUS else model.upper()


def _last_line(answer: httpx.Response) -> str:
    text = answer.text
    if text.startswith("{"):
        text = str(cast("dict[str, Any]", json.loads(text)).get("msg", text))
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:400] if lines else answer.reason_phrase
