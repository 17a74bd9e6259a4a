"""A run with a checkpoint every few versions goes on: the buffer still gives the batch that leads to the next one."""

from typing import Literal

import pytest

from skyscale.buffer.rules import Candidate, choose, num_slots
from skyscale.trainer.loop import checkpoint_interval
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

GROUPS = 4


def _spec(mode: Literal["async", "synchronous"], max_staleness: int, checkpoint_every: int) -> RunSpec:
    return RunSpec(
        run_id="rl-a", base_model="m", num_workers=1, gpu_model="cpu", provider="local", problem_set="embedded",
        difficulty=None, algorithm=Algorithm(learning_rate=1e-2, groups_per_step=GROUPS, max_staleness=max_staleness),
        sampling=Sampling(), evaluation=Evaluation(), mode=mode, seed=0, max_steps=None, max_hours=None,
        target_reward=None, max_concurrent_groups=4, checkpoint_every=checkpoint_every, keep_versions=2,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["async", "synchronous"])
@pytest.mark.parametrize("max_staleness", [0, 1, 2, 4])
@pytest.mark.parametrize("checkpoint_every", [1, 3, 50])
def test_groups_without_a_checkpoint_leave_room_for_the_batch_that_frees_them(
    mode: Literal["async", "synchronous"], max_staleness: int, checkpoint_every: int
):
    spec = _spec(mode, max_staleness, checkpoint_every)
    interval = checkpoint_interval(spec)
    assert 1 <= interval <= checkpoint_every
    held, newest = interval - 1, 100
    assert num_slots(spec) - held * GROUPS >= GROUPS
    played = [Candidate(f"g-{n}", kept=8, min_version=newest, lease_id=None) for n in range(GROUPS)]
    assert len(choose(played, GROUPS, spec, newest, held, 0).batch) == GROUPS


def test_the_run_decides_where_it_may():
    assert [checkpoint_interval(_spec("async", 4, every)) for every in (1, 2, 4, 5)] == [1, 2, 4, 4]
