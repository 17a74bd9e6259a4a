"""The calls of jobs (worker, trainer, policy server), made and read. Pure; all of them may safely arrive twice.

Ids in the path or body make them so: group id, lease id, request id, version, job id. The two exceptions are
`sample` without a lease, which consumes, and `event`, which would be told twice.
"""

from skyscale.sdk.call import Call, as_bytes, get, nothing, post, reading
from skyscale.wire.batches import (
    GroupBatchPush,
    GroupFinish,
    GroupFinished,
    GroupPush,
    LeaseRequest,
    PushReply,
    SampleReply,
    SampleRequest,
    TrajectoryPush,
)
from skyscale.wire.episodes import GroupStep, GroupVerdicts, TicketReply, TicketRequest
from skyscale.wire.jobs import Heartbeat, HeartbeatReply, JobAssignment
from skyscale.wire.policies import PolicyPublish, PolicyRegister, PolicyVersion
from skyscale.wire.runs import EventCreate, TrainingMetrics
from skyscale.wire.turns import GroupOpening, GroupTurn, GroupTurnReply

_assignment = reading(JobAssignment)
_heartbeat = reading(HeartbeatReply)
_tickets = reading(TicketReply)
_verdicts = reading(GroupVerdicts)
_opening = reading(GroupOpening)
_turned = reading(GroupTurnReply)
_finished = reading(GroupFinished)
_pushed = reading(PushReply)
_sampled = reading(SampleReply)
_version = reading(PolicyVersion)


def assignment(job_id: str) -> Call[JobAssignment]:
    """`GET /api/jobs/{job_id}/assignment`."""
    return get(f"/api/jobs/{job_id}/assignment", _assignment)


def heartbeat(job_id: str, body: Heartbeat) -> Call[HeartbeatReply]:
    """`POST /api/jobs/{job_id}/heartbeat`."""
    return post(f"/api/jobs/{job_id}/heartbeat", _heartbeat, body)


def tickets(body: TicketRequest) -> Call[TicketReply]:
    """`POST /api/rl/env/tickets`."""
    return post("/api/rl/env/tickets", _tickets, body, hold_s=body.wait_s)


def step(group_id: str, codes: list[str]) -> Call[GroupVerdicts]:
    """`POST /api/rl/env/groups/{group_id}/step`."""
    return post(f"/api/rl/env/groups/{group_id}/step", _verdicts, GroupStep(codes=codes))


def open_group(group_id: str) -> Call[GroupOpening]:
    """`POST /api/rl/env/groups/{group_id}/open`."""
    return Call("POST", f"/api/rl/env/groups/{group_id}/open", _opening)


def turn(group_id: str, body: GroupTurn) -> Call[GroupTurnReply]:
    """`POST /api/rl/env/groups/{group_id}/turn`."""
    return post(f"/api/rl/env/groups/{group_id}/turn", _turned, body)


def close_group(group_id: str) -> Call[None]:
    """`POST /api/rl/env/groups/{group_id}/close`."""
    return Call("POST", f"/api/rl/env/groups/{group_id}/close", nothing)


def finish(group_id: str, body: GroupFinish) -> Call[GroupFinished]:
    """`POST /api/rl/env/groups/{group_id}/finish`."""
    return post(f"/api/rl/env/groups/{group_id}/finish", _finished, body)


def push(body: GroupPush | GroupBatchPush | TrajectoryPush) -> Call[PushReply]:
    """`POST /api/rl/buffer/push`."""
    is_repeatable = not isinstance(body, TrajectoryPush) or body.trajectory_id is not None
    return post("/api/rl/buffer/push", _pushed, body, is_repeatable=is_repeatable)


def sample(body: SampleRequest) -> Call[SampleReply]:
    """`POST /api/rl/buffer/sample`."""
    return post("/api/rl/buffer/sample", _sampled, body, is_repeatable=body.lease_s is not None, hold_s=body.wait_s)


def sample_raw(body: SampleRequest) -> Call[bytes]:
    """`POST /api/rl/buffer/sample`, its reply as the JSON text that arrived."""
    return post("/api/rl/buffer/sample", as_bytes, body, is_repeatable=body.lease_s is not None, hold_s=body.wait_s)


def ack(body: LeaseRequest) -> Call[None]:
    """`POST /api/rl/buffer/ack`."""
    return post("/api/rl/buffer/ack", nothing, body)


def release(body: LeaseRequest) -> Call[None]:
    """`POST /api/rl/buffer/release`."""
    return post("/api/rl/buffer/release", nothing, body)


def extend(body: LeaseRequest) -> Call[None]:
    """`POST /api/rl/buffer/extend`."""
    return post("/api/rl/buffer/extend", nothing, body)


def publish(run_id: str, body: PolicyPublish) -> Call[PolicyVersion]:
    """`POST /api/rl/runs/{run_id}/policies`."""
    return post(f"/api/rl/runs/{run_id}/policies", _version, body)


def metrics(body: TrainingMetrics) -> Call[None]:
    """`POST /api/training/metrics`."""
    return post("/api/training/metrics", nothing, body)


def event(run_id: str, body: EventCreate) -> Call[None]:
    """`POST /api/rl/runs/{run_id}/events`."""
    return post(f"/api/rl/runs/{run_id}/events", nothing, body, is_repeatable=False)


def register_policy(run_id: str, url: str) -> Call[None]:
    """`POST /api/rl/runs/{run_id}/policy-server`."""
    return post(f"/api/rl/runs/{run_id}/policy-server", nothing, PolicyRegister(url=url))
