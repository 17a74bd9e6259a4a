"""What the environment judged of each group's programs, remembered until the push so that a reward can be checked.

In memory and bounded: after a restart a push is taken on the word of the worker, whose token is scoped to the run.
"""

from collections import OrderedDict
from collections.abc import Mapping

from skyscale.errors import Invalid
from skyscale.wire.batches import GroupPush
from skyscale.wire.episodes import Outcome

MAX_GROUPS = 20_000
TOLERANCE = 1e-6
"""Rewards pass through JSON exactly; this forgives a client that rounds to float32."""


class JudgedRewards:
    """Rewards by program, or by episode where one takes several turns, for the most recently judged groups."""

    def __init__(self) -> None:
        self._groups: OrderedDict[str, dict[str, float]] = OrderedDict()

    def remember(self, group_id: str, rewards: Mapping[str, float]) -> None:
        """Add what was judged; a later verdict of the same program replaces the earlier one."""
        self._groups.setdefault(group_id, {}).update(rewards)
        self._groups.move_to_end(group_id)
        while len(self._groups) > MAX_GROUPS:
            self._groups.popitem(last=False)

    def check(self, group: GroupPush) -> None:
        """Compare a push with what is remembered of its group.

        Raises:
            Invalid: a reward is not the one that was judged, or is above 0 for a program that never was.
        """
        judged = self._groups.get(group.group_id)
        if judged is None:
            return
        for index, trajectory in enumerate(group.trajectories):
            if trajectory.outcome == Outcome.INFRASTRUCTURE_FAILURE:
                continue
            expected = judged.get(trajectory.episode_id if trajectory.turns else trajectory.code, 0.0)
            if abs(trajectory.reward - expected) > TOLERANCE:
                raise Invalid(
                    f"trajectories.{index}.reward: {trajectory.reward} was pushed, {expected} was judged",
                    code="reward_mismatch",
                    hint="Push the reward of the verdict that `step` returned for this program.",
                )

    def forget(self, group_id: str) -> None:
        """Drop a group that is stored."""
        self._groups.pop(group_id, None)
