"""Logs of every process: lines for people, or one JSON object a line (SKYSCALE_LOG_FORMAT) with run and job ids.

- `start` is called once, by the process's main; libraries and rooms only use `logging`.
- A job's process says its ids once (`of_process`); the control plane says them around its work for a run (`about`).
- A line that cannot be written is lost; nothing waits for it.
"""

import json
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from skyscale.settings import LogSettings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_process: dict[str, str] = {}
_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "logger": ..., "message": ..., "run_id": ..., "job_id": ..., "exception": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a message with line breaks stays one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_process,
            **(_about.get() or {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def is_json() -> bool:
    """Whether this process is to write JSON lines."""
    return LogSettings().log_format == "json"


def start() -> None:
    """Write to standard error from INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if is_json() else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for chatty in ("httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def of_process(**ids: str) -> None:
    """Ids that every later line of this process carries."""
    _process.update(ids)


@contextmanager
def about(**ids: str | None) -> Generator[None]:
    """Ids that every line of the block carries, in tasks that are started in it too."""
    token = _about.set((_about.get() or {}) | {name: value for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        _about.reset(token)
