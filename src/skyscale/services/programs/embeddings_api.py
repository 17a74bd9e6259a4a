"""POST /embed {"texts": [...]}: one vector of length 1 for each text, by hashing its words (arXiv:0902.2206)."""

import hashlib
import json
import math
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIMENSIONS = int(os.environ.get("DIMENSIONS", "256"))


def embed(text: str) -> list[float]:
    """Each word counts in one place, with a sign of its own, so that collisions cancel out on average."""
    vector = [0.0] * DIMENSIONS
    for word in re.findall(r"\w+", text.lower()):
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        vector[(number >> 1) % DIMENSIONS] += 1.0 if number & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Health."""
        self.answer(200, {"ok": True, "dimensions": DIMENSIONS})

    def do_POST(self) -> None:
        """Embed."""
        try:
            texts = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))["texts"]
            self.answer(200, {"embeddings": [embed(str(text)) for text in texts]})
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, {"error": f'send {{"texts": [...]}}: {error}'})

    def answer(self, status: int, value: object) -> None:
        """Reply in JSON."""
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
