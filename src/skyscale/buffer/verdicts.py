"""What the environment judged of a group's programs, kept with the group until it is pushed, to check the rewards by.

It is in the database: whichever control plane takes the push, also after a restart, knows what any of them judged.
"""

import hashlib
from collections.abc import Mapping

from skyscale.errors import Invalid
from skyscale.wire.batches import GroupPush, Trajectory
from skyscale.wire.episodes import Outcome

TOLERANCE = 1e-6
"""Rewards pass through JSON exactly; this forgives a client that rounds to float32."""


def key_of_program(code: str) -> str:
    """Names a program of a group; short, since programs may be long."""
    return hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def check(group: GroupPush, judged: Mapping[str, float]) -> None:
    """Compare a push with what was judged of its group: rewards by program, or by episode where one has turns.

    Raises:
        Invalid: a reward is not the one that was judged, or is above 0 for a program that never was.
    """
    for index, trajectory in enumerate(group.trajectories):
        if trajectory.outcome == Outcome.INFRASTRUCTURE_FAILURE:
            continue
        expected = judged.get(_key(trajectory), 0.0)
        if abs(trajectory.reward - expected) > TOLERANCE:
            raise Invalid(
                f"trajectories.{index}.reward: {trajectory.reward} was pushed, {expected} was judged",
                code="reward_mismatch",
                hint="Push the reward of the verdict that `step` returned for this program.",
            )


def _key(trajectory: Trajectory) -> str:
    return trajectory.episode_id if trajectory.turns else key_of_program(trajectory.code)
