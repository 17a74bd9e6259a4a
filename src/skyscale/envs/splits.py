"""Which families are trained on and which are held out, when their problems do not say. Pure.

- A family lies in one split as a whole; a split that one of its problems states is the split of all that state none.
- Otherwise a family is held out when a hash of its name falls below the fraction: the same name always falls on the
  same side, however the set grows and whatever order it has.
- Something is always left to train on; and with a fraction above 0 and two families that state nothing, something is
  held out.
"""

from collections.abc import Mapping
from hashlib import sha256

from skyscale.wire.problems import Split


def plan_splits(stated: Mapping[str, Split | None], heldout_fraction: float) -> dict[str, Split]:
    """The split of every family; `stated` says which families have one of their own."""
    plan = {family: split or _hashed(family, heldout_fraction) for family, split in stated.items()}
    free = sorted((family for family, split in stated.items() if split is None), key=_place)
    splits = set(plan.values())
    if free and Split.TRAIN not in splits:
        plan[free[-1]] = Split.TRAIN
    if heldout_fraction > 0 and Split.HELDOUT not in splits and len(free) >= 2:
        plan[free[0]] = Split.HELDOUT
    return plan


def _hashed(family: str, heldout_fraction: float) -> Split:
    return Split.HELDOUT if _place(family)[0] < heldout_fraction else Split.TRAIN


def _place(family: str) -> tuple[float, str]:
    """Where in [0, 1) a family falls, and its name to tell equal places apart."""
    return int.from_bytes(sha256(f"split:{family}".encode()).digest()[:6]) / 2**48, family
