"""Which train problems a run draws less often, and how many of them there are."""

from typing import Annotated

from pydantic import Field, model_validator

from skyscale.wire.base import Reply, Request


class Curriculum(Request):
    """Train less on what is solved or hopeless; a group of equal rewards teaches nothing.

    A problem's estimate is the mean reward of its groups in this run, each older one counting `decay` as much as the
    next. With `after_groups` groups and an estimate outside [hopeless_below, solved_above] the problem is retired: it
    is drawn `recheck` as often as the others, so that it comes back when its estimate does.
    """

    solved_above: Annotated[float, Field(gt=0, le=1)] = 0.95
    hopeless_below: Annotated[float, Field(ge=0, lt=1)] = 0.02
    after_groups: Annotated[int, Field(ge=1, le=8)] = 2
    decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    recheck: Annotated[float, Field(gt=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Curriculum":
        if self.hopeless_below >= self.solved_above:
            raise ValueError("curriculum.hopeless_below must be less than curriculum.solved_above")
        return self


class CurriculumCounts(Reply):
    """The run's train problems by what its curriculum makes of them."""

    unplayed: int
    """Fewer than `after_groups` groups so far; drawn as often as `learning` ones."""
    learning: int
    solved: int
    hopeless: int
