"""Judging by the control plane itself, on one sandbox host, and on two: programs per second and a group's latency.

All of it on this machine, over loopback, so hosts cannot add cores here: what is measured is what the way costs. Groups
of 8 programs with 3 tests, 8 groups at once. Ends with one JSON line.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from skyscale.api.app import create_app
from skyscale.api.listening import listen, url_of
from skyscale.api.services import Services, running
from skyscale.hosts.judging import SpreadJudge
from skyscale.settings import Settings
from skyscale.wire.problems import Difficulty, Problem, Split

GROUP, AT_ONCE = 8, 8
PROBLEM = Problem(
    id="double", family="double", prompt="Double x.", difficulty=Difficulty.EASY, split=Split.TRAIN, style="calls",
    entry_point="f", test_cases=["assert f(3) == 6", "assert f(40) == 80", "assert f('ab') == 'abab'"],
)  # fmt: skip


@asynccontextmanager
async def control_plane(folder: Path) -> AsyncGenerator[Services]:
    """A control plane on a port of its own."""
    app = create_app(Settings(data_dir=folder))
    parts: Services = app.state.services
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    async with running(parts):
        task = asyncio.create_task(server.serve([listener]))
        parts.address.url = url_of("127.0.0.1", listener.getsockname()[1])
        try:
            yield parts
        finally:
            server.should_exit = True
            await task


async def add_host(parts: Services, folder: Path, name: str) -> asyncio.subprocess.Process:
    """One more host, ready."""
    wanted = len(parts.hosts.usable()) + 1
    command = ["-m", "skyscale.cli.main", "sandboxd", "--url", parts.address.url, "--port", "0"]
    command += ["--name", name, "--data-dir", str(folder / name), "--slots", "2"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(parts.hosts.usable()) < wanted:
        if time.monotonic() > deadline or process.returncode is not None:
            raise SystemExit(f"host {name} did not join")
        await asyncio.sleep(0.05)
    return process


async def rate(parts: Services, tag: str, num_groups: int) -> tuple[float, float]:
    """Programs per second, and the median latency of a group in milliseconds."""
    judge, gate, took = SpreadJudge(parts.hosts, parts.judge), asyncio.Semaphore(AT_ONCE), list[float]()

    async def group(index: int) -> None:
        async with gate:
            started = time.perf_counter()
            codes = [f"def f(x): return x * 2  # {tag} {index} {i}" for i in range(GROUP)]
            verdicts = await judge.judge_all(PROBLEM, codes)
            took.append(time.perf_counter() - started)
        assert all(verdict.reward == 1.0 for verdict in verdicts)

    started = time.perf_counter()
    await asyncio.gather(*(group(index) for index in range(num_groups)))
    return num_groups * GROUP / (time.perf_counter() - started), statistics.median(took) * 1000


async def measured(parts: Services, tag: str, num_groups: int) -> dict[str, float]:
    """The median of three rounds after one that warms up."""
    await rate(parts, f"{tag} warm", 5)
    rounds = [await rate(parts, f"{tag} {number}", num_groups) for number in range(3)]
    programs, latency = (statistics.median(values) for values in zip(*rounds, strict=True))
    return {"programs_per_s": round(programs, 1), "group_p50_ms": round(latency, 1)}


async def main(num_groups: int) -> None:
    """Measure, print."""
    hosts: list[asyncio.subprocess.Process] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with control_plane(folder / "control") as parts:
            try:
                found = {"own": await measured(parts, "own", num_groups)}
                for number, label in enumerate(("one_host", "two_hosts")):
                    hosts.append(await add_host(parts, folder, f"host-{number}"))
                    found[label] = await measured(parts, label, num_groups)
            finally:
                for host in hosts:
                    host.terminate()
                for host in hosts:
                    await host.wait()
    ratio = found["one_host"]["programs_per_s"] / found["own"]["programs_per_s"]
    print(json.dumps({**found, "one_host_ratio": round(ratio, 2)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=40)
    asyncio.run(main(parser.parse_args().groups))
