"""Many simulated workers on one control plane: heartbeat, ticket, push; how quick the answers are, and where it ends.

    python perf/control_plane.py [--workers 1000] [--rate 200] [--seconds 30] [--database postgresql]
                                 [--no-ceiling]

Each worker has its own job token, beats its heart, asks for a ticket and pushes the group; all of them together make
`--rate` requests a second, at times that do not depend on the answers (an open loop: a slow answer does not slow the
next question, and waits are counted from when a request was due). Then the rate is raised until answers are late or
wrong: the ceiling. The control plane is a process of its own; the load comes from another one, on the same cores.

The last line is JSON: `errors`, `p50_ms`, `p99_ms`, `requests_per_s` (answered, over the sustained part), `by_kind`,
`cpu_percent` (of one core, the control plane alone), `load_cpu_percent`, `rss_mib`, `cores`,
`ceiling_requests_per_s`.
"""

import argparse
import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import psutil

from skyscale.auth.tokens import JobTokens, load_secret
from skyscale.buffer import queries as buffer_queries
from skyscale.buffer.rules import RunState
from skyscale.errors import SkyscaleError
from skyscale.jobs import queries as job_queries
from skyscale.runs import queries as run_queries
from skyscale.sdk.client import Client
from skyscale.store.engine import Database
from skyscale.wire.base import utc_now
from skyscale.wire.jobs import JobRole
from skyscale.wire.runs import RunSpec

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.postgres import PostgresServer, find_binaries

RUN = "rl-load"
GROUP_SIZE, TOKENS = 8, 32
JSON = {"content-type": "application/json"}
LATE_S = 0.1
"""The goal for the 99th percentile, and what the ceiling is measured against."""
CALL_S = 30.0
RAISE = 1.25
CEILING_STEP_S = 8.0
ORDER = ("heartbeat", "ticket", "heartbeat", "push")
"""Every ticket is pushed, and a worker beats twice for each."""


@dataclass
class Measured:
    """The answers of one stretch of time."""

    ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: float = 0.0

    def all_ms(self) -> list[float]:
        """Every latency, sorted."""
        return sorted(each for kind in self.ms.values() for each in kind)

    @property
    def num_errors(self) -> int:
        """Answers that were none."""
        return sum(self.errors.values())

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.all_ms()) / self.seconds if self.seconds else 0.0


def percentile(sorted_ms: list[float], share: float) -> float:
    """Nearest rank; 0 for nothing."""
    return round(sorted_ms[min(len(sorted_ms) - 1, int(share * len(sorted_ms)))], 2) if sorted_ms else 0.0


