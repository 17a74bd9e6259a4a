"""Which host takes what, and when one is lost. Pure.

report --> ready <--> draining --good-bye--> gone
             \\____________/
                   v
                 lost        no report for `LOST_S` and no answer, or a new process at its address
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from skyscale.errors import Invalid
from skyscale.settings import LOOPBACK
from skyscale.wire.hosts import HostState

REPORT_S = 2.0
LOST_S = 10.0
"""Without a report for this long a host is lost, unless it answers when asked: then we were too busy to listen."""
MUTE_S = 60.0
"""Without a report for this long it is lost even if it answers: it cannot reach us."""
BATCH = 8
"""Programs in one request: a usual group; more are spread."""
BASE_WAIT_S, WAIT_PER_CODE_S = 30.0, 30.0
"""The longest that judging may take: a stdin problem has two timeouts of 5 s, twice, and waits for its turn."""
OPEN = (HostState.READY, HostState.DRAINING)


class Loaded(Protocol):
    """A host, as far as choosing needs it."""

    @property
    def slots(self) -> int:
        """Programs that it runs at once."""
        ...

    @property
    def num_judging(self) -> int:
        """Programs that it has, ours and others'."""
        ...

    @property
    def num_free(self) -> int:
        """Interactive sandboxes that it has room for."""
        ...


def is_silent(seen_at: datetime, now: datetime) -> bool:
    """Whether a host that was last heard of then is lost if it does not answer."""
    return now - seen_at > timedelta(seconds=LOST_S)


def is_lost(seen_at: datetime, now: datetime, *, answers: bool) -> bool:
    """Whether a silent host must be given up."""
    return not answers or now - seen_at > timedelta(seconds=MUTE_S)


def by_judging(hosts: Iterable[Loaded]) -> list[Loaded]:
    """The least loaded first: fewest programs per slot."""
    return sorted(hosts, key=lambda host: (host.num_judging / host.slots, -host.slots))


def by_room(hosts: Iterable[Loaded]) -> list[Loaded]:
    """Those with room for an interactive sandbox, the most room first."""
    return sorted((host for host in hosts if host.num_free > 0), key=lambda host: -host.num_free)


def batches(codes: Sequence[str]) -> list[list[str]]:
    """The programs in requests of `BATCH`, in order."""
    return [list(codes[start : start + BATCH]) for start in range(0, len(codes), BATCH)]


def deadline_s(num_codes: int) -> float:
    """How long a host may take to judge so many programs before another one is asked."""
    return BASE_WAIT_S + WAIT_PER_CODE_S * num_codes


def check_url(url: str, *, has_token: bool) -> None:
    """Raise Invalid for an address that we would not call: without a shared token only this machine's own."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise Invalid(f"url: {url!r} is not http(s)://host[:port]")
    if not has_token and parts.hostname not in LOOPBACK:
        raise Invalid(
            f"url: {url!r} is beyond this machine, which needs SKYSCALE_HOST_TOKEN on both sides",
            code="host_token_needed",
        )
