"""Metrics that carry their own documentation: unit and estimator are said where a metric is made.

- Names are `skyscale_` and a room's prefix; base units; a counter ends in `_total` (its client adds that).
- A label is bounded, or it is `run_id`; a histogram never has `run_id` (a set of buckets for each run would be kept).
- Whatever has `run_id` is dropped by `Shelf.forget`.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as its reference page shows it."""

    name: str
    """As it is scraped."""
    kind: str
    labels: tuple[str, ...]
    unit: str
    text: str
    estimator: str
    """How the number is come by."""


class Shelf:
    """Makes the metrics of one registry and remembers what they are."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.all: list[Described] = []
        self._of_runs: list[Gauge | Counter] = []

    def gauge(self, name: str, text: str, labels: list[str], unit: str, estimator: str = "last value") -> Gauge:
        """A number that goes up and down."""
        made = Gauge(f"skyscale_{name}", text, labels, registry=self.registry)
        self._keep(made, Described(f"skyscale_{name}", "gauge", tuple(labels), unit, text, estimator))
        return made

    def counter(
        self, name: str, text: str, labels: list[str], unit: str, estimator: str = "sum since start"
    ) -> Counter:
        """A number that only rises; 0 when the control plane starts."""
        made = Counter(f"skyscale_{name}", text, labels, registry=self.registry)
        self._keep(made, Described(f"skyscale_{name}_total", "counter", tuple(labels), unit, text, estimator))
        return made

    def histogram(self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]) -> Histogram:
        """Seconds, in buckets."""
        assert "run_id" not in labels, "runs come and go; a histogram of each would be kept for ever"
        made = Histogram(f"skyscale_{name}", text, labels, registry=self.registry, buckets=buckets)
        estimator = f"buckets up to {', '.join(f'{bound:g}' for bound in buckets)}"
        self.all.append(Described(f"skyscale_{name}", "histogram", tuple(labels), "s", text, estimator))
        return made

    def forget(self, run_id: str) -> None:
        """Drop every series of a run."""
        for metric in self._of_runs:
            metric.remove_by_labels({"run_id": run_id})

    def _keep(self, metric: Gauge | Counter, described: Described) -> None:
        self.all.append(described)
        if "run_id" in described.labels:
            self._of_runs.append(metric)


class Bounded:
    """Values for a label that callers choose: the first `most` as they are, everything later as `other`."""

    def __init__(self, most: int = 50) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value that may be a label."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return "other"
            self._known.add(value)
        return value
