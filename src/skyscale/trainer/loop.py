"""The trainer's life: lease a batch, train on it, publish the result, until the run has enough.

    feed thread        lease -------> lease --------> ...        one batch ahead (asynchronous runs)
    this thread              train v1 -------> train v2 ----> ...
    publisher thread                  publish v1 ----> publish v2    one version in flight, in order
    heartbeat thread   tells what is going on, keeps leases alive, hears "finish" and "gone"

- v2 is trained while v1 is being published, but submitted only after v1 was accepted; in synchronous runs every
  publication is awaited before the next lease.
- A refused publication voids everything after the last accepted checkpoint: the batch in hand goes back to the buffer,
  and training goes on from `resume`, the same way as after a crash.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path

import torch

from skyscale.artifacts.store import ArtifactStore
from skyscale.decoder.lora import LoraConfig
from skyscale.errors import Conflict, SkyscaleError, Unavailable
from skyscale.sdk.jobs import JobClient
from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage
from skyscale.trainer.checkpoint import capture, restore
from skyscale.trainer.checks import require_known_tokens
from skyscale.trainer.control import Control
from skyscale.trainer.feed import Batch, Feed, trace_batch
from skyscale.trainer.following import share_state
from skyscale.trainer.publishing import Candidate, Publisher
from skyscale.trainer.report import StepReport
from skyscale.trainer.reporting import Reporter
from skyscale.trainer.resume import find_resume_point
from skyscale.trainer.step import Learner
from skyscale.trainer.team import Order
from skyscale.wire.batches import LeaseRequest
from skyscale.wire.jobs import JobAssignment
from skyscale.wire.runs import RunSpec, TrainingMetrics

log = logging.getLogger(__name__)

MAX_REFUSALS = 5
"""Refused publications in a row before the trainer gives up instead of training in vain."""
MAX_SKIPS = 10
"""Optimizer steps without a finite gradient in a row before the trainer gives up."""


def checkpoint_interval(spec: RunSpec) -> int:
    """Versions from one checkpoint to the next, at most what the run asks for.

    Groups of versions without a checkpoint hold their slots until the next that has one, and the buffer counts their
    leases as versions to come. With as many of them as `max_staleness` allows nothing more would be played, and the
    version that frees them would never come.
    """
    return min(spec.checkpoint_every, 1 if spec.mode == "synchronous" else max(1, spec.algorithm.max_staleness))


class Trainer:
    """The loop of one run."""

    def __init__(
        self,
        assignment: JobAssignment,
        client: JobClient,
        store: ArtifactStore,
        *,
        base_folder: Path,
        make_learner: Callable[[], Learner],
        scratch: Path,
        on_gone: Callable[[], None],
        lora: LoraConfig | None = None,
    ) -> None:
        self._assignment = assignment
        self._spec = assignment.spec
        self._client = client
        self._store = store
        self._make_learner = make_learner
        self._scratch = scratch
        self.learner = make_learner()
        self.control = Control(client, assignment, on_gone)
        self._feed = Feed(client, assignment, self.control)
        self._reporter = Reporter(client, assignment.run_id)
        self._publisher = Publisher(
            client,
            store,
            run_id=assignment.run_id,
            config=self.learner.model.config,
            base_folder=base_folder,
            scratch=scratch,
            keep_versions=self._spec.keep_versions,
            dtype=None if self.learner.device.type == "cpu" else torch.bfloat16,
            pinned=lambda: self.control.pinned,
            lora=lora,
            base_name=assignment.model_path,
        )
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="publisher")
        self._in_flight: tuple[Candidate, Future[None]] | None = None
        self._is_fresh = True
        self._version = 0
        self._parent = 0
        self._since_checkpoint = 0
        self._pending: list[str] = []
        self._refusals = 0
        self._skips = 0
        self._reported_at = time.monotonic()

    def run(self) -> None:
        """Train until the run wants to finish. Raises a `SkyscaleError` when it cannot go on."""
        # First: reading a checkpoint may take longer than a silent process is believed to be alive.
        self.control.start()
        try:
            self._resume()
            while (batch := self._next_batch()) is not None:
                self._train(batch)
            if self.control.is_lost:
                raise Unavailable("the control plane has not answered for minutes")
            self._settle()
            self._final_checkpoint()
            self._publisher.prune(spared_s=0.0)
        finally:
            self.control.close()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._reporter.close()
            self._feed.close()

    def _next_batch(self) -> Batch | None:
        limit = self._spec.max_steps
        if limit is not None and self._version >= limit:
            self._settle()
            if self._version >= limit:
                self.control.detail = f"all {limit} steps done"
                self.control.ask()
                self.control.finish.wait()
                return None
        if self.control.finish.is_set():
            return None
        self.control.detail = f"waiting for {self._spec.algorithm.groups_per_step} groups"
        return self._feed.next(is_last=limit is not None and self._version + 1 >= limit)

    def _train(self, batch: Batch) -> None:
        version = self._version + 1
        self.control.detail = f"training step {version}"
        require_known_tokens(batch.groups, self.learner.model.config.vocab_size)
        began, began_ns = time.monotonic(), time.time_ns()
        report = self.learner.train(batch.groups, self._version)
        step_s = time.monotonic() - began
        if traces.recorder is not None:
            trace_batch(traces.recorder, Stage.TRAIN, batch.groups, batch.lease_id, began_ns, version=version)
        if not self._settle():
            self._feed.release(batch.lease_id)
            return
        self._report(version, batch, report, step_s)
        self._submit(version, batch)
        if self._spec.mode == "synchronous":
            self._settle()

    def _submit(self, version: int, batch: Batch) -> None:
        self._pending.append(batch.lease_id)
        self._since_checkpoint += 1
        is_due = self._since_checkpoint >= checkpoint_interval(self._spec) or version == self._spec.max_steps
        candidate = Candidate(version, self._parent, capture(self.learner), list(self._pending), is_due)
        self._in_flight = (candidate, self._pool.submit(self._publish, candidate, batch))
        self._version = self._parent = version
        if is_due:
            self._pending, self._since_checkpoint = [], 0

    def _publish(self, candidate: Candidate, batch: Batch) -> None:
        began_ns = time.time_ns()
        self._publisher.publish(candidate)
        if candidate.has_checkpoint:  # at once: what is published cannot be extended, and a step takes long
            self.control.drop(candidate.lease_ids)
        if traces.recorder is not None:
            version = candidate.version
            trace_batch(traces.recorder, Stage.PUBLISH, batch.groups, batch.lease_id, began_ns, version=version)

    def _settle(self) -> bool:
        """Wait for the publication in flight; False if it was refused and training has gone back."""
        if self._in_flight is None:
            return True
        candidate, future = self._in_flight
        self._in_flight = None
        try:
            future.result()
        except Conflict as e:
            self._go_back(candidate, e)
            return False
        self._refusals = 0
        return True

    def _go_back(self, candidate: Candidate, refusal: Conflict) -> None:
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise refusal
        message = f"version {candidate.version} is refused ({refusal.code}); going on from the last accepted state"
        self._reporter.event("trainer.publication_refused", message, level="warning")
        self.control.drop([*candidate.lease_ids, *self._pending])
        self._resume()

    def _resume(self) -> None:
        server = self.control.ask()
        run_id = self._assignment.run_id
        point = find_resume_point(self._store, self._publisher, server, run_id, self._scratch)
        if point.snapshot is not None:
            restore(self.learner, point.snapshot)
            share_state(self.learner, point.snapshot)
        elif not self._is_fresh:
            self._begin_again()
        self._is_fresh = False
        self._version, self._parent = point.newest, point.parent
        self._pending, self._since_checkpoint = [], 0
        if point.newest:
            message = f"going on from version {point.parent}; the next is {point.newest + 1}"
            self._reporter.event("trainer.resumed", message)

    def _begin_again(self) -> None:
        """A fresh optimizer on the base model, in every process."""
        if self.learner.team is not None:
            self.learner.team.order(Order(kind="base"))
        # Two of them may not fit.
        del self.learner
        self.learner = self._make_learner()

    def _final_checkpoint(self) -> None:
        """Make durable what versions without a checkpoint have learned, and ack it."""
        if not self._pending:
            return
        candidate = Candidate(self._version, self._parent, capture(self.learner), list(self._pending), True)
        self._publisher.checkpoint_again(candidate)
        for lease_id in self._pending:
            try:
                self._client.ack(LeaseRequest(run_id=self._assignment.run_id, lease_id=lease_id))
            except SkyscaleError as e:
                log.warning("lease %s of the last versions is not acked: %s", lease_id, e)

    def _report(self, version: int, batch: Batch, report: StepReport, step_s: float) -> None:
        now = time.monotonic()
        since_s = max(1e-9, now - self._reported_at)
        self._reported_at = now
        times = {
            "step_s": step_s,
            "wait_share": min(1.0, self._feed.waited_s / since_s),
            "tokens_per_s": report.num_tokens / since_s,
            "samples_per_s": report.num_samples / since_s,
        }
        self._feed.waited_s = 0.0
        window = batch.rollouts
        reward = report.episode_reward if window is None or window.mean_reward is None else window.mean_reward
        numbers = report.metrics | times | {"batch_reward": report.episode_reward}
        if window is not None:
            numbers |= {"rollout_trajectories": float(window.trajectories)}
            numbers |= {"rollout_flat_share": window.flat_groups / max(1, window.groups)}
        # JSON has no word for other numbers, and the report of a step that was left out must arrive too.
        metrics = {name: value for name, value in numbers.items() if isfinite(value)}
        self.control.metrics = metrics
        body = TrainingMetrics(
            job_id=self._assignment.job_id,
            step=version,
            episode_reward=reward if isfinite(reward) else None,
            loss=metrics.get("loss"),
            metrics=metrics,
        )
        self._reporter.metrics(body)
        self._note_skips(version, report)

    def _note_skips(self, version: int, report: StepReport) -> None:
        self._skips = self._skips + report.skipped_steps if report.skipped_steps else 0
        if report.skipped_steps:
            message = f"the gradient of version {version} is not finite; its optimizer step is left out"
            self._reporter.event("trainer.step_skipped", message, level="warning")
        if self._skips >= MAX_SKIPS:
            raise SkyscaleError(
                f"{self._skips} optimizer steps in a row had no finite gradient",
                code="training_diverged",
                hint="Lower algorithm.learning_rate, or look at the run's rewards and logprob_diff before this step.",
            )
