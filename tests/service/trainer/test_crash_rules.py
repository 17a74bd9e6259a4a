"""Killed between any two of its outside effects, a trainer loses nothing acknowledged and learns from nothing twice.

The proof is arithmetic: a learner that is given the acked batches once each, in order, from the base model, must arrive
at the very weights (bit for bit) of the run's last checkpoint.
"""

import importlib.util
import itertools
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from skyscale.artifacts.store import open_store
from skyscale.artifacts.versions import open_version
from skyscale.decoder.checkpoint import load_decoder
from skyscale.errors import Gone, SkyscaleError, Unavailable
from skyscale.trainer import control
from skyscale.trainer.checkpoint import checkpoint_versions, read_checkpoint
from skyscale.trainer.loop import Trainer
from skyscale.trainer.step import Learner
from skyscale.wire.batches import LeaseRequest, SampleReply, SampleRequest
from skyscale.wire.jobs import JobAssignment, JobRole
from skyscale.wire.runs import Algorithm, Evaluation, RunSpec, Sampling

_spec = importlib.util.spec_from_file_location("trainer_ledger", Path(__file__).with_name("ledger.py"))
assert _spec is not None and _spec.loader is not None
_ledger = importlib.util.module_from_spec(_spec)
sys.modules["trainer_ledger"] = _ledger
_spec.loader.exec_module(_ledger)
Ledger, make_group = _ledger.Ledger, _ledger.make_group

RUN_ID = "rl-crash"
EFFECTS = ("put_file", "put_bytes", "put_pieces", "put_same", "delete_prefix", "publish", "sample", "ack", "release")


class Killed(BaseException):
    """What kill -9 looks like from inside: no call gets through any more."""


class Mortal:
    """Passes calls on until the given one, and dies before or after its effect."""

    def __init__(self, target: Any, fate: "Fate") -> None:
        self._target, self._fate = target, fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        return (lambda *args, **kwargs: self._fate.call(name, method, args, kwargs)) if callable(method) else method


