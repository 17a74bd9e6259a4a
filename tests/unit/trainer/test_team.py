"""Two gloo processes train as one does."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from skyscale.errors import Invalid, Unavailable
from skyscale.runs.resolve import resolve
from skyscale.trainer.assembly import choose_device
from skyscale.trainer.checkpoint import capture, restore
from skyscale.trainer.following import share_state
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order, Place, Team
from skyscale.wire.jobs import JobAssignment, JobRole
from skyscale.wire.runs import RunCreate
from tests.unit.trainer import pinned
from tests.unit.trainer.follower import learner

ROOT = Path(__file__).parents[3]


@contextmanager
def team_of_two(folder: Path, kind: str, *more: str) -> Generator[tuple[Team, subprocess.Popen[bytes]]]:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    command = [sys.executable, "-m", "tests.unit.trainer.follower", str(folder), str(Place(1, 2, store.port))]
    command += [kind, *more]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path})
    try:
        team = Team(0, 2, store, torch.device("cpu"), [process])
        try:
            yield team, process
        finally:
            team.close()
    finally:
        process.kill()
        process.wait()


def numbers(trained: Learner, steps: range) -> list[float]:
    found: list[float] = []
    for version in steps:
        metrics = trained.train(pinned.groups(), version).metrics
        found += [metrics[name] for name in ("loss", "grad_norm", "entropy", "ratio", "clip_share", "mismatch_kl")]
    return found


@pytest.mark.parametrize("kind", ["sequences", "kl", "lora"])
def test_two_processes_have_the_losses_and_weights_of_one(tiny_folder: Path, kind: str):
    alone = learner(tiny_folder, kind, None)
    expected = numbers(alone, range(3))
    with team_of_two(tiny_folder, kind) as (team, process):
        together = learner(tiny_folder, kind, team)
        assert numbers(together, range(3)) == pytest.approx(expected, abs=1e-4)
    assert process.returncode == 0
    for name, weight in alone.weights.items():
        torch.testing.assert_close(together.weights[name], weight, atol=1e-4, rtol=1e-3)


def test_a_resumed_leader_gives_its_state_to_the_followers(tiny_folder: Path):
    alone = learner(tiny_folder, "plain", None)
    numbers(alone, range(2))
    snapshot = capture(alone)
    expected = numbers(alone, range(2, 4))
    with team_of_two(tiny_folder, "plain") as (team, _):
        together = learner(tiny_folder, "plain", team)
        numbers(together, range(1))
        restore(together, snapshot)
        share_state(together, snapshot)
        assert numbers(together, range(2, 4)) == pytest.approx(expected, abs=1e-4)


def test_one_group_leaves_a_process_without_work_and_changes_nothing(tiny_folder: Path):
    groups = pinned.groups()[:1]
    alone = learner(tiny_folder, "plain", None).train(groups, 0).metrics
    with team_of_two(tiny_folder, "plain") as (team, _):
        together = learner(tiny_folder, "plain", team).train(groups, 0).metrics
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_dead_follower_is_told_before_the_next_batch(tiny_folder: Path):
    with team_of_two(tiny_folder, "plain") as (team, process):
        process.kill()
        process.wait()
        with pytest.raises(Unavailable, match="have died"):
            team.order(Order(kind="train"))


def test_a_follower_that_dies_in_a_collective_ends_the_leaders_wait(tiny_folder: Path):
    with team_of_two(tiny_folder, "plain") as (team, process):
        together = learner(tiny_folder, "plain", team)
        together.train(pinned.groups(), 0)
        began = time.monotonic()
        process.kill()
        with pytest.raises((RuntimeError, Unavailable)):
            for version in range(1, 3):
                together.train(pinned.groups(), version)
        assert time.monotonic() - began < 30


def test_each_process_has_a_gpu_of_its_own_or_the_run_ends(monkeypatch: pytest.MonkeyPatch):
    spec = resolve(RunCreate(gpu_model="h100", trainer_processes=2), "rl-team")
    assignment = JobAssignment(
        job_id="job-1", run_id="rl-team", role=JobRole.TRAINER, index=0, attempt=1, spec=spec, model_path="m",
        artifact_root="file:///nowhere", heartbeat_s=1.0,
    )  # fmt: skip
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", assignment, 1) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Invalid, match="as many GPUs"):
        choose_device("auto", assignment, 0)
