"""Stands in for Railway on this machine: every operation is validated and executed with Railway's own types.

Deployments are processes: what a service's start command says, with its variables, on a free port. A service without
one, or whose deployment was stopped, answers nothing.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from graphql import GraphQLError, build_schema, graphql_sync, parse, validate

SCHEMA = build_schema((Path(__file__).parent / "data" / "railway.graphql").read_text())
TOKEN, PROJECT, ENVIRONMENT = "railway-project-token", "project-1", "environment-1"


def now() -> str:
    """As Railway writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Container:
    """A service, its configuration, and its process."""

    id: str
    name: str
    created: str = field(default_factory=now)
    variables: dict[str, str] = field(default_factory=dict[str, str])
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    domain: str | None = None
    deployment: str | None = None
    is_stopped: bool = False
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    log: Path | None = None


class RailwayServer:
    """Listens on loopback; `calls` are the fields that were asked for, `fail` makes one fail, `replies` come first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers: dict[str, Container] = {}
        self.calls: list[str] = []
        self.headers: dict[str, str] = {}
        self.fail: dict[str, GraphQLError] = {}
        self.replies: list[tuple[int, dict[str, str], bytes]] = []
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/graphql/v2"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End every process and the server."""
        for container in self.containers.values():
            _end(container)
        self.server.shutdown()
        self.server.server_close()

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The reply to one POST, and its status."""
        self.headers = headers
        if headers.get("project-access-token") != TOKEN and headers.get("authorization") != f"Bearer {TOKEN}":
            return 200, {"errors": [{"message": "Not Authorized", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
        document = parse(body["query"])
        if refused := validate(SCHEMA, document):
            codes = {"code": "GRAPHQL_VALIDATION_FAILED"}
            return 400, {"errors": [{"message": each.message, "extensions": codes} for each in refused]}
        with self._lock:
            result = graphql_sync(SCHEMA, body["query"], root_value=self, variable_values=body.get("variables"))
        reply: dict[str, Any] = {"data": result.data}
        if result.errors:
            reply["errors"] = [
                {"message": each.message, "extensions": {"code": "INTERNAL_SERVER_ERROR", "traceId": "t-1"}
                 | (each.extensions or {})}
                for each in result.errors
            ]  # fmt: skip
        return 200, reply

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    def _find(self, service: str) -> Container:
        if service not in self.containers:
            raise GraphQLError("Service not found")
        return self.containers[service]

    def projectToken(self, info: Any) -> dict[str, str]:
        self._note("projectToken")
        return {"id": "t", "name": "t", "projectId": PROJECT, "environmentId": ENVIRONMENT}

    def environment(self, info: Any, id: str, projectId: str | None = None) -> dict[str, Any]:
        self._note("environment")
        if (id, projectId) != (ENVIRONMENT, PROJECT):
            raise GraphQLError("Environment not found")

        def instances(info: Any, first: int = 100, after: str | None = None) -> dict[str, Any]:
            rows = [self._instance(each) for each in self.containers.values()]
            begin = int(after or 0)
            end = begin + first
            page = {"hasNextPage": end < len(rows), "hasPreviousPage": begin > 0, "endCursor": str(end)}
            return {"edges": [{"cursor": "c", "node": row} for row in rows[begin:end]], "pageInfo": page}

        return {"id": id, "name": "production", "serviceInstances": instances}

    def _instance(self, container: Container) -> dict[str, Any]:
        domain = {"id": "d", "domain": container.domain, "serviceId": container.id, "syncStatus": "ACTIVE"}
        return {
            "id": f"i-{container.id}", "serviceId": container.id, "serviceName": container.name,
            "environmentId": ENVIRONMENT, "createdAt": container.created, "source": container.config.get("source"),
            "startCommand": container.config.get("startCommand"),
            "domains": {"serviceDomains": [domain] if container.domain else []},
            "latestDeployment": None if container.deployment is None else self._deployment(container),
        }  # fmt: skip

    def _deployment(self, container: Container) -> dict[str, Any]:
        code = None if container.process is None else container.process.poll()
        status, instance = ("SUCCESS", "RUNNING") if code is None else ("SUCCESS", "EXITED")
        if code:
            status, instance = "CRASHED", "CRASHED"
        if code is None and not container.is_stopped and not _answers(container.port):
            status, instance = "DEPLOYING", "INITIALIZING"
        return {
            "id": container.deployment, "status": status, "deploymentStopped": container.is_stopped, "createdAt": now(),
            "instances": [{"id": "r", "status": instance}],
        }  # fmt: skip

    def deploymentLogs(self, info: Any, deploymentId: str, limit: int = 100, **_: Any) -> list[dict[str, str]]:
        self._note("deploymentLogs")
        (container,) = [each for each in self.containers.values() if each.deployment == deploymentId]
        assert container.log is not None
        lines = container.log.read_text().splitlines()[-limit:]
        return [{"timestamp": now(), "message": line, "severity": "info"} for line in lines]

    def serviceCreate(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        self._note("serviceCreate")
        container = Container(f"service-{len(self.calls)}", input["name"])
        self.containers[container.id] = container
        return {"id": container.id, "name": container.name, "projectId": PROJECT, "createdAt": container.created}

    def variableCollectionUpsert(self, info: Any, input: dict[str, Any]) -> bool:
        self._note("variableCollectionUpsert")
        self._find(input["serviceId"]).variables |= input["variables"]
        return True

    def serviceInstanceUpdate(self, info: Any, serviceId: str, input: dict[str, Any], **_: Any) -> bool:
        self._note("serviceInstanceUpdate")
        self._find(serviceId).config |= input
        return True

    def serviceInstanceLimitsUpdate(self, info: Any, input: dict[str, Any]) -> bool:
        self._note("serviceInstanceLimitsUpdate")
        self._find(input["serviceId"]).limits |= input
        return True

    def serviceInstanceDeployV2(self, info: Any, serviceId: str, environmentId: str) -> str:
        self._note("serviceInstanceDeployV2")
        container = self._find(serviceId)
        container.port, container.log = _free_port(), self.folder / f"{serviceId}.log"
        command = [sys.executable if word == "python" else word
                   for word in shlex.split(container.config["startCommand"])]  # fmt: skip
        environment = {"PATH": os.environ["PATH"], **container.variables, "PORT": str(container.port)}
        with container.log.open("wb") as log:
            container.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        container.deployment = f"deployment-{len(self.calls)}"
        return container.deployment

    def serviceDomainCreate(self, info: Any, input: dict[str, Any]) -> dict[str, Any]:
        self._note("serviceDomainCreate")
        container = self._find(input["serviceId"])
        container.domain = f"127.0.0.1:{container.port}"
        return {"id": "d", "domain": container.domain, "serviceId": container.id, "syncStatus": "ACTIVE"}

    def deploymentStop(self, info: Any, id: str) -> bool:
        self._note("deploymentStop")
        for container in self.containers.values():
            if container.deployment == id:
                _end(container)
                container.is_stopped = True
        return True

    def serviceDelete(self, info: Any, id: str, **_: Any) -> bool:
        self._note("serviceDelete")
        _end(self._find(id))
        del self.containers[id]
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        railway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if railway.replies:
                    status, headers, content = railway.replies.pop(0)
                else:
                    given = {name.lower(): value for name, value in self.headers.items()}
                    status, reply = railway.answer(body, given)
                    headers, content = {"content-type": "application/json"}, json.dumps(reply).encode()
                self.send_response(status)
                for name, value in (headers | {"content-length": str(len(content))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler


def wait_until(condition: Any, timeout_s: float = 20.0) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _end(container: Container) -> None:
    if container.process is not None:
        container.process.kill()
        container.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
