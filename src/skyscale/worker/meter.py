"""What the worker says of itself in a heartbeat: rates and shares since the previous one. Pure; time is passed in."""

from dataclasses import dataclass, field

from skyscale.wire.turns import TurnRecord


@dataclass(slots=True)
class Meter:
    """Sums over finished groups; `report` reads and resets them."""

    since: float
    """When this window began, monotonic seconds."""
    trajectories: int = 0
    policy_s: float = 0.0
    sandbox_s: float = 0.0
    abandoned: int = 0
    talks: list[list[float]] = field(default_factory=list[list[float]])
    """Of each episode that was played by turns: the reward of every turn."""

    def talked(self, episodes: list[list[TurnRecord]]) -> None:
        """Note the turns of a group's episodes."""
        self.talks += [[turn.reward for turn in turns] for turns in episodes if turns]

    def sampled(self, policy_s: float) -> None:
        """Count the time that a group waited for its completions."""
        self.policy_s += policy_s

    def finished(self, *, trajectories: int, sandbox_s: float) -> None:
        """Count a finished group: how long it waited to be judged and stored."""
        self.trajectories += trajectories
        self.sandbox_s += sandbox_s

    def report(self, now: float, groups_in_flight: int) -> dict[str, float]:
        """Metrics of the window that ends now; shares are of the groups' summed durations."""
        whole_s = self.policy_s + self.sandbox_s or 1.0
        metrics = {
            "groups_in_flight": float(groups_in_flight),
            "trajectories_per_s": self.trajectories / max(now - self.since, 1e-3),
            "policy_wait_share": self.policy_s / whole_s,
            "sandbox_wait_share": self.sandbox_s / whole_s,
            "groups_abandoned": float(self.abandoned),
        }
        metrics |= _turn_metrics(self.talks)
        self.talks = []
        # Abandoned groups are counted over the worker's life, the rest over the window.
        self.since, self.trajectories, self.policy_s, self.sandbox_s = now, 0, 0.0, 0.0
        return metrics


def _turn_metrics(talks: list[list[float]]) -> dict[str, float]:
    """`turns` per episode, the first turn's mean reward, and the mean reward of second turns where there was one."""
    if not talks:
        return {}
    seconds = [rewards[1] for rewards in talks if len(rewards) > 1]
    metrics = {
        "turns": sum(map(len, talks)) / len(talks),
        "first_turn_reward": sum(rewards[0] for rewards in talks) / len(talks),
    }
    return metrics | ({"second_turn_reward": sum(seconds) / len(seconds)} if seconds else {})
