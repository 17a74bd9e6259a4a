"""Calls of a function, warm, cold and a hundred at once, beside a bare `python -c` of the same code in the same run.

The control plane is a process of its own on loopback; each call is HTTP, a fresh sandbox, a fresh interpreter, and the
result kept. Warm and bare calls alternate, so that both see the same machine; a warm call begins when two sandboxes are
ready. The bare side is the `python` that runs this, without any of that. Ends with one JSON line; times in ms.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from control_plane_process import control_plane

from skyscale.sdk.client import AsyncClient, Client
from skyscale.wire.functions import ExecutionView, FunctionDeploy, Invoke

CODE = "def handler(event):\n    return event['a'] + event['b']\n"
BARE = f"import json, sys\n{CODE}print(json.dumps(handler(json.load(sys.stdin))))\n"
BURST, AT_ONCE = 100, 4
READY_S = 20.0


def bare(number: int) -> float:
    """Milliseconds of one `python -c`."""
    began = time.perf_counter()
    given = json.dumps({"a": number, "b": 1}).encode()
    done = subprocess.run([sys.executable, "-c", BARE], input=given, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == number + 1
    return (time.perf_counter() - began) * 1000


def call(client: Client, name: str, number: int) -> tuple[float, ExecutionView]:
    """Milliseconds of one call, as the client sees it."""
    began = time.perf_counter()
    view = client.functions.invoke(name, Invoke(input={"a": number, "b": 1}))
    took = (time.perf_counter() - began) * 1000
    assert view.output == number + 1, view
    return took, view


def wait_ready(client: Client, name: str) -> None:
    """Until two sandboxes are ready."""
    deadline = time.monotonic() + READY_S
    while client.functions.get(name).num_warm < 2:
        if time.monotonic() > deadline:
            raise SystemExit("no sandbox became ready")
        time.sleep(0.01)


async def burst(url: str, name: str) -> tuple[list[float], int, float]:
    """Latencies of a hundred calls at once, how many failed, and seconds for all."""
    async with AsyncClient(url, timeout_s=120.0) as client:

        async def one(number: int) -> float | None:
            began = time.perf_counter()
            try:
                view = await client.functions.invoke(name, Invoke(input={"a": number, "b": 1}))
            except Exception:  # noqa: BLE001  whatever it is, it is a failure of the burst
                return None
            return (time.perf_counter() - began) * 1000 if view.output == number + 1 else None

        began = time.perf_counter()
        found = await asyncio.gather(*map(one, range(BURST)))
    return (
        [each for each in found if each is not None],
        sum(each is None for each in found),
        time.perf_counter() - began,
    )


def bare_burst() -> float:
    """Seconds for as many bare calls, as many at once as the control plane has slots."""
    began = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(bare, range(BURST)))
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    pairs = parser.parse_args().pairs
    with control_plane() as client:
        client.functions.deploy(FunctionDeploy(name="add", code=CODE))
        client.functions.deploy(FunctionDeploy(name="cold", code=CODE, warm=0))
        call(client, "cold", 0)  # the first sandbox of all starts the process that forks the others
        warm: list[float] = []
        plain: list[float] = []
        inside: list[float] = []
        cold = [call(client, "cold", number)[0] for number in range(max(5, pairs // 4))]
        call(client, "add", 0)
        for number in range(pairs):
            plain.append(bare(number))
            wait_ready(client, "add")
            took, view = call(client, "add", number)
            assert view.is_cold is False, "a warm call waited for its sandbox"
            warm.append(took)
            inside.append(view.duration_ms or 0.0)
        latencies, failures, seconds = asyncio.run(burst(client.transport.options.base_url, "add"))
        bare_seconds = bare_burst()
    result = {
        "warm_p50_ms": statistics.median(warm), "warm_p95_ms": statistics.quantiles(warm, n=20)[-1],
        "inside_p50_ms": statistics.median(inside), "bare_p50_ms": statistics.median(plain),
        "cold_p50_ms": statistics.median(cold), "burst_p95_ms": statistics.quantiles(latencies, n=20)[-1],
        "burst_per_s": BURST / seconds, "bare_burst_per_s": BURST / bare_seconds,
    }  # fmt: skip
    rounded: dict[str, float | int] = {key: round(value, 2) for key, value in result.items()}
    ratio = statistics.median(warm) / statistics.median(plain)
    print(json.dumps(rounded | {"warm_p50_ratio": round(ratio, 3), "burst_failures": failures}))


if __name__ == "__main__":
    main()
