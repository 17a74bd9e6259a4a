"""POST a JSON object; the reply is what the expression FUNCTION makes of it, as `event`."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CODE = compile(os.environ["FUNCTION"], "FUNCTION", "eval")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Health, and what is evaluated."""
        self.answer(200, {"ok": True, "function": os.environ["FUNCTION"]})

    def do_POST(self) -> None:
        """Evaluate."""
        try:
            event = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            self.answer(200, eval(CODE, {"event": event}))  # whoever deploys it chose the expression
        except Exception as error:  # noqa: BLE001 - whatever the function raises is its caller's answer
            self.answer(400, {"error": f"{type(error).__name__}: {error}"})

    def answer(self, status: int, value: object) -> None:
        """Reply in JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
