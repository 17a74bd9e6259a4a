"""A buffer with a clock that the test moves, and the calls of a worker and a trainer."""

from datetime import datetime, timedelta

import orjson

from skyscale.buffer.admission import Draw
from skyscale.buffer.queries import GroupRow
from skyscale.buffer.service import BufferService
from skyscale.events.service import EventLog
from skyscale.store.engine import Database
from skyscale.wire.base import utc_now
from skyscale.wire.batches import SampleRequest
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

RUN = "rl-test"


def spec(**changes: object) -> RunSpec:
    return RunSpec.model_validate(
        {
            "run_id": RUN, "base_model": "skyscale/starter", "num_workers": 1, "gpu_model": "cpu",
            "provider": "local", "problem_set": "embedded", "difficulty": None,
            "algorithm": Algorithm(groups_per_step=2, max_staleness=1, group_size=2),
            "sampling": Sampling(max_new_tokens=32), "evaluation": Evaluation(num_problems=3, samples_per_problem=2),
            "mode": "async", "seed": 1, "max_steps": None, "max_hours": None, "target_reward": None,
            "max_concurrent_groups": 4, "checkpoint_every": 1, "keep_versions": 3,
        }
        | changes
    )  # fmt: skip


class Bench:
    """A buffer with a clock that the test moves, and the calls of a worker and a trainer."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = utc_now()
        self.requests = 0
        self.buffer = BufferService(database, EventLog(database), lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        self.now: datetime = self.now + timedelta(seconds=seconds)

    async def open(self, run: RunSpec) -> None:
        async with self.database.write() as connection:
            await self.buffer.open(connection, run)

    async def tickets(self, number: int, request_id: str | None = None) -> list[GroupRow]:
        self.requests += 1
        async with self.database.write() as connection:
            run = await self.buffer.load(connection, RUN, lock=True)
            return await self.buffer.admission.admit(
                connection, run, request_id or f"req-{self.requests}", number, 60.0, lambda n: Draw(f"p{n}", n)
            )

    async def push(self, ticket: GroupRow, *rewards: float, version: int | None = None) -> tuple[int, int]:
        reply = await self.buffer.push(group_json(ticket, rewards or (0.0, 1.0), version))
        return reply.accepted, reply.duplicates

    async def lease(self, number: int, lease_s: float = 30.0, wait_s: float = 0.0) -> tuple[str | None, list[str]]:
        request = SampleRequest(run_id=RUN, num_groups=number, lease_s=lease_s, trainer_id="t", wait_s=wait_s)
        reply = orjson.loads(await self.buffer.sample(request))
        return reply["lease_id"], [group["group_id"] for group in reply["groups"]]

    async def publish(self, version: int, *lease_ids: str) -> None:
        async with self.database.write() as connection:
            await self.buffer.published(connection, RUN, version, lease_ids)


def group_json(ticket: GroupRow, rewards: tuple[float, ...], version: int | None = None) -> bytes:
    token = {"completion_ids": [5], "logprobs": [-0.1], "versions": [ticket.version if version is None else version]}
    rows = [
        {"episode_id": f"{ticket.group_id}-{i}", "code": f"c{i}", "reward": reward, "outcome": "scored", **token}
        for i, reward in enumerate(rewards)
    ]
    group = {"run_id": ticket.run_id, "group_id": ticket.group_id, "problem_id": ticket.problem_id, "prompt_ids": [1]}
    return orjson.dumps(group | {"trajectories": rows})
