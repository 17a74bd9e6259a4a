"""Runs COMMAND every EVERY_S seconds; GET / shows the last twenty results."""

import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMAND = os.environ["COMMAND"]
EVERY_S = float(os.environ.get("EVERY_S", "60"))
RUNS: list[dict[str, object]] = []


def run() -> None:
    """At once, and then at every turn; one that takes longer than its turn is ended."""
    while True:
        began = time.time()
        try:
            done = subprocess.run(
                COMMAND, shell=True, capture_output=True, text=True, timeout=max(1.0, EVERY_S), check=False
            )
            code, output = done.returncode, (done.stdout + done.stderr)[-2000:]
        except subprocess.TimeoutExpired:
            code, output = -1, "took too long"
        RUNS.append({"at": began, "exit_code": code, "output": output})
        del RUNS[:-20]
        print("exit code", code, flush=True)
        time.sleep(max(0.0, began + EVERY_S - time.time()))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """What came of it."""
        body = json.dumps({"ok": True, "command": COMMAND, "runs": RUNS}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


threading.Thread(target=run, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
