"""A curve in one line of text. Pure."""

from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int, low: float = 0.0, high: float = 1.0) -> str:
    """At most `width` bars; more values than that are averaged in equal parts. Values outside the range are cut."""
    if not values or width < 1:
        return ""
    num = min(width, len(values))
    edges = [index * len(values) // num for index in range(num + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    span = max(high - low, 1e-9)
    top = len(BARS) - 1
    return "".join(BARS[round(min(1.0, max(0.0, (mean - low) / span)) * top)] for mean in means)
