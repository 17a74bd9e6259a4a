"""An S3 server that keeps its objects in a folder, so that it may be killed and started again on the same data.

    python -m tests.chaos.artifact_server PORT FOLDER

As much of the protocol as an artifact store needs: objects with ranges, listing, deletion, multipart uploads. It checks
no signature; `tests/contract/s3_server.py` is the server that is strict and forgets.
"""

import hashlib
import secrets
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

OBJECTS, UPLOADS = "objects", "uploads"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what it did is in the folder."""

    def _asked(self) -> tuple[str, str, dict[str, str]]:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return bucket, key, query

    def _path(self, bucket: str, key: str) -> Path:
        return self.folder / OBJECTS / quote(f"{bucket}/{key}", safe="")

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if "aws-chunked" not in self.headers.get("content-encoding", ""):
            return body
        plain = b""
        while body:
            head, _, body = body.partition(b"\r\n")
            size = int(head.split(b";")[0], 16)
            if size == 0:
                return plain
            plain, body = plain + body[:size], body[size + 2 :]
        return plain

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "content_length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self) -> None:
        self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>not there</Message></Error>")

    def do_PUT(self) -> None:
        """An object, or a part of one."""
        bucket, key, query = self._asked()
        body = self._body()
        tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if not key:
            return self._answer(200)
        if "partNumber" in query:
            part = self.folder / UPLOADS / query["uploadId"] / f"{int(query['partNumber']):06}"
            if not part.parent.exists():
                return self._missing()
            _write(part, body)
        else:
            _write(self._path(bucket, key), body)
        return self._answer(200, ETag=tag)

    def do_POST(self) -> None:
        """The begin and the end of a multipart upload; deletion of several objects."""
        bucket, key, query = self._asked()
        body = self._body()
        if "uploads" in query:
            upload = secrets.token_hex(16)
            (self.folder / UPLOADS / upload).mkdir(parents=True)
            return self._xml(
                "InitiateMultipartUploadResult",
                f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>",
            )
        if "delete" in query:
            keys = [part.split(b"</Key>")[0].decode() for part in body.split(b"<Key>")[1:]]
            for each in keys:
                self._path(bucket, each).unlink(missing_ok=True)
            return self._xml("DeleteResult", "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys))
        parts = self.folder / UPLOADS / query["uploadId"]
        if not parts.exists():
            return self._missing()
        whole = b"".join(part.read_bytes() for part in sorted(parts.iterdir()))
        _write(self._path(bucket, key), whole)
        tag = hashlib.md5(whole, usedforsecurity=False).hexdigest()
        return self._xml("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key><ETag>&quot;{tag}&quot;</ETag>")

    def do_GET(self) -> None:
        """An object or a range of it; a list."""
        bucket, key, query = self._asked()
        if not key:
            return self._list(bucket, query)
        try:
            body = self._path(bucket, key).read_bytes()
        except FileNotFoundError:
            return self._missing()
        headers = {
            "ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"', "Accept_Ranges": "bytes",
            "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
        }  # fmt: skip
        asked = self.headers.get("range", "")
        if not asked.startswith("bytes="):
            if self.command == "HEAD":
                headers["content_length"] = str(len(body))
            return self._answer(200, body, **headers)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last), len(body) - 1) if first and last else len(body) - 1
        headers["Content_Range"] = f"bytes {start}-{end}/{len(body)}"
        return self._answer(206, body[start : end + 1], **headers)

    def do_HEAD(self) -> None:
        """What a GET says of it."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """An object, or an upload that was given up."""
        bucket, key, query = self._asked()
        if "uploadId" in query:
            parts = self.folder / UPLOADS / query["uploadId"]
            with suppress(FileNotFoundError):
                for part in parts.iterdir():
                    part.unlink()
                parts.rmdir()
        else:
            self._path(bucket, key).unlink(missing_ok=True)
        self._answer(204)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys = sorted(
            unquote(path.name).partition("/")[2]
            for path in (self.folder / OBJECTS).glob(quote(f"{bucket}/", safe="") + "*")
        )
        found, folders = "", set[str]()
        for key in keys:
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            size = self._path(bucket, key).stat().st_size
            found += (
                f"<Contents><Key>{escape(key)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;0&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders))
        head = f"<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        self._xml("ListBucketResult", head + found + common)

    def _xml(self, name: str, inside: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inside}</{name}>'
        self._answer(200, text.encode(), content_type="application/xml")


def _write(path: Path, body: bytes) -> None:
    draft = path.with_name(f".{secrets.token_hex(8)}")
    draft.write_bytes(body)
    draft.replace(path)


def main() -> None:
    """Serve until killed."""
    Handler.folder = Path(sys.argv[2])
    (Handler.folder / OBJECTS).mkdir(parents=True, exist_ok=True)
    (Handler.folder / UPLOADS).mkdir(exist_ok=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
