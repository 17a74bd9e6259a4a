"""What the worker says of itself in a heartbeat: rates and shares since the previous one. Pure; time is passed in."""

from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """Sums over finished groups; `report` reads and resets them."""

    since: float
    """When this window began, monotonic seconds."""
    trajectories: int = 0
    policy_s: float = 0.0
    sandbox_s: float = 0.0
    abandoned: int = 0

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
        # Abandoned groups are counted over the worker's life, the rest over the window.
        self.since, self.trajectories, self.policy_s, self.sandbox_s = now, 0, 0.0, 0.0
        return metrics
