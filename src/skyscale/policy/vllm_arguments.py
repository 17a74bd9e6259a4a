"""What an operator may tell vLLM beyond what we tell it: `SKYSCALE_VLLM_ARGUMENTS`. Pure, and without vLLM.

What the engine contract rests on is ours alone: the weights, the log-probabilities, the sampling defaults, the rows.
"""

from collections.abc import Mapping
from typing import Any

from skyscale.errors import Invalid

YIELDING = frozenset({"max_model_len", "enforce_eager", "block_size"})
"""What we say only until somebody knows better."""


def with_given(ours: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`ours` and `given` together, as keywords of vLLM's `AsyncEngineArgs`.

    Raises:
        Invalid: an argument on which the engine's promises rest is given.
    """
    taken = sorted(given.keys() & ours.keys() - YIELDING)
    if taken:
        raise Invalid(
            f"SKYSCALE_VLLM_ARGUMENTS must not set {', '.join(taken)}: the policy server does", code="setting"
        )
    return {**ours, **given}
