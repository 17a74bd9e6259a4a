"""Every metric of the control plane, by name, in one object that is built once and passed to whoever observes.

A registry belongs to its `Metrics`, so several apps in one process (tests) do not share counts.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DISPATCH_S = (0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)


class Metrics:
    """All metrics; a field is named as its metric without the prefix `skyscale_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        run = ["run_id"]
        self.training_loss = self._gauge("training_loss", "Loss of the newest step", run)
        self.training_episode_reward = self._gauge("training_episode_reward", "Mean reward of the newest batch", run)
        self.training_gpu_util = self._gauge("training_gpu_util", "Use of the trainer's accelerator, 0 to 1", run)
        self.training_step = self._gauge("training_step", "Newest step reported by the trainer", run)
        self.rl_buffer_size = self._gauge("rl_buffer_size", "Trajectories waiting to be trained on", run)
        self.rl_policy_version = self._gauge("rl_policy_version", "Newest published policy version", run)
        self.rl_trajectories_pushed = self._counter("rl_trajectories_pushed", "Trajectories stored", run)
        self.rl_trajectories_sampled = self._counter("rl_trajectories_sampled", "Trajectories handed out", run)
        self.rl_curriculum_problems = self._gauge(
            "rl_curriculum_problems", "Train problems by what the curriculum makes of them", [*run, "pool"]
        )
        job = ["role", "gpu_model", "provider"]
        self.job_dispatch = self._counter("job_dispatch", "Starts of jobs", [*job, "status"])
        self.job_dispatch_failures = self._counter("job_dispatch_failures", "Starts of jobs that failed", job)
        self.job_dispatch_duration_seconds = Histogram(
            "skyscale_job_dispatch_duration_seconds",
            "From claim to running",
            job,
            registry=self.registry,
            buckets=DISPATCH_S,
        )
        self.job_deferred = self._counter("job_deferred", "Starts put off until the policy server is healthy", ["role"])
        self.http_requests = self._counter("http_requests", "Requests", ["method", "route", "status"])
        self.http_request_duration_seconds = Histogram(
            "skyscale_http_request_duration_seconds",
            "From first byte of the request to last byte of the reply; event streams excluded",
            ["method", "route"],
            registry=self.registry,
            buckets=LATENCY_S,
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def forget_run(self, run_id: str) -> None:
        """Drop the gauges of a run that has ended, so that label values do not pile up for ever."""
        for gauge in (
            self.training_loss,
            self.training_episode_reward,
            self.training_gpu_util,
            self.training_step,
            self.rl_buffer_size,
            self.rl_policy_version,
            self.rl_curriculum_problems,
        ):
            gauge.remove_by_labels({"run_id": run_id})

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(f"skyscale_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(f"skyscale_{name}", text, labels, registry=self.registry)
