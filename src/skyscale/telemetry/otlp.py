"""Spans by OTLP over HTTP, with the OpenTelemetry SDK; imported by `traces.start`.

The endpoint, headers, time-outs and the batch's size are the SDK's own settings (`OTEL_EXPORTER_OTLP_*`, `OTEL_BSP_*`).
Whole traces are sampled: the decision follows from the trace's id, so every process makes the same one.
"""

import random
import threading
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from skyscale.settings import TraceSettings
from skyscale.telemetry.traces import PARENTS, REPEATED, Stage, span_id, trace_id

LAST_S = 3.0
"""A process that ends waits so long for a receiver that does not answer."""


class _Ids(IdGenerator):
    """Gives out the ids that were set for the span being made by this thread."""

    def __init__(self) -> None:
        self.next = threading.local()

    def generate_span_id(self) -> int:
        return self.next.span

    def generate_trace_id(self) -> int:
        return self.next.trace


class OtlpRecorder:
    """The process's spans."""

    def __init__(self, service: str, settings: TraceSettings, ids: Mapping[str, str]) -> None:
        self._ids = _Ids()
        resource = Resource.create(
            {"service.name": f"skyscale-{service}", **{f"skyscale.{name}": value for name, value in ids.items()}}
        )
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(settings.share), resource=resource, id_generator=self._ids
        )
        self._batches = BatchSpanProcessor(OTLPSpanExporter(timeout=LAST_S))
        self._provider.add_span_processor(self._batches)
        self._tracer = self._provider.get_tracer("skyscale")

    def record(
        self, stage: Stage, group_id: str, began_ns: int, *, key: str = "", error: str = "", **attributes: str | int
    ) -> None:
        """One stage of one group, which ends now."""
        trace = self._ids.next.trace = trace_id(group_id)
        self._ids.next.span = random.getrandbits(64) | 1 if stage in REPEATED else span_id(stage, group_id, key)
        context = None
        if (parent := PARENTS.get(stage)) is not None:
            above = SpanContext(trace, span_id(parent, group_id, key), True, TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(above))
        span = self._tracer.start_span(
            stage.value, context, start_time=began_ns,
            attributes={"skyscale.group_id": group_id}
            | {f"skyscale.{name}": value for name, value in attributes.items()},
        )  # fmt: skip
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end()

    def stop(self) -> None:
        """Send what is left."""
        self._batches.force_flush(int(LAST_S * 1000))
        self._provider.shutdown()
