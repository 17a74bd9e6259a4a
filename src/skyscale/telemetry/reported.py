"""What trainers, policy servers and workers report, shown again by the control plane as gauges.

They dial out and cannot be scraped, often from behind a NAT; so Prometheus reads their numbers here. A number that is
not in these tables, or not finite, is no metric. Definitions of the trainer's: docs/metrics-training.md.
"""

from collections.abc import Mapping
from math import isfinite

from prometheus_client import Gauge

from skyscale.telemetry.described import Shelf
from skyscale.wire.jobs import JobRole

LAST_STEP = "of the newest step"
WINDOW = "over the time since the report before"
MOMENT = "at the newest heartbeat"
Row = tuple[str, str, str, str, str]
"""Name in the report, name of the metric, help, unit, estimator."""

TRAINER: tuple[Row, ...] = (
    ("step_s", "training_step_seconds", "Computing a batch, publication excluded", "s", LAST_STEP),
    ("wait_share", "training_wait_share", "Time spent waiting for a batch", "share", WINDOW),
    ("tokens_per_s", "training_tokens_per_second", "Completion tokens trained on", "1/s", WINDOW),
    ("samples_per_s", "training_samples_per_second", "Episodes trained on", "1/s", WINDOW),
    ("entropy", "training_entropy_nats", "Entropy of the policy per token", "nats", f"mean over tokens {LAST_STEP}"),
    ("kl", "training_kl_nats", "Divergence from the base model", "nats", f"mean over tokens {LAST_STEP}"),
    ("mismatch_kl", "training_mismatch_kl_nats", "Divergence between engine and trainer", "nats", f"k3 {LAST_STEP}"),
    ("logprob_diff", "training_logprob_diff_nats", "Distance of engine and trainer", "nats", f"mean {LAST_STEP}"),
    ("grad_norm", "training_grad_norm", "L2 norm of the gradient before clipping", "", LAST_STEP),
    ("staleness", "training_staleness_versions", "Age of the tokens trained on", "versions", f"mean {LAST_STEP}"),
    ("flat_share", "training_flat_share", "Groups of equal reward in the batch", "share", LAST_STEP),
    ("truncated_share", "training_truncated_share", "Episodes that ran out of tokens", "share", LAST_STEP),
    ("completion_tokens", "training_completion_tokens", "Length of an episode", "tokens", f"mean {LAST_STEP}"),
)
POLICY: tuple[Row, ...] = (
    ("tokens_per_s", "policy_tokens_per_second", "Tokens sampled", "1/s", WINDOW),
    ("idle_share", "policy_idle_share", "Time with nothing to decode", "share", WINDOW),
    ("running", "policy_batch_size", "Completions being decoded", "completions", MOMENT),
    ("waiting", "policy_queue_length", "Completions that wait for a place in the batch", "completions", MOMENT),
    ("swaps", "policy_weight_swaps", "Weight swaps of this policy server process", "swaps", MOMENT),
)
WORKER: tuple[Row, ...] = (
    ("trajectories_per_s", "rl_worker_trajectories_per_second", "Episodes finished", "1/s", WINDOW),
    ("groups_in_flight", "rl_worker_groups_in_flight", "Groups being played", "groups", MOMENT),
    ("policy_wait_share", "rl_worker_policy_wait_share", "Group time with the policy server", "share", WINDOW),
    ("sandbox_wait_share", "rl_worker_sandbox_wait_share", "Group time with the judge", "share", WINDOW),
    ("groups_abandoned", "rl_worker_groups_abandoned", "Groups given up", "groups", "since the worker's start"),
)


class Reported:
    """The gauges of the tables above."""

    def __init__(self, shelf: Shelf) -> None:
        def gauges(rows: tuple[Row, ...], labels: list[str]) -> dict[str, Gauge]:
            return {key: shelf.gauge(name, text, labels, unit, how) for key, name, text, unit, how in rows}

        self._trainer = gauges(TRAINER, ["run_id"])
        self._policy = gauges(POLICY, ["run_id"])
        self._worker = gauges(WORKER, ["run_id", "worker"])

    def trained(self, run_id: str, numbers: Mapping[str, float]) -> None:
        """Show a trainer's report."""
        _show(self._trainer, (run_id,), numbers)

    def heard(self, run_id: str, role: JobRole, job_id: str, numbers: Mapping[str, float]) -> None:
        """Show a heartbeat. A worker is told from others by its index, the end of its job's id."""
        if role is JobRole.POLICY:
            _show(self._policy, (run_id,), numbers)
        elif role is JobRole.WORKER:
            _show(self._worker, (run_id, job_id.rpartition("-")[2]), numbers)


def _show(gauges: dict[str, Gauge], labels: tuple[str, ...], numbers: Mapping[str, float]) -> None:
    for key, value in numbers.items():
        gauge = gauges.get(key)
        if gauge is not None and isfinite(value):
            gauge.labels(*labels).set(value)
