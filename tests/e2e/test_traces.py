"""A real run, its processes and a receiver of OpenTelemetry traces: every group is one connected trace."""

import threading
from collections import defaultdict
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from skyscale.telemetry.traces import PARENTS, Stage, trace_id
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = pytest.mark.timeout(240)


class Receiver:
    """Keeps every span that it is sent, with the service that sent it."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        kept = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                assert self.headers.get("content-encoding", "identity") == "identity"
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {each.key: each.value.string_value for each in resource.resource.attributes}
                    kept.extend((names["service.name"], span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_every_group_of_a_run_is_one_trace_from_ticket_to_gradient(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    plane = ControlPlane(tmp_path)
    plane.start()
    try:
        request = RunCreate(max_steps=3, algorithm=Algorithm(groups_per_step=4), evaluation=Evaluation(num_problems=2))
        run_id = plane.client.create_run(request).run_id
        assert plane.wait_for_end(run_id, 150).status == RunStatus.COMPLETED, plane.story(run_id)
        wait_for(lambda: not plane.everything(), 30, "the jobs to end")
    finally:
        plane.stop()
    groups: dict[str, list[tuple[str, Span]]] = defaultdict(list)
    for service, span in receiver.spans:
        (group,) = [each.value.string_value for each in span.attributes if each.key == "skyscale.group_id"]
        assert int.from_bytes(span.trace_id) == trace_id(group)
        groups[group].append((service, span))
    trained = {id_ for id_, spans in groups.items() if any(span.name == "train" for _, span in spans)}
    assert len(trained) >= 3 * 4
    for id_ in trained:
        check_whole(groups[id_])
    # Groups of equal reward and of evaluations are played and stored, and never leased.
    for id_ in groups.keys() - trained:
        assert "ticket" in {span.name for _, span in groups[id_]}


def check_whole(spans: list[tuple[str, Span]]) -> None:
    """One root, every parent there, the stages in order, each told by the process that did it."""
    by_id = {span.span_id: span for _, span in spans}
    services = {span.name: service.removeprefix("skyscale-") for service, span in spans}
    assert services == {
        "ticket": "control-plane", "rollout": "worker", "judge": "control-plane", "push": "control-plane",
        "lease": "trainer", "train": "trainer", "publish": "trainer",
    }  # fmt: skip
    roots = [span for _, span in spans if not span.parent_span_id]
    assert [root.name for root in roots] == ["ticket"]
    for _, span in spans:
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        if span.parent_span_id:
            assert by_id[span.parent_span_id].name == PARENTS[Stage(span.name)]
            assert by_id[span.parent_span_id].start_time_unix_nano <= span.end_time_unix_nano
