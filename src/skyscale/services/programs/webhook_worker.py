"""POST /hooks takes a webhook at once; one worker works on them in order; GET / shows how far it is."""

import json
import os
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAITING: "queue.Queue[object]" = queue.Queue(maxsize=1000)
DONE: list[object] = []


def work() -> None:
    """Take one after the other."""
    while True:
        hook = WAITING.get()
        time.sleep(float(os.environ.get("WORK_S", "0.1")))
        DONE.append(hook)
        del DONE[:-100]
        print("worked on", json.dumps(hook), flush=True)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """How many wait, and the last hundred."""
        self.answer(200, {"ok": True, "waiting": WAITING.qsize(), "done": DONE})

    def do_POST(self) -> None:
        """Take it, or say that there are too many."""
        try:
            WAITING.put_nowait(json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"))
            self.answer(202, {"accepted": True})
        except queue.Full:
            self.answer(503, {"error": "too many are waiting"})
        except ValueError as error:
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, value: object) -> None:
        """Reply in JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


threading.Thread(target=work, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
