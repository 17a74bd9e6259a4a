"""The trainer's tie to the control plane: heartbeats, the wish to finish, and leases that are kept from expiring.

One thread. It never touches the model. A control plane that is silent for minutes ends the training; nothing is lost by
that, since what was published is there and what was not is played again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable

from skyscale.errors import Gone, SkyscaleError
from skyscale.sdk.jobs import JobClient
from skyscale.wire.batches import LeaseRequest
from skyscale.wire.jobs import Heartbeat, HeartbeatReply, JobAssignment

log = logging.getLogger(__name__)

LEASE_S = 20.0
"""How long the groups of a trainer that died are out of reach; a living one extends its leases every quarter of it."""
SILENCE_S = 300.0
"""How long to go on without an answered heartbeat."""


class Control:
    """Sends heartbeats until closed; `finish` is set when the run wants its trainer to end."""

    def __init__(self, client: JobClient, assignment: JobAssignment, on_gone: Callable[[], None]) -> None:
        self.finish = threading.Event()
        self.is_lost = False
        """The control plane was silent for `SILENCE_S`; `finish` is set too."""
        self.detail = "starting"
        self.metrics: dict[str, float] = {}
        self.pinned: frozenset[int] = frozenset()
        """Versions that must not be deleted, as of the last heartbeat."""
        self._client = client
        self._run_id = assignment.run_id
        self._heartbeat_s = assignment.heartbeat_s
        self._on_gone = on_gone
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._answered_at = time.monotonic()
        self._extended_at = time.monotonic()
        self._thread = threading.Thread(target=self._beat_until_closed, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin; `on_gone` is called in the heartbeat's thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the heartbeats."""
        self._closed.set()

    def ask(self) -> HeartbeatReply:
        """One heartbeat now. Raises Gone when the job must end."""
        return self._note(self._client.heartbeat(self._heartbeat()))

    def hold(self, lease_id: str) -> None:
        """Extend this lease from now on."""
        with self._lock:
            self._held.add(lease_id)

    def drop(self, lease_ids: Iterable[str]) -> None:
        """Extend these leases no more."""
        with self._lock:
            self._held.difference_update(lease_ids)

    def _beat_until_closed(self) -> None:
        while not self._closed.wait(self._heartbeat_s):
            try:
                self._note(self._client.heartbeat(self._heartbeat(), retry_for_s=0.0))
                if time.monotonic() - self._extended_at > LEASE_S / 4:
                    self._extend_all()
            except Gone:
                self._on_gone()
                return
            except SkyscaleError as e:
                log.warning("heartbeat: %s", e)
                if time.monotonic() - self._answered_at > SILENCE_S:
                    self.is_lost = True
                    self.finish.set()
                    return

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(detail=self.detail[:300], metrics=self.metrics)

    def _note(self, reply: HeartbeatReply) -> HeartbeatReply:
        self._answered_at = time.monotonic()
        self.pinned = frozenset(reply.pinned_versions)
        if reply.desired == "finish":
            self.finish.set()
        return reply

    def _extend_all(self) -> None:
        with self._lock:
            held = sorted(self._held)
        for lease_id in held:
            try:
                self._client.extend(LeaseRequest(run_id=self._run_id, lease_id=lease_id, lease_s=LEASE_S))
            except Gone:
                raise
            except SkyscaleError as e:
                # A lost lease shows where it matters: the publication that would ack it is refused.
                log.warning("lease %s is not extended: %s", lease_id, e)
        self._extended_at = time.monotonic()
