"""Where batches come from: groups on a lease, the next one fetched while the current one is trained on.

A batch counts as consumed only when a published version acks its lease. In synchronous mode nothing is fetched ahead,
since the next batch is sampled by the weights that the current one makes.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from skyscale.errors import SkyscaleError
from skyscale.sdk.jobs import JobClient
from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage
from skyscale.trainer.control import LEASE_S, Control
from skyscale.wire.batches import LeasedGroup, LeaseRequest, RolloutWindow, SampleRequest
from skyscale.wire.jobs import JobAssignment

WAIT_S = 2.0
"""How long the server may hold one call: the longest that an order to finish goes unseen here."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups to train on, in their order of arrival."""

    lease_id: str
    groups: list[LeasedGroup]
    rollouts: RolloutWindow | None


class Feed:
    """The batches of one run."""

    def __init__(self, client: JobClient, assignment: JobAssignment, control: Control) -> None:
        self.waited_s = 0.0
        """Time spent in `next` since it was last set to zero."""
        self._client = client
        self._control = control
        self._run_id = assignment.run_id
        self._is_ahead = assignment.spec.mode == "async"
        self._closed = threading.Event()
        self._request = SampleRequest(
            run_id=assignment.run_id,
            num_groups=assignment.spec.algorithm.groups_per_step,
            lease_s=LEASE_S,
            trainer_id=f"{assignment.job_id}.{assignment.attempt}",
            wait_s=WAIT_S,
        )
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ahead: Future[Batch | None] | None = None

    def next(self, *, is_last: bool = False) -> Batch | None:
        """The next batch, or None once the run wants to finish; `is_last` fetches nothing further."""
        began = time.monotonic()
        future = self._ahead or self._pool.submit(self._lease)
        batch = future.result()
        self._ahead = self._pool.submit(self._lease) if batch and self._is_ahead and not is_last else None
        self.waited_s += time.monotonic() - began
        return batch

    def release(self, lease_id: str) -> None:
        """Give a batch back untrained; a lease that is lost already has gone back by itself."""
        self._control.drop([lease_id])
        try:
            self._client.release(LeaseRequest(run_id=self._run_id, lease_id=lease_id))
        except SkyscaleError:
            return

    def close(self) -> None:
        """Give back what was fetched ahead, within the time of one held call."""
        self._closed.set()
        if self._ahead is not None:
            try:
                batch = self._ahead.result(timeout=WAIT_S + 1.0)
            except (FutureTimeout, SkyscaleError):
                batch = None
            if batch is not None:
                self.release(batch.lease_id)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _lease(self) -> Batch | None:
        while not (self._control.finish.is_set() or self._closed.is_set()):
            asked = time.monotonic()
            began_ns = time.time_ns() if traces.recorder is not None else 0
            reply = self._client.sample(self._request)
            if reply.lease_id is not None and reply.groups:
                self._control.hold(reply.lease_id)
                if traces.recorder is not None:
                    trace_batch(traces.recorder, Stage.LEASE, reply.groups, reply.lease_id, began_ns)
                return Batch(reply.lease_id, reply.groups, reply.rollouts)
            # The server holds the call; this bounds the rate should it answer at once instead.
            self._closed.wait(max(0.0, 0.05 - (time.monotonic() - asked)))
        return None


def trace_batch(
    recorder: traces.Recorder, stage: Stage, groups: Sequence[LeasedGroup], lease_id: str, began_ns: int,
    **attributes: str | int,
) -> None:  # fmt: skip
    """The same span in the trace of every group of a batch."""
    for group in groups:
        recorder.record(stage, group.group_id, began_ns, key=lease_id, error="", lease_id=lease_id, **attributes)