class Fleet:
    """The workers, and the tickets that they hold."""

    def __init__(self, url: str, workers: int, tokens: JobTokens, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session
        names = [job_id("worker", index) for index in range(workers)]
        self._jobs = [
            (name, {"authorization": f"Bearer {tokens.issue(name, RUN, JobRole.WORKER, 1)}", **JSON}) for name in names
        ]
        self._next = 0
        self._held: list[dict[str, object]] = []
        episode = {
            "code": "def f(x):\n    return x\n" * 4, "completion_ids": list(range(TOKENS)), "logprobs": [-0.5] * TOKENS,
            "versions": [0] * TOKENS, "outcome": "scored",
        }  # fmt: skip
        self._episodes = [episode | {"reward": float(index % 2)} for index in range(GROUP_SIZE)]

    def _worker(self) -> tuple[str, dict[str, str]]:
        self._next = (self._next + 1) % len(self._jobs)
        return self._jobs[self._next]

    async def heartbeat(self) -> None:
        """One worker says that it lives."""
        name, headers = self._worker()
        await self._call(f"/api/jobs/{name}/heartbeat", {"detail": "playing 4 groups", "metrics": {"x": 1.0}}, headers)

    async def ticket(self) -> None:
        """One worker asks for a group."""
        _, headers = self._worker()
        body = {"run_id": RUN, "request_id": secrets.token_hex(8), "num_groups": 1, "wait_s": 0}
        self._held += (await self._call("/api/rl/env/tickets", body, headers))["groups"]

    async def push(self) -> None:
        """One worker stores the group that was given out first."""
        if not self._held:
            return await self.ticket()
        ticket = self._held.pop(0)
        _, headers = self._worker()
        rows = [each | {"episode_id": f"{ticket['group_id']}.{i}"} for i, each in enumerate(self._episodes)]
        body = {
            "run_id": RUN, "group_id": ticket["group_id"], "problem_id": ticket["problem_id"],
            "prompt_ids": list(range(64)), "trajectories": rows,
        }  # fmt: skip
        await self._call("/api/rl/buffer/push", body, headers)
        return None

    async def _call(
        self, path: str, body: Mapping[str, object], headers: dict[str, str]
    ) -> dict[str, list[dict[str, object]]]:
        async with self._session.post(self._url + path, data=orjson.dumps(body), headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{answer.status} {content[:200]!r}")
            return orjson.loads(content)


async def load(fleet: Fleet, rate: float, seconds: float) -> Measured:
    """Requests at this rate for so long."""
    measured, pending = Measured(), set[asyncio.Task[None]]()
    calls: dict[str, Callable[[], Awaitable[None]]] = {
        "heartbeat": fleet.heartbeat, "ticket": fleet.ticket, "push": fleet.push,
    }  # fmt: skip
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(kind: str, due: float) -> None:
        try:
            async with asyncio.timeout(CALL_S):
                await calls[kind]()
        except (RuntimeError, aiohttp.ClientError, TimeoutError) as error:
            measured.errors[f"{kind}: {error}"[:200]] += 1
        else:
            measured.ms[kind].append((loop.time() - due) * 1000)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(ORDER[number % len(ORDER)], due))
        pending.add(task)
        task.add_done_callback(pending.discard)
    if pending:
        await asyncio.wait(pending, timeout=CALL_S + 5)
    measured.seconds = loop.time() - began
    return measured


def is_fine(measured: Measured, rate: float) -> bool:
    """Whether the control plane kept up."""
    late = percentile(measured.all_ms(), 0.99) >= LATE_S * 1000
    return not measured.errors and not late and measured.rate > 0.9 * rate


async def find_ceiling(fleet: Fleet, rate: float) -> tuple[float, dict[str, float]]:
    """The highest rate, by steps of a quarter, that was answered in time; and what the first one too many was like."""
    best = 0.0
    while True:
        measured = await load(fleet, rate, CEILING_STEP_S)
        if not is_fine(measured, rate):
            return round(best, 1), {
                "rate": round(rate, 1), "p99_ms": percentile(measured.all_ms(), 0.99), "errors": measured.num_errors
            }  # fmt: skip
        best, rate = measured.rate, rate * RAISE


async def prepare(database_url: str, spec: RunSpec, workers: int) -> None:
    """A run that is going on, with many slots; its jobs are rows, looked after like others, but nobody's processes."""
    now, database = utc_now(), Database(database_url)
    run: dict[str, object] = {
        "run_id": RUN, "request_sha256": "", "idempotency_key": None, "spec": spec.model_dump(mode="json"),
        "status": "running", "has_jobs": 1, "serving_version": 0, "newest_version": 0, "evaluation_asked": -1,
        "evaluation_done": -1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    names = [("trainer", 0), ("policy", 0), *(("worker", index) for index in range(workers))]
    async with database.write() as connection:
        await run_queries.insert_run(connection, run)
        await buffer_queries.insert_run(connection, spec, 10**9, RunState.OPEN)
        for role, index in names:
            row = {"job_id": job_id(role, index), "role": role, "index": index, "run_id": RUN, "provider": "elsewhere"}
            row |= {"gpu_model": "cpu", "max_attempts": 5, "desired": "run", "held": False, "status": "running"}
            row |= {"attempt": 1, "due_at": now, "created_at": now, "started_at": now, "metrics": {}}
            await job_queries.insert_job(connection, row)
    await database.close()


def job_id(role: str, index: int) -> str:
    """Of a job of the run."""
    return f"job-{role}-load-{index}"


@contextmanager
def control_plane(database: str) -> Generator[tuple[str, str, Path, psutil.Process]]:
    """URL, database URL, data folder and process of a fresh `skyscale serve`."""
    server: PostgresServer | None = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database_url = f"sqlite+aiosqlite:///{folder / 'skyscale.db'}"
        environment = dict(os.environ)
        if database == "postgresql":
            binaries = find_binaries()
            if binaries is None:
                sys.exit("PostgreSQL's server binaries are not on this machine")
            server = PostgresServer(binaries)
            server.start()
            database_url = environment["DATABASE_URL"] = server.url(server.create_database())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "skyscale.cli.main", "serve", "--port", str(port), "--data-dir", name]
        with (folder / "serve.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, folder / "serve.log")
            yield url, database_url, folder, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)
            if server is not None:
                server.stop()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    with Client(url, retry_for_s=0.0) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.health()
            except SkyscaleError:
                time.sleep(0.1)
            else:
                return
    raise TimeoutError(f"the control plane did not answer:\n{log.read_text()}")


async def resolved(session: aiohttp.ClientSession, url: str) -> RunSpec:
    """The default run's whole specification."""
    wanted = {"run_id": RUN, "dry_run": True, "evaluation": {"num_problems": 0}}
    async with session.post(f"{url}/api/rl/runs", json=wanted) as answer:
        body = await answer.json()
        if answer.status >= 300:
            raise RuntimeError(f"{answer.status} {body}")
        return RunSpec.model_validate(body["spec"])


async def measure(asked: argparse.Namespace) -> dict[str, object]:
    """The JSON's content."""
    with control_plane(asked.database) as (url, database_url, folder, process):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(CALL_S)) as session:
            await prepare(database_url, await resolved(session, url), asked.workers)
            tokens = JobTokens(load_secret(folder / "secrets"))
            fleet = Fleet(url, asked.workers, tokens, session)
            await load(fleet, min(asked.rate, 100.0), 3.0)
            before, mine, began = process.cpu_times(), time.process_time(), time.monotonic()
            measured = await load(fleet, asked.rate, asked.seconds)
            spent, after = time.monotonic() - began, process.cpu_times()
            cpu_s = after.user + after.system - before.user - before.system
            load_s = time.process_time() - mine
            result: dict[str, object] = {
                "errors": measured.num_errors,
                "p50_ms": percentile(measured.all_ms(), 0.5),
                "p99_ms": percentile(measured.all_ms(), 0.99),
                "requests_per_s": round(measured.rate, 1),
                "by_kind": {
                    kind: {
                        "requests": len(ms),
                        "p50_ms": percentile(sorted(ms), 0.5),
                        "p99_ms": percentile(sorted(ms), 0.99),
                    }
                    for kind, ms in measured.ms.items()
                },
                "first_errors": dict(list(measured.errors.items())[:3]),
                "cpu_percent": round(100 * cpu_s / spent, 1),
                "load_cpu_percent": round(100 * load_s / spent, 1),
                "rss_mib": process.memory_info().rss >> 20,
                "cores": len(os.sched_getaffinity(0)),
                "workers": asked.workers,
                "database": asked.database,
            }
            if not asked.no_ceiling:
                ceiling, beyond = await find_ceiling(fleet, asked.rate * RAISE)
                result |= {"ceiling_requests_per_s": ceiling or result["requests_per_s"], "beyond_the_ceiling": beyond}
            return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--no-ceiling", action="store_true")
    print(json.dumps(asyncio.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
