"""A real HTTP server on a free loopback port that answers from a script and remembers what it was asked."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson


@dataclass
class Reply:
    """One scripted reply; `hang_up` closes the connection without any, `closes` unannounced after it."""

    status: int = 200
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    hang_up: bool = False
    closes: bool = False
    after_s: float = 0.0
    """How long the reply takes."""


def problem(status: int, code: str, hint: str = "do this", **headers: str) -> Reply:
    """A problem+json reply."""
    body = {"status": status, "code": code, "detail": f"{code} happened", "hint": hint, "request_id": "req-1"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The client's port."""


class ScriptedServer:
    """Replies in order; the last one is repeated. Times and requests are kept in `asked`."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                with outer.lock:
                    headers = {k.lower(): v for k, v in self.headers.items()}
                    outer.asked.append(Asked(self.command, self.path, headers, body, self.client_address[1]))
                    reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                if reply.hang_up:
                    self.close_connection = True
                    return
                time.sleep(reply.after_s)
                content = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
                self.send_response(reply.status)
                self.send_header("content-type", reply.content_type)
                for name, value in {"content-length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                self.close_connection |= reply.closes

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextmanager
def scripted(*replies: Reply) -> Generator[ScriptedServer]:
    """The server, running in a thread for the length of the block."""
    server = ScriptedServer(list(replies))
    thread = threading.Thread(target=server.http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
