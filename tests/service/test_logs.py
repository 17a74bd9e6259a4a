"""JSON logs: one object a line, with the ids of the run and the job it is about."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from skyscale.telemetry import logs


def shown(record: logging.LogRecord) -> dict[str, str]:
    text = logs.JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("skyscale.x", logging.WARNING, __file__, 1, message, args, None)


def test_a_line_says_what_it_is_about() -> None:
    with logs.about(run_id="rl-a", job_id=None), logs.about(job_id="job-b"):
        inside = shown(record("two\nlines \ud800 of %s", "text"))
    assert (inside["run_id"], inside["job_id"], inside["level"]) == ("rl-a", "job-b", "warning")
    assert inside["message"].startswith("two\nlines")
    assert "run_id" not in shown(record("after"))


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        failed = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    assert "ValueError: bad" in shown(failed)["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_job_process_writes_as_the_setting_says(form: str, tmp_path: Path) -> None:
    program = (
        "import logging; from skyscale.telemetry import logs; logs.start(); logs.of_process(job_id='job-c');"
        "logging.getLogger('skyscale').info('hello'); logging.getLogger('httpx').info('chatter')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"SKYSCALE_LOG_FORMAT": form, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    if form == "json":
        assert json.loads(line) | {"time": ""} == {
            "time": "", "level": "info", "logger": "skyscale", "message": "hello", "job_id": "job-c",
        }  # fmt: skip
    else:
        assert line.endswith("INFO skyscale: hello")
