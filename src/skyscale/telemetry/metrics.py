"""Every metric of the control plane, by name, in one object that is built once and passed to whoever observes.

- A registry belongs to its `Metrics`, so several apps in one process (tests) do not share counts.
- Series of a run stay for `LINGER_S` after its end, so that its last numbers are scraped, and are then dropped.
- The reference page, docs/metrics.md, is generated from here: units and estimators are said where a metric is made.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import generate_latest

from skyscale.telemetry.described import Bounded, Shelf
from skyscale.telemetry.reported import Reported
from skyscale.wire.batches import BufferStats
from skyscale.wire.episodes import Outcome
from skyscale.wire.functions import ExecutionStatus
from skyscale.wire.jobs import JobRole, JobStatus

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DISPATCH_S = (0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
LINGER_S = 600.0
RUN = ["run_id"]
BUFFER_STATES = ("leased", "consumed", "flat", "stale", "failed")
LIVE = (JobStatus.QUEUED, JobStatus.STARTING, JobStatus.RUNNING, JobStatus.LOST)


class Metrics:
    """All metrics; a field is named as its metric without the prefix `skyscale_`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.shelf = shelf = Shelf()
        self.registry = shelf.registry
        self.label = Bounded()
        """For labels whose values callers choose."""
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._training(shelf)
        self._rl(shelf)
        self._jobs(shelf)
        self._sandboxes(shelf)
        self._functions(shelf)
        self._http(shelf)
        self.reported = Reported(shelf)

    def _training(self, shelf: Shelf) -> None:
        newest = "of the newest step"
        self.training_loss = shelf.gauge("training_loss", "Loss of the newest step", RUN, "", newest)
        self.training_episode_reward = shelf.gauge(
            "training_episode_reward",
            "Mean reward of the newest batch",
            RUN,
            "0 to 1",
            "mean over the batch's rollouts",
        )
        self.training_gpu_util = shelf.gauge("training_gpu_util", "Use of the trainer's accelerator", RUN, "share")
        self.training_step = shelf.gauge("training_step", "Newest step reported by the trainer", RUN, "versions")

    def _rl(self, shelf: Shelf) -> None:
        episodes = "trajectories"
        self.rl_run_active = shelf.gauge(
            "rl_run_active", "1 while the run is running, 0 once it has ended", [*RUN, "mode"], "0 or 1"
        )
        self.rl_runs_ended = shelf.counter("rl_runs_ended", "Runs that ended", ["status"], "runs")
        self.rl_buffer_size = shelf.gauge("rl_buffer_size", "Trajectories waiting to be trained on", RUN, episodes)
        self.rl_buffer_trajectories = shelf.gauge(
            "rl_buffer_trajectories", "Trajectories that no longer wait, by what became of them", [*RUN, "state"],
            episodes, "all of the run so far",
        )  # fmt: skip
        self.rl_buffer_slots = shelf.gauge(
            "rl_buffer_slots", "Groups that may be in play or wait at once", RUN, "groups"
        )
        self.rl_groups_in_play = shelf.gauge("rl_groups_in_play", "Groups that workers are playing", RUN, "groups")
        self.rl_policy_version = shelf.gauge("rl_policy_version", "Newest published policy version", RUN, "versions")
        self.rl_evaluation_reward = shelf.gauge(
            "rl_evaluation_reward", "Reward on held-out problems", RUN, "0 to 1", "mean of the newest evaluation"
        )
        self.rl_trajectories_pushed = shelf.counter("rl_trajectories_pushed", "Trajectories stored", RUN, episodes)
        self.rl_trajectories_sampled = shelf.counter(
            "rl_trajectories_sampled", "Trajectories handed to a trainer", RUN, episodes,
            "sum since start; an expired lease counts again",
        )  # fmt: skip
        self.rl_curriculum_problems = shelf.gauge(
            "rl_curriculum_problems", "Train problems by what the curriculum makes of them", [*RUN, "pool"], "problems"
        )
        so_far = "so far, by list prices"
        self.rl_cost_usd = shelf.gauge("rl_cost_usd", "What the run has cost", RUN, "dollars", so_far)
        self.rl_cost_usd_per_hour = shelf.gauge("rl_cost_usd_per_hour", "What the run costs now", RUN, "dollars/hour")
        self.rl_cost_gpu_seconds = shelf.gauge("rl_cost_gpu_seconds", "Accelerator time that was used", RUN, "seconds")
        self.rl_cost_cpu_seconds = shelf.gauge(
            "rl_cost_cpu_seconds", "Core time of jobs without an accelerator", RUN, "seconds"
        )
        self.rl_cost_sandbox_seconds = shelf.gauge(
            "rl_cost_sandbox_seconds", "Time that sandboxes ran the run's programs", RUN, "seconds"
        )
        self.rl_cost_tokens = shelf.gauge(
            "rl_cost_tokens", "Tokens sampled", RUN, "tokens", "as policy servers last said"
        )
        self.policy_up = shelf.gauge("policy_up", "1 while the run's policy server is healthy", RUN, "0 or 1")

    def _jobs(self, shelf: Shelf) -> None:
        job = ["role", "gpu_model", "provider"]
        self.job_cost_usd = shelf.counter(
            "job_cost_usd", "What jobs of their own cost", ["provider"], "dollars", "by list prices"
        )
        self.service_cost_usd = shelf.counter(
            "service_cost_usd", "What services cost at most", [], "dollars", "by list prices and what they may use"
        )
        self.job_dispatch = shelf.counter("job_dispatch", "Starts of jobs", [*job, "status"], "starts")
        self.job_dispatch_failures = shelf.counter("job_dispatch_failures", "Starts of jobs that failed", job, "starts")
        self.job_dispatch_duration_seconds = shelf.histogram(
            "job_dispatch_duration_seconds", "From claim to running", job, DISPATCH_S
        )
        self.job_restarts = shelf.counter(
            "job_restarts", "Jobs queued again after their process ended", ["role", "provider"], "restarts"
        )
        self.job_deferred = shelf.counter(
            "job_deferred", "Starts put off until the policy server is healthy", ["role"], "starts"
        )
        self.job_live = shelf.gauge("job_live", "Jobs that have not ended", ["role", "status"], "jobs")

    def _sandboxes(self, shelf: Shelf) -> None:
        self.sandbox_judgements = shelf.counter(
            "sandbox_judgements", "Programs judged in a sandbox", ["outcome"], "programs"
        )
        self.sandbox_failures = shelf.counter(
            "sandbox_failures", "Judgements that failed for reasons of ours", [], "programs",
            "sum since start; each is tried once more",
        )  # fmt: skip
        self.sandbox_cached_verdicts = shelf.counter(
            "sandbox_cached_verdicts", "Verdicts that were remembered", [], "programs"
        )
        self.sandbox_judge_duration_seconds = shelf.histogram(
            "sandbox_judge_duration_seconds", "Judging the new programs of one call, waits included", [], LATENCY_S
        )
        self.sandbox_pool_size = shelf.gauge(
            "sandbox_pool_size", "Warm sandboxes that are ready to judge", [], "sandboxes", "at the scrape"
        )
        self.sandbox_interactive_open = shelf.gauge(
            "sandbox_interactive_open", "Interactive sandboxes that are open", [], "sandboxes", "at the scrape"
        )
        self._outcomes = {outcome: self.sandbox_judgements.labels(outcome.value) for outcome in Outcome}

    def _functions(self, shelf: Shelf) -> None:
        self.function_calls = shelf.counter("function_calls", "Calls of functions that ended", ["status"], "calls")
        self.function_cold_calls = shelf.counter(
            "function_cold_calls", "Calls for which no sandbox was ready", [], "calls"
        )
        self.function_call_duration_seconds = shelf.histogram(
            "function_call_duration_seconds", "From asked to ended, waits included", [], LATENCY_S
        )
        self.function_calls_open = shelf.gauge(
            "function_calls_open", "Calls that wait or run", [], "calls", "at the scrape"
        )
        self.function_sandboxes_ready = shelf.gauge(
            "function_sandboxes_ready", "Fresh sandboxes that wait for a call", [], "sandboxes", "at the scrape"
        )

    def function_called(self, status: ExecutionStatus, seconds: float, *, is_cold: bool | None) -> None:
        """Count a call that has ended; `is_cold` is None for one that ran in no sandbox."""
        self.function_calls.labels(status.value).inc()
        self.function_call_duration_seconds.observe(seconds)
        if is_cold:
            self.function_cold_calls.inc()

    def _http(self, shelf: Shelf) -> None:
        self.http_requests = shelf.counter("http_requests", "Requests", ["method", "route", "status"], "requests")
        self.http_request_duration_seconds = shelf.histogram(
            "http_request_duration_seconds",
            "From first byte of the request to last byte of the reply; event streams excluded",
            ["method", "route"],
            LATENCY_S,
        )

    def judged(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Count programs that were run together; labelled children are kept, as this is on every rollout's way."""
        for outcome, count in Tally(outcomes).items():
            self._outcomes[outcome].inc(count)
        self.sandbox_judge_duration_seconds.observe(seconds)
        if Outcome.INFRASTRUCTURE_FAILURE in outcomes:
            self.sandbox_failures.inc(outcomes.count(Outcome.INFRASTRUCTURE_FAILURE))

    def note_buffer(self, stats: BufferStats) -> None:
        """Show a run's buffer."""
        self.rl_buffer_size.labels(stats.run_id).set(stats.size)
        self.rl_buffer_slots.labels(stats.run_id).set(stats.slots)
        self.rl_groups_in_play.labels(stats.run_id).set(stats.groups_in_play)
        for state in BUFFER_STATES:
            self.rl_buffer_trajectories.labels(stats.run_id, state).set(getattr(stats, state))

    def note_cost(self, run_id: str, cost: Mapping[str, object]) -> None:
        """Show a run's meter; `cost` has the columns of `run_costs`."""
        for metric, column in (
            (self.rl_cost_usd, "usd"), (self.rl_cost_usd_per_hour, "usd_per_hour"), (self.rl_cost_gpu_seconds, "gpu_s"),
            (self.rl_cost_cpu_seconds, "cpu_s"), (self.rl_cost_sandbox_seconds, "sandbox_s"),
            (self.rl_cost_tokens, "tokens"),
        ):  # fmt: skip
            metric.labels(run_id).set(float(str(cost[column])))

    def note_jobs(self, jobs: Mapping[tuple[JobRole, JobStatus], int]) -> None:
        """Show how many live jobs there are; what is not named is 0."""
        for role in JobRole:
            for status in LIVE:
                self.job_live.labels(role.value, status.value).set(jobs.get((role, status), 0))

    def note_run(self, run_id: str, mode: str, version: int, *, is_served: bool) -> None:
        """Show a run that is running."""
        self.rl_run_active.labels(run_id, mode).set(1)
        self.rl_policy_version.labels(run_id).set(version)
        self.policy_up.labels(run_id).set(1 if is_served else 0)

    def end_run(self, run_id: str, mode: str, status: str) -> None:
        """Count a run that has ended, and have its series dropped when they have been scraped."""
        self.rl_runs_ended.labels(status).inc()
        self.rl_run_active.labels(run_id, mode).set(0)
        self._ended[run_id] = self._clock()
        self._forget_long_ended()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        self._forget_long_ended()
        return generate_latest(self.registry)

    def _forget_long_ended(self) -> None:
        now = self._clock()
        for run_id in [run_id for run_id, ended in self._ended.items() if now - ended > LINGER_S]:
            del self._ended[run_id]
            self.shelf.forget(run_id)
