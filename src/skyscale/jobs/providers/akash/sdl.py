"""What is asked of Akash, as its deployment language (SDL 2.0), written as JSON, which is YAML. Pure.

- A service is started again whenever its container ends, and nothing tells with which code: the command runs below a
  shell that applies the time limit, prints how it ended, and then waits to be closed.
- A deployment needs one endpoint that the world reaches; a job without ports gets one where nobody listens.
- Ports are forwarded as TCP: Akash's HTTP ingress ends a request after a minute.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence

from skyscale.errors import Invalid
from skyscale.jobs.gpus import ANY, NONE, Sold, offered, parse
from skyscale.jobs.provider import JobLaunch

SERVICE = "job"
BLOCKS_PER_HOUR = 600
"""Akash charges by the block, one in about 6 s."""
MICRO = 1_000_000
MOST_HOURS = 48
"""The longest runtime limit that can be asked for."""
UNUSED_PORT = 8080
NAME = re.compile(r"^skyscale/([0-9a-f]{12})/([^/]+)/(\d+)$")
MARK = re.compile(r"^skyscale: ended with (\d+)$")
SOLD: Mapping[str, Sold] = {
    "t4": Sold("t4"), "l4": Sold("l4"), "l40s": Sold("l40s"), "a100": Sold("a100"), "a100-40": Sold("a100"),
    "a100-80": Sold("a100"), "h100": Sold("h100"), "h200": Sold("h200"), "b200": Sold("b200"),
    "rtx3060": Sold("rtx3060"), "rtx3090": Sold("rtx3090"), "rtx4090": Sold("rtx4090"), "rtx5090": Sold("rtx5090"),
}  # fmt: skip
"""No prices: providers bid, and `inventory` tells what they took lately."""
RAM = {"a100-40": "40Gi", "a100-80": "80Gi"}
RUNNER = """limit=$1; shift
"$@" &
child=$!
began=$(date +%s)
( sleep "$limit"; kill -TERM $child; sleep 10; kill -KILL $child ) >/dev/null 2>&1 &
watch=$!
trap 'kill -TERM $child 2>/dev/null' TERM INT
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
kill $watch 2>/dev/null
[ $(( $(date +%s) - began )) -lt "$limit" ] || code=124
trap 'exit 0' TERM INT
echo "skyscale: ended with $code"
while :; do sleep 1; done"""


def name_of(owner: str, job_id: str, attempt: int | None = None) -> str:
    """The name of an attempt's deployment; without an attempt, what begins the names of all of them."""
    return f"skyscale/{owner}/{job_id}/{'' if attempt is None else attempt}"


def hours_of(launch: JobLaunch) -> int:
    """The runtime limit that Akash itself applies: whole hours, at most two days."""
    return min(MOST_HOURS, max(1, math.ceil(launch.timeout_s / 3600)))


def usd_per_hour(price: Mapping[str, str]) -> float | None:
    """Dollars per hour of a price per block; None in a currency that is not a dollar's millionth."""
    if price.get("denom") not in ("uact", "uusdc"):
        return None
    return float(price["amount"]) * BLOCKS_PER_HOUR / MICRO


def sdl_of(launch: JobLaunch, image: str, max_usd_per_hour: float) -> str:
    """The deployment that runs the attempt. Raises Invalid for what Akash can never run."""
    if not launch.command:
        raise Invalid("an Akash job needs a command: it is run below a shell", code="command_missing")
    gpu = parse(launch.gpu_model)
    limit_s = min(MOST_HOURS * 3600, max(1, math.ceil(launch.timeout_s)))
    variables = {"PYTHONUNBUFFERED": "1"} | dict(launch.env) | launch.settings()
    service = {
        "image": image,
        "command": ["sh", "-c", RUNNER, "sh", str(limit_s)],
        "args": list(launch.command),
        "env": [f"{name}={value}" for name, value in variables.items()],
        "expose": [
            {"port": port, "as": port, "proto": "tcp", "to": [{"global": True}]}
            for port in (launch.ports or (UNUSED_PORT,))
        ],
    }
    resources: dict[str, object] = {
        "cpu": {"units": launch.cpus}, "memory": {"size": f"{launch.memory_mb}Mi"},
        "storage": [{"size": "32Gi" if gpu.model == NONE else "128Gi"}],
    }  # fmt: skip
    if gpu.model != NONE:
        resources["gpu"] = {"units": gpu.count, "attributes": {"vendor": {"nvidia": models_of(launch.gpu_model)}}}
    most = math.ceil(max_usd_per_hour * max(gpu.count, 1) * MICRO / BLOCKS_PER_HOUR)
    return json.dumps(
        {
            "version": "2.0",
            "services": {SERVICE: service},
            "profiles": {
                "compute": {SERVICE: {"resources": resources}},
                "placement": {"any": {"pricing": {SERVICE: {"denom": "uact", "amount": most}}}},
            },
            "deployment": {SERVICE: {"any": {"profile": SERVICE, "count": 1}}},
        }
    )


def models_of(gpu_model: str) -> list[dict[str, str]]:
    """Akash's models that would do, as an SDL lists them. Raises Invalid for one that nobody there has."""
    gpu = parse(gpu_model)
    if gpu.model == ANY:
        return [{"model": name} for name in sorted({sold.name for sold in SOLD.values()})]
    sold = offered(gpu, SOLD, "akash")
    assert sold is not None
    return [{"model": sold.name} | ({"ram": RAM[gpu.model]} if gpu.model in RAM else {})]


def code_in(lines: Sequence[str]) -> int | None:
    """The exit code that the runner printed; None while the command runs."""
    return next((int(found[1]) for line in reversed(lines) if (found := MARK.match(line))), None)


def without_mark(lines: Sequence[str]) -> list[str]:
    """What the command itself printed."""
    return [line for line in lines if not MARK.match(line)]