class Fate:
    """Counts outside effects; `at` is the one at which the process dies, or the name of it."""

    def __init__(self, at: int | str | None, after: bool) -> None:
        self.at, self.after = at, after
        self.num_effects = 0
        self.is_dead = False

    def call(self, name: str, method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.is_dead:
            # The threads of heartbeats and reports go on for a moment; nothing of theirs arrives.
            raise Killed if name in EFFECTS else Unavailable
        if name not in EFFECTS:
            return method(*args, **kwargs)
        self.num_effects += 1
        if self.at not in (self.num_effects, name):
            return method(*args, **kwargs)
        if self.after:
            method(*args, **kwargs)
        self.is_dead = True
        raise Killed


def _assignment(root: Path, mode: str, checkpoint_every: int, max_steps: int) -> JobAssignment:
    spec = RunSpec(
        run_id=RUN_ID, base_model="m", num_workers=1, gpu_model="cpu", provider="local", problem_set="embedded",
        difficulty=None, algorithm=Algorithm(learning_rate=1e-2, group_size=2, groups_per_step=2), sampling=Sampling(),
        evaluation=Evaluation(), mode=mode, seed=0, max_steps=max_steps, max_hours=None, target_reward=None,
        max_concurrent_groups=4, checkpoint_every=checkpoint_every, keep_versions=2,
    )  # fmt: skip
    return JobAssignment(
        job_id="job-t", run_id=RUN_ID, role=JobRole.TRAINER, index=0, attempt=1, spec=spec, model_path="",
        artifact_root=root.as_uri(), heartbeat_s=0.02,
    )  # fmt: skip


class World:
    """One run: a ledger, a store, and trainers that come and go."""

    def __init__(self, folder: Path, base: Path, mode: str = "async", checkpoint_every: int = 1) -> None:
        self.folder, self.base = folder, base
        self.ledger = Ledger(max_steps=4)
        self.root = folder / "store"
        self.assignment = _assignment(self.root, mode, checkpoint_every, 4)
        self.scratch = folder / "scratch"
        self.scratch.mkdir(parents=True)

    def learner(self) -> Learner:
        return Learner(load_decoder(self.base), self.assignment.spec.algorithm, 1.0)

    def live(self, at: int | str | None = None, after: bool = False) -> int:
        """Run a trainer until it ends or dies; the number of its outside effects."""
        fate = Fate(at, after)
        store = Mortal(open_store(self.root.as_uri()), fate)
        client = Mortal(self.ledger, fate)
        trainer = Trainer(
            self.assignment, client, store, base_folder=self.base, make_learner=self.learner, scratch=self.scratch,
            on_gone=lambda: None,
        )  # fmt: skip
        try:
            trainer.run()
        except Killed:
            assert fate.is_dead
        return fate.num_effects

    def check(self) -> None:
        """The whole of the acked history is in the last checkpoint, once."""
        ledger, store = self.ledger, open_store(self.root.as_uri())
        assert len(ledger.versions) == 4
        seeds = [seed for lease_id in ledger.acked for seed in ledger.groups[lease_id]]
        assert len(seeds) == len(set(seeds)) and seeds
        learner = self.learner()
        for lease_id in ledger.acked:
            learner.train([make_group(seed) for seed in ledger.groups[lease_id]], 0)
        found = read_checkpoint(store, RUN_ID, checkpoint_versions(store, RUN_ID)[0], self.scratch)
        assert found is not None
        for name, parameter in learner.model.named_parameters():
            assert torch.equal(found[1].weights[name], parameter), name
        last = open_version(ledger.versions[-1].manifest_uri, self.scratch)
        published = dict(load_decoder(last.path).named_parameters())
        assert all(torch.equal(published[name], value) for name, value in found[1].weights.items())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", ["async", "synchronous"])
@pytest.mark.parametrize("checkpoint_every", [1, 3])
def test_an_undisturbed_run_publishes_every_step_and_acks_every_batch(
    tmp_path: Path, base_folder: Path, mode: str, checkpoint_every: int
):
    world = World(tmp_path, base_folder, mode, checkpoint_every)
    world.live()
    world.check()
    assert [(v.version, v.parent) for v in world.ledger.versions] == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert len(world.ledger.acked) == 4
    assert world.ledger.steps_reported == [1, 2, 3, 4]
    # Of four versions the run's `keep_versions` are left.
    assert {key.split("/")[3] for key in open_store(world.root.as_uri()).list(f"runs/{RUN_ID}/versions")} == {
        "v000003",
        "v000004",
    }


class WaitingLedger(Ledger):
    """Lets the trainer wait for each batch, and notes which leases it would extend after they were acked."""

    late: list[str]

    def sample(self, body: SampleRequest) -> SampleReply:
        time.sleep(0.2)
        return super().sample(body)

    def extend(self, body: LeaseRequest) -> None:
        if body.lease_id in self.acked:
            self.late.append(body.lease_id)
        super().extend(body)


def test_a_lease_whose_version_is_published_is_extended_no_more(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(control, "LEASE_S", 0.04)
    world = World(tmp_path, base_folder)
    world.ledger = ledger = WaitingLedger(max_steps=4)
    ledger.late = []
    world.live()
    world.check()
    # One may have been on its way while its version was announced.
    assert len(ledger.late) <= 1, "a healthy run's log would be full of refusals"


AFTERMATHS = {"kept": lambda ledger: None, "expired": Ledger.expire_all, "fenced": Ledger.fence_all}


@pytest.mark.parametrize("checkpoint_every", [1, 2])
@pytest.mark.parametrize("aftermath", sorted(AFTERMATHS))
def test_a_kill_at_any_moment_loses_nothing_and_trains_nothing_twice(
    tmp_path: Path, base_folder: Path, aftermath: str, checkpoint_every: int
):
    # Every sixth effect, the parameters shifted against each other; dying before and after the effect in turns.
    shift = sorted(AFTERMATHS).index(aftermath) * 2 + checkpoint_every
    kills = zip(range(shift, 80, 6), itertools.cycle((False, True)))
    num_worlds = 0
    for at, after in kills:
        world = World(tmp_path / f"{at}-{after}", base_folder, checkpoint_every=checkpoint_every)
        if world.live(at, after) < at:
            break
        AFTERMATHS[aftermath](world.ledger)
        # The next one dies as well, a little later in its own life.
        world.live(at=at % 7 + 3, after=not after)
        AFTERMATHS[aftermath](world.ledger)
        world.live()
        world.check()
        num_worlds += 1
    assert num_worlds >= 4


def test_a_base_model_whose_tokenizer_changes_between_two_kills_costs_no_version(tmp_path: Path, base_folder: Path):
    # What lies beside the weights goes with every version, so the one that was not announced yet is written anew.
    world = World(tmp_path, shutil.copytree(base_folder, tmp_path / "base"))
    world.live("publish", after=False)
    (world.base / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    world.live("publish", after=True)
    assert len(world.ledger.acked) == 1
    world.live()
    world.check()


def test_a_publication_that_is_fenced_in_mid_life_is_voided_and_training_goes_on(tmp_path: Path, base_folder: Path):
    world = World(tmp_path, base_folder)
    publish = world.ledger.publish
    versions_to_fence = [2]

    def fenced_at_two(run_id, body):
        if body.version in versions_to_fence:
            versions_to_fence.clear()
            world.ledger.fence_all()
        return publish(run_id, body)

    world.ledger.publish = fenced_at_two
    world.live()
    world.check()
    assert "trainer.publication_refused" in world.ledger.events


def test_a_step_without_a_finite_gradient_is_reported_and_the_run_goes_on(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    world = World(tmp_path, base_folder)
    sample = world.ledger.sample

    def poisoned(body):
        reply = sample(body)
        if reply.lease_id != "lease-1":
            return reply
        group = reply.groups[0]
        bad = group.trajectories[0].model_copy(update={"reward": float("nan")})
        group = group.model_copy(update={"trajectories": [bad, group.trajectories[1]]})
        return reply.model_copy(update={"groups": [group, reply.groups[1]]})

    monkeypatch.setattr(world.ledger, "sample", poisoned)
    world.live()
    assert world.ledger.events.count("trainer.step_skipped") == 1
    assert len(world.ledger.versions) == 4
    assert world.ledger.steps_reported == [1, 2, 3, 4]


def test_a_model_that_computes_no_numbers_any_more_ends_training_in_words(tmp_path: Path, base_folder: Path):
    world = World(tmp_path, base_folder)
    world.ledger.max_steps = 99
    world.assignment = _assignment(world.root, "async", 99, 99)
    make = world.learner

    def broken() -> Learner:
        learner = make()
        with torch.no_grad():
            learner.model.final_norm[0] = float("nan")
        return learner

    world.learner = broken
    world.ledger.publish = lambda _run_id, body: world.ledger.versions.append(body)
    with pytest.raises(SkyscaleError, match="10 optimizer steps in a row") as caught:
        world.live()
    assert caught.value.code == "training_diverged"
    assert world.ledger.events.count("trainer.step_skipped") == 10


def test_a_trainer_of_an_ended_run_hears_so_and_stops(tmp_path: Path, base_folder: Path):
    world = World(tmp_path, base_folder)

    def gone(*_args: object, **_kwargs: object) -> None:
        raise Gone

    world.ledger.heartbeat = gone
    with pytest.raises(Gone):
        world.live()
    assert world.ledger.versions == []


def test_two_synchronous_runs_of_one_seed_have_the_same_losses(tmp_path: Path, base_folder: Path):
    losses = []
    for name in ("one", "two"):
        world = World(tmp_path / name, base_folder, mode="synchronous")
        reports = []
        world.ledger.metrics = lambda body, kept=reports: kept.append((body.step, body.loss))
        world.live()
        losses.append(reports)
    assert len(losses[0]) == 4
    assert losses[0] == losses[1]
