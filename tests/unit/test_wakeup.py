"""Who is woken by a push: whoever it may help, and nobody else."""

import asyncio

import pytest

from skyscale.buffer import rules
from skyscale.buffer.rules import GroupState
from skyscale.buffer.wakeup import Wakeup, wait_for
from tests.unit.test_buffer_rules import spec

WAITING, FLAT = GroupState.WAITING, GroupState.FLAT


def test_a_push_that_keeps_its_slot_wakes_no_one_who_waits_for_a_slot():
    wakeup = Wakeup()
    bell = wakeup.slot_bell("rl-1")
    wakeup.pushed("rl-1", [WAITING])
    assert not bell.is_set()
    wakeup.pushed("rl-1", [WAITING, FLAT])
    assert bell.is_set()
    assert wakeup.slot_bell("rl-1") is not bell


def test_a_batch_is_looked_for_when_as_many_groups_came_as_it_lacked():
    wakeup = Wakeup()
    bell = wakeup.batch_bell("rl-1")
    bell.missing += 3 - 1
    wakeup.pushed("rl-1", [WAITING, WAITING])
    wakeup.pushed("rl-2", [WAITING, WAITING])
    assert not bell.is_set()
    wakeup.pushed("rl-1", [FLAT])
    assert bell.is_set()


def test_a_push_between_the_look_and_what_it_found_is_not_missed():
    wakeup = Wakeup()
    bell = wakeup.batch_bell("rl-1")
    wakeup.pushed("rl-1", [WAITING])  # the look that is under way has not seen it
    bell.missing += 5 - 1
    assert bell.is_set()


def test_a_second_look_counts_anew():
    wakeup = Wakeup()
    for _ in range(2):  # the first wait ended by polling
        bell = wakeup.batch_bell("rl-1")
        bell.missing += 2 - 1
    wakeup.pushed("rl-1", [WAITING, WAITING])
    assert bell.is_set()


def test_everything_else_wakes_all():
    wakeup = Wakeup()
    bells = [wakeup.slot_bell("rl-1"), wakeup.batch_bell("rl-1")]
    wakeup.batch_bell("rl-1").missing += 100
    wakeup.ring("rl-1")
    assert all(bell.is_set() for bell in bells)


def test_a_wait_ends_at_its_deadline():
    async def wait() -> bool:
        now = asyncio.get_running_loop().time()
        return await wait_for(Wakeup().slot_bell("rl-1"), now - 1)

    assert not asyncio.run(wait())


@pytest.mark.parametrize(("dynamic", "missing"), [(True, 12), (False, 9)])
def test_flat_groups_fill_a_batch_only_without_dynamic_sampling(dynamic: bool, missing: int):
    run = spec(groups_per_step=16, dynamic_sampling=dynamic)
    assert rules.num_missing(run, 16, flat=3, waiting=4) == missing
    assert rules.num_missing(run, 16, flat=20, waiting=20) == 1
