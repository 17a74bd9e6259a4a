"""What the provider contract suite asks of a place to try a provider in."""

from collections.abc import Callable
from dataclasses import dataclass

from skyscale.jobs.provider import Provider

OWNER, STRANGER = "0123456789ab", "ba9876543210"


@dataclass(frozen=True)
class Home:
    """A place to try a provider in."""

    make: Callable[[], Provider]
    """A provider as each control plane makes its own; all of one home see the same jobs."""
    within_s: float = 10.0
    """How long a job may take to start or to end here."""
    lose_next_reply: Callable[[], None] | None = None
    """The next start takes effect while its caller never hears of it; None where that cannot happen."""
    stranger: Callable[[], Provider] | None = None
    """A provider of another owner on the same account."""
    keeps_all_logs: bool = True
    """Whether `logs` has the output of earlier attempts too."""
    holds_ended: bool = False
    """Whether what has ended is held, and billed, until it is stopped."""
