"""Wrong credentials are answered a limited number of times per address and minute. Pure: the clock is passed in.

- A credential that this address has used with success goes on working whoever else fails behind the same address (a
  proxy, this machine): nobody can lock others out.
- Job tokens are not counted: they are recognised by their signature alone, and a fleet of jobs shares addresses.
"""

import hashlib
from collections import OrderedDict

MOST_FAILURES = 20
"""Of one address in `WINDOW_S`; a person who mistypes stays below it, a guesser does not."""
WINDOW_S = 60.0
MAX_ADDRESSES = 10_000
PROVEN_S = 3600.0


class Failures:
    """Who has failed how often lately, and which credentials were right."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, bytes], float] = OrderedDict()

    def wait_s(self, address: str, credential: str, now: float) -> float:
        """Seconds until this address may try this credential; 0 for now."""
        since, count = self._failed.get(address, (now, 0))
        if count < MOST_FAILURES or now - since >= WINDOW_S:
            return 0.0
        if now - self._proven.get((address, _mark(credential)), -PROVEN_S) < PROVEN_S:
            return 0.0
        return WINDOW_S - (now - since)

    def failed(self, address: str, now: float) -> None:
        """This address sent a wrong credential."""
        since, count = self._failed.pop(address, (now, 0))
        self._failed[address] = (since, count + 1) if now - since < WINDOW_S else (now, 1)
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def succeeded(self, address: str, credential: str, now: float) -> None:
        """This address sent a right one."""
        mark = (address, _mark(credential))
        self._proven.pop(mark, None)
        self._proven[mark] = now
        while len(self._proven) > MAX_ADDRESSES:
            self._proven.popitem(last=False)


def _mark(credential: str) -> bytes:
    return hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
