"""Ids that every process finds by itself, and nothing at all when traces are off."""

import os
import subprocess
import sys

import pytest

from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage, span_id, trace_id

PLAYED = """
import sys
import skyscale.worker.player, skyscale.episodes.service, skyscale.buffer.service
from skyscale.telemetry import traces
traces.start("worker")
assert traces.recorder is None
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_ids_follow_from_the_group_alone() -> None:
    assert trace_id("g-0001") == trace_id("g-0001") != trace_id("g-0002")
    assert 0 < trace_id("g-0001") < 1 << 128
    assert 0 < span_id(Stage.TICKET, "g-0001") < 1 << 64
    assert span_id(Stage.PUSH, "g-0001", "lease-1") == span_id(Stage.PUSH, "g-0001")
    assert span_id(Stage.LEASE, "g-0001", "lease-1") != span_id(Stage.LEASE, "g-0001", "lease-2")


def test_without_an_endpoint_nothing_is_imported_or_recorded() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", PLAYED], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[]\n"


def test_a_missing_extra_is_said_and_nothing_breaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "skyscale.telemetry.otlp", raising=False)
    traces.start("worker")
    assert traces.recorder is None
    assert "skyscale[otel]" in caplog.text
