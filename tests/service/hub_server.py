"""As much of the Hugging Face Hub's HTTP protocol as an upload needs, on loopback; what arrives is kept."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_atokenoftests"


class Hub(ThreadingHTTPServer):
    """The server, its repositories, and the answer that is due instead of the right one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.messages: list[str] = []
        self.refuse: int | None = None


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        hub, raw = self.server, self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid credentials in Authorization header"})
        if hub.refuse is not None:
            return self._answer(hub.refuse, {"error": "You don't have the rights to create a model here"})
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            body = json.loads(raw)
            name = f"{body.get('organization') or 'somebody'}/{body['name']}"
            hub.repos.setdefault(name, {})
            if body.get("private") or body.get("visibility") == "private":
                hub.private.add(name)
            return self._answer(200, {"url": f"{hub.url}/{name}", "name": name})
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        name, _, action = path.removeprefix("/api/models/").partition("/preupload/")
        if action:
            files = json.loads(raw)["files"]
            modes = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
            return self._answer(200, {"files": modes})
        name, _, action = path.removeprefix("/api/models/").partition("/commit/")
        if action:
            self._commit(name, [json.loads(line) for line in raw.splitlines() if line])
            return self._answer(
                200, {"success": True, "commitOid": "c0ffee", "commitUrl": f"{hub.url}/{name}/commit/c"}
            )
        return self._answer(404, {"error": f"nothing at {path}"})

    def do_GET(self) -> None:
        self._answer(404, {"error": "Repository not found"})

    def _commit(self, name: str, lines: list[dict[str, dict[str, str]]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":  # type: ignore[comparison-overlap]
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":  # type: ignore[comparison-overlap]
                self.server.repos[name][value["path"]] = base64.b64decode(value["content"])

    def _answer(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def hub_server() -> Generator[Hub]:
    """A Hub without repositories, until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join(10)
