"""Push and leased-sample throughput of the experience buffer, durable on disk, as a table and one JSON line.

    python perf/buffer.py [--groups 2048] [--clients 1,8,64]

A real server process (uvicorn, SQLite with one fsync per commit) and a separate client process share the machine, as a
worker and the control plane do. Every reply to a push means that its group is on disk. Bodies are made before the clock
starts; tickets are asked for in advance, because admission is not what is measured.
"""

import argparse
import asyncio
import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import uvicorn
import uvloop

from skyscale.api.app import create_app
from skyscale.api.services import running
from skyscale.settings import Settings
from skyscale.store.migrate import upgrade
from skyscale.store.tables import metadata
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

RUN_ID = "rl-perf"
GROUP_SIZE = 8
PROMPT_TOKENS = 60
COMPLETION_TOKENS = 25
LEASE_GROUPS = 128
"""All leases of the phases together must stay under 64: nothing is published here, and each makes the rest older."""
START_S = 60.0


def spec() -> RunSpec:
    """A run with more slots than the benchmark pushes groups."""
    return RunSpec(
        run_id=RUN_ID, base_model="skyscale/starter", num_workers=1, gpu_model="cpu", provider="local",
        problem_set="embedded", difficulty=None,
        algorithm=Algorithm(group_size=GROUP_SIZE, groups_per_step=4096, max_staleness=64),
        sampling=Sampling(max_new_tokens=64), evaluation=Evaluation(num_problems=0), mode="async", seed=0,
        max_steps=None, max_hours=None, target_reward=None, max_concurrent_groups=64, checkpoint_every=1,
        keep_versions=3,
    )  # fmt: skip


def serve(folder: Path, port: int) -> None:
    """The server process: the whole app with one run open and none of the run's jobs."""
    app = create_app(Settings(data_dir=folder, port=port))
    parts = app.state.services

    async def main() -> None:
        await upgrade(parts.database)
        async with parts.database.write() as connection:
            await connection.run_sync(metadata.create_all)
            await parts.buffer.open(connection, spec())
        async with running(parts):
            config = uvicorn.Config(app, port=port, lifespan="off", log_level="warning", access_log=False)
            await _Server(config).serve()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class _Server(uvicorn.Server):
    """Ends by itself on SIGTERM, so that `running` can end the sandboxes."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Set the flag that ends `serve`; uvicorn would raise the signal again afterwards."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.handle_exit, signal.SIGTERM, None)
        yield


class Connection:
    """A keep-alive HTTP connection that costs the client's core as little as it can."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the reply."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        return int(lines[0].split()[1]), await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def connect(port: int) -> Connection:
    """A connection to the server."""
    return Connection(*await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024 * 1024))


