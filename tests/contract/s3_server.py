"""A real S3 server (moto) on a loopback port, behind a door that can be told to misbehave as services do."""

import logging
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ACCESS_KEY, SECRET_KEY, BUCKET = "AKIDSKYSCALETESTS", "a secret of tests", "artifacts"
Answer = Callable[..., Any]


class S3Server:
    """The server's address, what it was asked, and the faults that are due; each fault is used up once."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self.fail = 0
        """So many requests are answered 503."""
        self.truncate = 0
        """Of so many downloads only half of the body comes."""
        self.corrupt = 0
        """Of so many downloads the first byte is another one."""
        self._lock = threading.Lock()
        self._real = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Answer) -> Iterable[bytes]:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        credentials = environ.get("HTTP_AUTHORIZATION", "") + environ["QUERY_STRING"]
        if ACCESS_KEY not in credentials:
            return _refusal(start_response, "403 Forbidden", "InvalidAccessKeyId", "The key is not in our records.")
        if self._due("fail"):
            return _refusal(start_response, "503 Service Unavailable", "SlowDown", "Reduce your request rate.")
        answer = self._real(environ, start_response)
        is_download = environ["REQUEST_METHOD"] == "GET" and "list-type" not in environ["QUERY_STRING"]
        if is_download and (self.truncate or self.corrupt):
            body = b"".join(answer)
            if self._due("truncate"):
                return [body[: len(body) // 2]]
            if self._due("corrupt"):
                return [bytes([body[0] ^ 1]) + body[1:]]
            return [body]
        return answer

    def _due(self, fault: str) -> bool:
        with self._lock:
            left: int = getattr(self, fault)
            setattr(self, fault, max(0, left - 1))
            return left > 0


@contextmanager
def s3_server() -> Generator[S3Server]:
    """A server with one empty bucket, until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = S3Server()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with closing(client(app)) as operator:
            operator.create_bucket(Bucket=BUCKET)
        yield app
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def client(server: S3Server) -> Any:
    """An independent client (boto3): what it sees does not depend on ours."""
    return boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip


def environment(server: S3Server, retry_s: float = 20.0) -> dict[str, str]:
    """Settings that open the bucket."""
    return {
        "S3_ENDPOINT": server.url, "S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY,
        "S3_RETRY_S": str(retry_s),
    }  # fmt: skip


def _refusal(start_response: Answer, status: str, code: str, message: str) -> list[bytes]:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
