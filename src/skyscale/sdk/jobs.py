"""The clients of jobs: what a worker, trainer or policy server may ask of the control plane.

Both ride out a control plane that is killed and started again: a call is repeated for `RETRY_FOR_S` before its
failure is raised. 410 means that the job must end and is raised at once, as `errors.Gone`.
"""

from types import TracebackType
from typing import Self, TypeVar

from skyscale.sdk import job_calls as calls
from skyscale.sdk.call import Call
from skyscale.sdk.direct_transport import DirectTransport
from skyscale.sdk.job_transport import JobTransport
from skyscale.settings import JobSettings
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
from skyscale.wire.episodes import GroupVerdicts, TicketReply, TicketRequest
from skyscale.wire.jobs import Heartbeat, HeartbeatReply, JobAssignment
from skyscale.wire.policies import PolicyPublish, PolicyVersion
from skyscale.wire.runs import EventCreate, TrainingMetrics
from skyscale.wire.turns import GroupOpening, GroupTurn, GroupTurnReply

T = TypeVar("T")

# A control plane restarts in seconds; a minute and a half also covers a host that is busy or migrating its database.
RETRY_FOR_S = 90.0
# The slowest reply is a step that waits for sandboxes: 256 programs of 5 s on 2 slots is the extreme, 30 s is common.
TIMEOUT_S = 120.0


class JobClient:
    """Blocking calls of one job; threads may share it. All methods raise classes of `skyscale.errors`."""

    def __init__(
        self, base_url: str, token: str, job_id: str, *, timeout_s: float = TIMEOUT_S, retry_for_s: float = RETRY_FOR_S
    ) -> None:
        self.job_id = job_id
        self._transport = DirectTransport(base_url, token, timeout_s, retry_for_s)

    @classmethod
    def from_settings(cls, settings: JobSettings) -> Self:
        """The client of the job that this process is."""
        return cls(settings.url, settings.job_token.get_secret_value(), settings.job_id)

    def _send(self, call: Call[T], retry_for_s: float | None = None) -> T:
        return self._transport.send(call, retry_for_s)

    def assignment(self) -> JobAssignment:
        """What this job is to do."""
        return self._send(calls.assignment(self.job_id))

    def heartbeat(self, body: Heartbeat, *, retry_for_s: float | None = None) -> HeartbeatReply:
        """Report and learn what is wanted. Raises Gone when the job must end."""
        return self._send(calls.heartbeat(self.job_id, body), retry_for_s)

    def push(self, body: GroupPush | GroupBatchPush | TrajectoryPush) -> PushReply:
        """Store finished groups; durable when it returns."""
        return self._send(calls.push(body))

    def sample(self, body: SampleRequest) -> SampleReply:
        """Take groups on a lease, or trajectories for good."""
        return self._send(calls.sample(body))

    def sample_raw(self, body: SampleRequest) -> bytes:
        """Like `sample`, as the JSON text of a SampleReply."""
        return self._send(calls.sample_raw(body))

    def ack(self, body: LeaseRequest) -> None:
        """Declare a lease's groups consumed."""
        self._send(calls.ack(body))

    def release(self, body: LeaseRequest) -> None:
        """Give a lease's groups back."""
        self._send(calls.release(body))

    def extend(self, body: LeaseRequest) -> None:
        """Keep a lease for another `lease_s` from now."""
        self._send(calls.extend(body))

    def publish(self, run_id: str, body: PolicyPublish) -> PolicyVersion:
        """Announce a policy version and ack what it consumed."""
        return self._send(calls.publish(run_id, body))

    def metrics(self, body: TrainingMetrics) -> None:
        """Report one training step."""
        self._send(calls.metrics(body))

    def event(self, run_id: str, body: EventCreate) -> None:
        """Record a fact about the run."""
        self._send(calls.event(run_id, body))

    def register_policy(self, run_id: str, url: str) -> None:
        """Tell where this job's policy server listens."""
        self._send(calls.register_policy(run_id, url))

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncJobClient:
    """The calls of a worker; belongs to one event loop. All methods raise classes of `skyscale.errors`."""

    def __init__(
        self, base_url: str, token: str, job_id: str, *, timeout_s: float = TIMEOUT_S, retry_for_s: float = RETRY_FOR_S
    ) -> None:
        self.job_id = job_id
        self._transport = JobTransport(base_url, token, timeout_s, retry_for_s)

    @classmethod
    def from_settings(cls, settings: JobSettings) -> Self:
        """The client of the job that this process is."""
        return cls(settings.url, settings.job_token.get_secret_value(), settings.job_id)

    async def _send(self, call: Call[T], retry_for_s: float | None = None) -> T:
        return await self._transport.send(call, retry_for_s)

    async def assignment(self) -> JobAssignment:
        """What this job is to do."""
        return await self._send(calls.assignment(self.job_id))

    async def heartbeat(self, body: Heartbeat, *, retry_for_s: float | None = None) -> HeartbeatReply:
        """Report and learn what is wanted. Raises Gone when the job must end."""
        return await self._send(calls.heartbeat(self.job_id, body), retry_for_s)

    async def tickets(self, body: TicketRequest) -> TicketReply:
        """Ask for groups to play."""
        return await self._send(calls.tickets(body))

    async def step(self, group_id: str, codes: list[str], *, retry_for_s: float | None = None) -> GroupVerdicts:
        """Have a group's programs judged."""
        return await self._send(calls.step(group_id, codes), retry_for_s)

    async def open_group(self, group_id: str, *, retry_for_s: float | None = None) -> GroupOpening:
        """Begin a group in the run's own environment."""
        return await self._send(calls.open_group(group_id), retry_for_s)

    async def turn(self, group_id: str, body: GroupTurn, *, retry_for_s: float | None = None) -> GroupTurnReply:
        """Have one turn of a group judged."""
        return await self._send(calls.turn(group_id, body), retry_for_s)

    async def close_group(self, group_id: str, *, retry_for_s: float | None = None) -> None:
        """End what is held for a group."""
        await self._send(calls.close_group(group_id), retry_for_s)

    async def finish(self, group_id: str, body: GroupFinish, *, retry_for_s: float | None = None) -> GroupFinished:
        """Have a group judged and stored; durable when it returns."""
        return await self._send(calls.finish(group_id, body), retry_for_s)

    async def push(self, body: GroupPush, *, retry_for_s: float | None = None) -> PushReply:
        """Store a finished group; durable when it returns."""
        return await self._send(calls.push(body), retry_for_s)

    async def event(self, run_id: str, body: EventCreate) -> None:
        """Record a fact about the run."""
        await self._send(calls.event(run_id, body))

    async def metrics(self, body: TrainingMetrics) -> None:
        """Report one training step."""
        await self._send(calls.metrics(body))

    async def publish(self, run_id: str, body: PolicyPublish) -> PolicyVersion:
        """Announce a policy version and ack what it consumed."""
        return await self._send(calls.publish(run_id, body))

    async def register_policy(self, run_id: str, url: str) -> None:
        """Tell where this job's policy server listens."""
        await self._send(calls.register_policy(run_id, url))

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
