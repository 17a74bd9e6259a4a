"""The same game as a service: three POSTs, standard library only.

python examples/guess_the_number/service.py 9000
SKYSCALE_ENVIRONMENT_ORIGINS=http://127.0.0.1:9000 skyscale serve
skyscale runs create --environment http://127.0.0.1:9000 --max-turns 6
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from environment import Environment

EPISODES: dict[str, Environment] = {}


def reset(body: dict) -> dict:
    """Begin an episode; the same id again begins it afresh."""
    EPISODES[body["episode_id"]] = environment = Environment()
    return {"observation": environment.reset(body["task"])}


def step(body: dict) -> dict:
    """One answer of the model."""
    observation, reward, done = EPISODES[body["episode_id"]].step(body["action"])
    return {"observation": observation, "reward": reward, "done": done}


def close(body: dict) -> dict:
    """Forget an episode."""
    EPISODES.pop(body["episode_id"], None)
    return {}


class Handler(BaseHTTPRequestHandler):
    """Routes by path."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        operation = {"/reset": reset, "/step": step, "/close": close}.get(self.path)
        reply = json.dumps(operation(body) if operation else {"error": "no such path"}).encode()
        self.send_response(200 if operation else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
