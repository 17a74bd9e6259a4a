"""The logger's life: look at the run, log what is new, report; until the run wants no more or has ended.

- It only reads. A control plane that does not answer is asked again; a sink that fails ends this process, which is
  started again within its budget and never fails the run.
- What was logged is noted in a file beside the sinks', after it was handed to them.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skyscale.errors import Gone, Invalid, SkyscaleError
from skyscale.logger.numbers import Progress, news
from skyscale.logger.sink import Place, Sink, load_sink
from skyscale.sdk.client import Client
from skyscale.sdk.jobs import JobClient
from skyscale.wire.jobs import Heartbeat, JobAssignment
from skyscale.wire.runs import EventCreate, RunView

log = logging.getLogger(__name__)
ORPHANED_AFTER_S = 300.0
NOTE = "logged.json"


def folder_of(assignment: JobAssignment) -> Path:
    """Where the run's logs are kept: beside its checkpoints, or in the job's folder where those are not on this host.

    Raises Invalid when neither is known.
    """
    parts = urlsplit(assignment.artifact_root)
    if parts.scheme != "file":
        job_folder = os.environ.get("SKYSCALE_JOB_FOLDER")
        if job_folder is None:
            raise Invalid(f"loggers: they write to a local folder, and artifacts are at {assignment.artifact_root}")
        return Path(job_folder) / "logs"
    return Path(unquote(parts.path)) / "runs" / assignment.run_id / "logs"


class Follower:
    """Copies one run's numbers into its sinks."""

    def __init__(self, jobs: JobClient, reader: Client, assignment: JobAssignment) -> None:
        self._jobs = jobs
        self._reader = reader
        self._assignment = assignment
        self._folder = folder_of(assignment)
        self._sinks: list[Sink] = []
        self._progress = Progress()

    def run(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Log until the end. Raises Gone when the job is no longer wanted, Invalid for a sink that cannot be begun."""
        self._begin()
        try:
            heard_at = time.monotonic()
            while time.monotonic() - heard_at < ORPHANED_AFTER_S:
                try:
                    is_last = self._jobs.heartbeat(Heartbeat(detail=self._detail())).desired == "finish"
                    self._log(self._reader.get_run(self._assignment.run_id))
                    heard_at = time.monotonic()
                except Gone:
                    raise
                except SkyscaleError as error:
                    log.warning("the run could not be read: %s", error.detail)
                else:
                    if is_last:
                        return
                pause(self._assignment.heartbeat_s)
        finally:
            for sink in self._sinks:
                sink.close()

    def _begin(self) -> None:
        spec = self._assignment.spec
        for name in spec.loggers:
            folder = self._folder / name
            folder.mkdir(parents=True, exist_ok=True)
            self._sinks.append(load_sink(name, Place(spec, folder)))
            message = f"logging to {name}: {self._sinks[-1].where()}"
            self._jobs.event(
                spec.run_id, EventCreate(component="logger", kind="logger.started", message=message[:4000])
            )
        note = self._folder / NOTE
        if note.is_file():
            known = json.loads(note.read_text())
            self._progress = Progress(known["timestamp"], known["step"], set(known["evaluated"]))

    def _log(self, view: RunView) -> None:
        found = list(news(view, self._progress))
        for numbers in found:
            for sink in self._sinks:
                sink.scalars(numbers.step, numbers.at_s, numbers.values)
        if found:
            known = {"timestamp": self._progress.timestamp, "step": self._progress.step}
            beside = self._folder / f".{NOTE}"
            beside.write_text(json.dumps(known | {"evaluated": sorted(self._progress.evaluated)}))
            beside.replace(self._folder / NOTE)

    def _detail(self) -> str:
        return f"logged up to version {max(0, self._progress.step)}"
