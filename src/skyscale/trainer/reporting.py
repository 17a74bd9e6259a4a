"""Metrics and events on their way out: a thread and a queue, because observability never stops training.

A report that does not fit into the queue, or that the server does not take, is dropped with a line in the log.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Literal

from skyscale.errors import SkyscaleError
from skyscale.sdk.jobs import JobClient
from skyscale.wire.runs import EventCreate, TrainingMetrics

log = logging.getLogger(__name__)

_CLOSE_S = 5.0


class Reporter:
    """Sends reports in order, in the background."""

    def __init__(self, client: JobClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=256)
        self._thread = threading.Thread(target=self._send_until_closed, name="reporter", daemon=True)
        self._thread.start()

    def metrics(self, body: TrainingMetrics) -> None:
        """Report one step."""
        self._put(lambda: self._client.metrics(body))

    def event(self, kind: str, message: str, *, level: Literal["info", "warning", "error"] = "info") -> None:
        """Record a fact about the run."""
        log.log(logging.getLevelNamesMapping()[level.upper()], "%s: %s", kind, message)
        body = EventCreate(component="trainer", level=level, kind=kind, message=message)
        self._put(lambda: self._client.event(self._run_id, body))

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        try:
            self._queue.put(None, timeout=_CLOSE_S)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _put(self, send: Callable[[], None]) -> None:
        try:
            self._queue.put_nowait(send)
        except queue.Full:
            log.warning("a report is dropped: the control plane takes none")

    def _send_until_closed(self) -> None:
        while (send := self._queue.get()) is not None:
            try:
                send()
            except SkyscaleError as e:
                log.warning("a report is dropped: %s", e)