def group_json(ticket: dict[str, str], rng: random.Random) -> bytes:
    """A push of the size that the starter model's runs have."""
    rows = [
        {
            "episode_id": f"{ticket['group_id']}-{i}",
            "code": f"def solve(values):\n    total = {i}\n    return sum(values) + total\n",
            "text": f"```python\ndef solve(values):\n    total = {i}\n    return sum(values) + total\n```",
            "completion_ids": [rng.randrange(512) for _ in range(COMPLETION_TOKENS)],
            "logprobs": [-rng.random() for _ in range(COMPLETION_TOKENS)],
            "versions": [0] * COMPLETION_TOKENS,
            "reward": i % 2 * 1.0,
            "outcome": "scored",
            "passed_tests": i % 2,
            "total_tests": 1,
        }
        for i in range(GROUP_SIZE)
    ]
    prompt = [rng.randrange(512) for _ in range(PROMPT_TOKENS)]
    named = {"run_id": RUN_ID, "group_id": ticket["group_id"], "problem_id": ticket["problem_id"]}
    return orjson.dumps(named | {"prompt_ids": prompt, "trajectories": rows})


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the table."""

    what: str
    clients: int
    trajectories_per_s: float
    p50_ms: float
    p99_ms: float


async def make_bodies(port: int, number: int, rng: random.Random) -> list[bytes]:
    """Tickets for so many groups, played."""
    connection = await connect(port)
    bodies: list[bytes] = []
    while len(bodies) < number:
        asked = {"run_id": RUN_ID, "request_id": f"perf-{rng.random()}", "num_groups": min(256, number - len(bodies))}
        status, reply = await connection.post("/api/rl/env/tickets", orjson.dumps(asked))
        assert status == 200, reply
        bodies += [group_json(ticket, rng) for ticket in orjson.loads(reply)["groups"]]
    connection.close()
    return bodies


async def measure_push(port: int, clients: int, bodies: list[bytes]) -> Measured:
    """Push all bodies by so many concurrent clients."""
    left = iter(bodies)
    latencies: list[float] = []

    async def client() -> None:
        connection = await connect(port)
        for body in left:
            started = time.perf_counter()
            status, reply = await connection.post("/api/rl/buffer/push", body)
            latencies.append(time.perf_counter() - started)
            assert status == 202, reply
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return measured("push", clients, len(bodies) * GROUP_SIZE, time.perf_counter() - started, latencies)


async def measure_lease(port: int, groups: int) -> Measured:
    """Lease everything in batches and ack each."""
    connection = await connect(port)
    latencies: list[float] = []
    started = time.perf_counter()
    for _ in range(groups // LEASE_GROUPS):
        asked = {"run_id": RUN_ID, "num_groups": LEASE_GROUPS, "lease_s": 60, "trainer_id": "perf"}
        call = time.perf_counter()
        status, reply = await connection.post("/api/rl/buffer/sample", orjson.dumps(asked))
        latencies.append(time.perf_counter() - call)
        batch = orjson.loads(reply)
        assert status == 200, reply
        assert batch["count"] == LEASE_GROUPS * GROUP_SIZE, "a full batch was due"
        acked = orjson.dumps({"run_id": RUN_ID, "lease_id": batch["lease_id"]})
        status, reply = await connection.post("/api/rl/buffer/ack", acked)
        assert status == 204, reply
    seconds = time.perf_counter() - started
    connection.close()
    return measured("lease+ack", 1, len(latencies) * LEASE_GROUPS * GROUP_SIZE, seconds, latencies)


def measured(what: str, clients: int, trajectories: int, seconds: float, latencies: list[float]) -> Measured:
    """Rate and percentiles of one phase."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return Measured(what, clients, trajectories / seconds, cuts[49] * 1e3, cuts[98] * 1e3)


async def run_clients(port: int, clients: list[int], groups: int) -> list[Measured]:
    """All phases, one after another; each begins with an empty queue."""
    rng = random.Random(0)
    rows: list[Measured] = []
    for number in clients:
        bodies = await make_bodies(port, groups, rng)
        rows.append(await measure_push(port, number, bodies))
        rows.append(await measure_lease(port, groups))
    return rows


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the port answers; raises TimeoutError."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    """Start the server, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--groups", type=int, default=2048, help="groups pushed per phase")
    parser.add_argument("--clients", default="1,8,64", help="concurrent clients of each phase")
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), int(options.serve[1]))
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([sys.executable, __file__, "--serve", folder, str(port)])
        try:
            wait_until_it_listens(port, process)
            rows = asyncio.run(run_clients(port, [int(n) for n in options.clients.split(",")], options.groups))
        finally:
            process.terminate()
            process.wait(30)
    report(rows)


def report(rows: list[Measured]) -> None:
    """The table, and the JSON line."""
    print(f"{'':10} {'clients':>8} {'trajectories/s':>15} {'p50 ms':>8} {'p99 ms':>8}")
    for row in rows:
        print(f"{row.what:10} {row.clients:8} {row.trajectories_per_s:15,.0f} {row.p50_ms:8.1f} {row.p99_ms:8.1f}")
    pushes = {row.clients: row for row in rows if row.what == "push"}
    eight = pushes.get(8, next(iter(pushes.values())))
    summary = {
        "durable_trajectories_per_s": round(eight.trajectories_per_s),
        "p99_ms_8_clients": round(eight.p99_ms, 2),
        "phases": [asdict(row) for row in rows],
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
