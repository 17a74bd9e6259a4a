"""A control plane that is killed with -9 while it takes pushes: what it acknowledged is on disk."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skyscale.buffer import queries
from skyscale.store.engine import Database

CHILD = """
import asyncio, sys
from skyscale.store.engine import Database
from skyscale.store.tables import metadata
from skyscale.buffer.parsing import parse_push
from tests.service.buffer_bench import Bench, group_json, spec

async def main():
    database = Database(sys.argv[1])
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    bench = Bench(database)
    await bench.open(spec(algorithm={"groups_per_step": 4000, "group_size": 2}))

    async def client(is_judged):
        while True:
            (ticket,) = await bench.tickets(1)
            if is_judged:
                await bench.buffer.keep(parse_push(group_json(ticket, (0.0, 1.0))).groups[0], may_wait=True)
            else:
                await bench.push(ticket)
            print(ticket.group_id, flush=True)

    await asyncio.gather(*(client(sys.argv[2] == "judged") for _ in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["pushed", "judged"])
def test_every_acknowledged_push_survives_a_kill(tmp_path: Path, how: str) -> None:
    """Judged groups wait for one another before they are written."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'killed.db'}"
    command = [sys.executable, "-c", CHILD, url, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=os.environ) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().decode().strip() for _ in range(40)]
        child.kill()
        acknowledged += [line.decode().strip() for line in child.stdout if line.endswith(b"\n")]
    assert len(acknowledged) >= 40
    assert "" not in acknowledged
    assert asyncio.run(stored(url, acknowledged)) == set(acknowledged)


async def stored(url: str, group_ids: list[str]) -> set[str]:
    database = Database(url)
    async with database.read() as connection:
        found = await queries.load_payloads(connection, group_ids)
    await database.close()
    return set(found)
