"""The engine's counters in Prometheus' text format; written by hand, as ten lines need no client library. Pure."""

from skyscale.policy.engine import EngineStats

SERIES = (
    ("policy_version", "gauge", "Policy version being served.", "version"),
    ("running", "gauge", "Completions being decoded.", "running"),
    ("waiting", "gauge", "Completions that wait for a place in the batch.", "waiting"),
    ("prompt_tokens_total", "counter", "Prompt tokens computed; a prompt counts once however many samples it has.",
     "prompt_tokens"),
    ("generated_tokens_total", "counter", "Tokens sampled.", "generated_tokens"),
    ("decode_steps_total", "counter", "Decode steps.", "steps"),
    ("swaps_total", "counter", "Weight swaps activated.", "swaps"),
    ("failed_swaps_total", "counter", "Weight swaps refused.", "failed_swaps"),
    ("busy_seconds_total", "counter", "Time spent computing.", "busy_s"),
    ("idle_seconds_total", "counter", "Time with nothing to decode.", "idle_s"),
)  # fmt: skip


def metrics_text(stats: EngineStats) -> str:
    """The reply to `GET /metrics`."""
    lines: list[str] = []
    for name, kind, help_, attribute in SERIES:
        lines += [
            f"# HELP skyscale_policy_{name} {help_}",
            f"# TYPE skyscale_policy_{name} {kind}",
            f"skyscale_policy_{name} {getattr(stats, attribute)}",
        ]
    return "\n".join(lines) + "\n"
