"""The control plane's side of training, kept in memory: leases with fencing, versions in one line, a record of both.

It follows the rules of `buffer/leases.py` and `runs/service.py`: an expired lease stays good until one of its groups
goes elsewhere; a version is announced and its leases are acked together or not at all.
"""

import hashlib
import random
from pathlib import Path
from urllib.parse import urlsplit

from skyscale.errors import Conflict
from skyscale.wire.base import utc_now
from skyscale.wire.batches import LeasedGroup, LeaseRequest, SampleReply, SampleRequest, Trajectory
from skyscale.wire.episodes import Outcome
from skyscale.wire.jobs import Heartbeat, HeartbeatReply
from skyscale.wire.policies import PolicyPublish, PolicyVersion
from skyscale.wire.runs import EventCreate, TrainingMetrics

VOCAB = 20


def make_group(seed: int) -> LeasedGroup:
    rng = random.Random(seed)
    trajectories = [
        Trajectory(
            episode_id=f"ep-{seed}-{i}", code="", completion_ids=(ids := [rng.randrange(VOCAB) for _ in range(3)]),
            logprobs=[-3.0] * len(ids), versions=[0] * len(ids), reward=float(i % 2), outcome=Outcome.SCORED,
        )
        for i in range(2)
    ]  # fmt: skip
    prompt = [rng.randrange(VOCAB) for _ in range(3)]
    return LeasedGroup(group_id=f"g-{seed:04d}", problem_id="p", prompt_ids=prompt, trajectories=trajectories)


class Ledger:
    """Answers a trainer's calls; the methods are those of `sdk.jobs.JobClient`."""

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps
        self.waiting = list(range(1, 200))
        self.groups: dict[str, list[int]] = {}
        self.holder: dict[int, str] = {}
        self.versions: list[PolicyPublish] = []
        self.acked: list[str] = []
        """Leases in the order in which they were acked."""
        self.steps_reported: list[int] = []
        self.events: list[str] = []

    def heartbeat(self, body: Heartbeat, *, retry_for_s: float | None = None) -> HeartbeatReply:
        newest = self.versions[-1] if self.versions else None
        return HeartbeatReply(
            desired="finish" if len(self.versions) >= self.max_steps else "run",
            policy_url=None,
            policy_version=len(self.versions),
            manifest_uri=newest.manifest_uri if newest else None,
        )

    def sample(self, body: SampleRequest) -> SampleReply:
        assert body.num_groups is not None
        seeds, self.waiting = self.waiting[: body.num_groups], self.waiting[body.num_groups :]
        lease_id = f"lease-{len(self.groups)}"
        self.groups[lease_id] = seeds
        self.holder |= dict.fromkeys(seeds, lease_id)
        return SampleReply(
            trajectories=[], count=2 * len(seeds), lease_id=lease_id, groups=[make_group(s) for s in seeds]
        )

    def publish(self, run_id: str, body: PolicyPublish) -> PolicyVersion:
        newest = self.versions[-1] if self.versions else None
        if not (newest and (newest.version, newest.manifest_sha256) == (body.version, body.manifest_sha256)):
            if body.version != len(self.versions) + 1:
                raise Conflict("not the next version", code="version_conflict")
            manifest = Path(urlsplit(body.manifest_uri).path).read_bytes()
            assert hashlib.sha256(manifest).hexdigest() == body.manifest_sha256
            for lease_id in body.lease_ids:
                self._require_whole(lease_id)
            self.versions.append(body)
            for lease_id in body.lease_ids:
                self._consume(lease_id)
        return PolicyVersion(
            version=body.version, parent=body.parent, manifest_uri=body.manifest_uri, published_at=utc_now()
        )

    def ack(self, body: LeaseRequest) -> None:
        self._require_whole(body.lease_id)
        self._consume(body.lease_id)

    def release(self, body: LeaseRequest) -> None:
        self._require_whole(body.lease_id)
        self.expire(body.lease_id)

    def extend(self, body: LeaseRequest) -> None:
        self._require_whole(body.lease_id)

    def metrics(self, body: TrainingMetrics) -> None:
        self.steps_reported.append(body.step)

    def event(self, run_id: str, body: EventCreate) -> None:
        self.events.append(body.kind)

    def expire(self, lease_id: str) -> None:
        """The groups wait again, first in line; the lease is good until they are leased to another."""
        seeds = [seed for seed in self.groups[lease_id] if self.holder[seed] == lease_id]
        self.waiting = seeds + [seed for seed in self.waiting if seed not in seeds]

    def expire_all(self) -> None:
        for lease_id in self.groups:
            if lease_id not in self.acked:
                self.expire(lease_id)

    def fence_all(self) -> None:
        """Another trainer leases what waits first in line, and dies: the groups come back in another order."""
        self.expire_all()
        taken = sorted({seed for ids in self.groups.values() for seed in ids} & set(self.waiting), reverse=True)
        self.holder |= dict.fromkeys(taken, "another")
        self.waiting = taken + [seed for seed in self.waiting if seed not in taken]

    def _require_whole(self, lease_id: str) -> None:
        if any(self.holder[seed] != lease_id for seed in self.groups[lease_id]):
            raise Conflict("its groups went to another", code="lease_fenced")

    def _consume(self, lease_id: str) -> None:
        if lease_id not in self.acked:
            self.acked.append(lease_id)
            self.waiting = [seed for seed in self.waiting if seed not in self.groups[lease_id]]
