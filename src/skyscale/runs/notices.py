"""What a run is told when it is created, beside that it was: facts of its surroundings that bear on its results."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Notice:
    """One such fact; it becomes an event of the run."""

    kind: str
    message: str
    level: Literal["info", "warning"] = "info"
    component: str = "env"
    data: dict[str, object] = field(default_factory=dict[str, object])
