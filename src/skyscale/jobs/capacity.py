"""Whether a provider's machines may be taken away while a job runs, and who can give what was asked for. Pure.

`on_demand` is kept until the job ends, `preemptible` may be taken away at any time; a caller who names neither gets
what the provider gives. Workers and loggers are started again at little cost: the choice is not about them.
"""

from collections.abc import Iterable

from skyscale.errors import Invalid
from skyscale.jobs import gpus
from skyscale.jobs.provider import Abilities

NAMES = {"on_demand": "on-demand", "preemptible": "preemptible"}


def gives(able: Abilities, capacity: str | None, gpu_model: str) -> bool:
    """Whether such a provider has the machine with that capacity."""
    has = able.capacities if gpus.parse(gpu_model).count == 0 else able.gpu_capacities or able.capacities
    return capacity is None or capacity in has


def refusal(names: Iterable[str], capacity: str, gpu_model: str) -> Invalid:
    """What a caller is told whom none of these providers can serve."""
    what = "machines without an accelerator" if gpus.parse(gpu_model).count == 0 else gpu_model
    return Invalid(
        f"capacity: {', '.join(names)} has no {NAMES[capacity]} {what}",
        code="capacity_not_offered",
        hint="Leave capacity out to take what the provider gives; docs/costs.md says who gives what.",
    )
