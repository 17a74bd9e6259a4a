"""A line to an HTTP service that passes everything on, and loses an answer when it is told to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType


class Line:
    """Listens on loopback; requests reach the service also when their answers are lost."""

    def __init__(self, target: str) -> None:
        self._lose = threading.Event()
        lose = self._lose

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {"content-type": self.headers.get("content-type") or "application/json"}
                answer = httpx.request(
                    self.command, target + self.path, content=body, headers=headers, timeout=30, trust_env=False
                )
                if self.command == "POST" and lose.is_set():
                    lose.clear()
                    self.connection.close()
                    return
                self.send_response(answer.status_code)
                self.send_header("content-length", str(len(answer.content)))
                self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_DELETE = do_POST  # noqa: N815 - the names that the base class calls

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def lose_next_reply(self) -> None:
        """The next POST takes effect, and its caller never hears of it."""
        self._lose.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: TracebackType | type[BaseException] | BaseException | None) -> None:
        self._server.shutdown()
        self._server.server_close()
