"""Heartbeats share a transaction; what one job says of itself is no other job's trouble."""

import asyncio

import pytest
from sqlalchemy import update

from skyscale.errors import Invalid
from skyscale.store.tables.jobs import jobs
from skyscale.wire.jobs import Heartbeat, JobRole
from tests.service.jobs.conftest import House


@pytest.mark.parametrize("version", [-1, 2**31, 2**70])
async def test_a_version_that_cannot_be_stored_is_refused_alone(house: House, version: int) -> None:
    strange, honest = await house.add(JobRole.POLICY), await house.add(JobRole.WORKER)
    async with house.db.write() as connection:
        await connection.execute(update(jobs).values(status="running", attempt=1))
    refused, heard = await asyncio.gather(
        house.service.heartbeat(strange, 1, Heartbeat(policy_version=version)),
        house.service.heartbeat(honest, 1, Heartbeat(detail="well")),
        return_exceptions=True,
    )
    assert heard == "run"
    assert isinstance(refused, Invalid) and "policy_version" in refused.detail
    assert (await house.job(honest)).detail == "well"
