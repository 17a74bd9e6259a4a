"""A jailer and Firecracker that are made of Firecracker's own API description, for hosts without KVM.

Run as `jailer ...`: checks its arguments, makes the jail's sockets, and serves. A request that the description has no
path, method or schema for is refused, and so is one that comes in the wrong state (before or after the boot, or before
a snapshot is loaded) or names a file that is not in the jail. Behind the vsock socket the guest's daemon is played:
a job is answered with values, not run. Everything asked is appended to `requests.jsonl` beside the jails.
"""

import argparse
import json
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import jsonschema
import yaml

DESCRIPTION = yaml.safe_load((Path(__file__).parent / "data" / "firecracker-api.yaml").read_text(encoding="utf-8"))
BEFORE_BOOT = {
    "/machine-config", "/boot-source", "/drives/{drive_id}", "/vsock", "/entropy", "/network-interfaces/{iface_id}",
    "/cpu-config", "/serial", "/mmds/config", "/pmem/{id}",
}  # fmt: skip
BEFORE_LOAD = {"/metrics", "/logger", "/snapshot/load"}
FILES = ("kernel_image_path", "initrd_path", "path_on_host", "backend_path", "metrics_path")
LAYERS = dict.fromkeys(
    ["user namespace", "pid namespace", "private root", "private tmp", "no capabilities", "seccomp"], "yes"
)


class Refused(Exception):
    """What Firecracker answers with status 400."""


class Machine:
    """The state that decides what may be asked."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log = root, log
        self.state = "Not started"
        self.asked: set[str] = set()
        self.vsock: Path | None = None
        self.lock = threading.Lock()

    def request(self, method: str, path: str, body: Any) -> None:
        """Check one request against the description and the state, then act."""
        template, operation = operation_of(method, path)
        check_body(operation, body)
        with self.lock:
            self.check_state(template, method, body)
            self.check_files(body)
            self.act(template, method, body)
            self.asked.add(template)
            with self.log.open("a") as log:
                log.write(json.dumps([self.root.parent.name, method, path, body]) + "\n")

    def check_state(self, template: str, method: str, body: Any) -> None:
        started = self.state != "Not started"
        if template in BEFORE_BOOT and method == "PUT" and started:
            raise Refused(f"{template}: not supported after starting the microVM")
        if template in BEFORE_LOAD and started:
            raise Refused(f"{template}: only before the microVM is started or loaded")
        if template == "/snapshot/load" and self.asked - {"/metrics", "/logger"}:
            raise Refused("loading a snapshot is allowed before configuring boot-specific resources only")
        if template in ("/vm", "/snapshot/create") and not started:
            raise Refused(f"{template}: not supported before starting the microVM")
        if template == "/snapshot/create" and self.state != "Paused":
            raise Refused("the microVM is not paused")
        if template == "/actions" and body["action_type"] == "InstanceStart":
            if started:
                raise Refused("the microVM has already started")
            if "/boot-source" not in self.asked:
                raise Refused("no kernel was configured")

    def check_files(self, body: Any) -> None:
        for value in body.values():
            if isinstance(value, dict):
                self.check_files(value)
        for name in FILES:
            if name in body and not self.inside(body[name]).is_file():
                raise Refused(f"{name}: {body[name]} is not in the jail")

    def inside(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def act(self, template: str, method: str, body: Any) -> None:
        if template == "/vsock":
            self.vsock = self.inside(body["uds_path"])
        elif template == "/actions" and body["action_type"] == "InstanceStart":
            self.run()
        elif template == "/vm":
            self.state = "Paused" if body["state"] == "Paused" else "Running"
        elif template == "/snapshot/create":
            self.inside(body["mem_file_path"]).write_bytes(b"memory")
            saved = {"vsock": str(self.vsock.relative_to(self.root))} if self.vsock else {}
            self.inside(body["snapshot_path"]).write_text(json.dumps(saved))
        elif template == "/snapshot/load":
            if ("mem_backend" in body) == ("mem_file_path" in body):
                raise Refused("exactly one of mem_backend and mem_file_path")
            self.vsock = self.root / json.loads(self.inside(body["snapshot_path"]).read_text())["vsock"]
            self.state = "Paused"
            if body.get("resume_vm"):
                self.run()

    def run(self) -> None:
        self.state = "Running"
        if self.vsock is not None:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.vsock))
            listener.listen()
            threading.Thread(target=play_guest, args=(listener, self.root), daemon=True).start()


def operation_of(method: str, path: str) -> tuple[str, dict[str, Any]]:
    """The description's path template and operation for a request."""
    for template, operations in DESCRIPTION["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[A-Za-z0-9_]+", template), path):
            if method.lower() not in operations:
                raise Refused(f"{template} has no {method}")
            return template, operations[method.lower()]
    raise Refused(f"the description has no {path}")


def check_body(operation: dict[str, Any], body: Any) -> None:
    """Against the operation's schema; a property that the schema does not name is refused, as Firecracker does."""
    wanted = [p for p in operation.get("parameters", ()) if p["in"] == "body"]
    if not wanted:
        raise Refused("takes no body")
    schema = {"definitions": closed(DESCRIPTION["definitions"]), **wanted[0]["schema"]}
    try:
        jsonschema.Draft4Validator(schema).validate(body)
    except jsonschema.ValidationError as error:
        raise Refused(error.message) from error


def closed(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions, with unknown properties ruled out."""
    return {
        name: {**d, "additionalProperties": d.get("additionalProperties", "properties" not in d)}
        for name, d in definitions.items()
    }


def play_guest(listener: socket.socket, root: Path) -> None:
    """The vsock socket: Firecracker's handshake, then the daemon's side of the protocol."""
    while True:
        line = listener.accept()[0]
        words = b""
        while not words.endswith(b"\n"):
            words += line.recv(1)
        if words != b"CONNECT 5252\n":
            line.close()
            continue
        line.sendall(b"OK 1073741824\n")
        if not (root / "state").exists():  # booted, not restored
            say(line, b"R", json.dumps(LAYERS).encode())
        answer_host(line)


def answer_host(line: socket.socket) -> None:
    """Messages from the host, until it hangs up."""
    with line, line.makefile("rb") as stream:
        job = b""
        while header := stream.read(5):
            body = stream.read(int.from_bytes(header[1:], "big"))
            if header[:1] == b"S":
                identity = json.loads(body)
                assert len(bytes.fromhex(identity["entropy"])) >= 32
                say(line, b"S", json.dumps({"id": identity["id"], "sample": identity["entropy"][:32]}).encode())
                continue
            job += body
            if len(job) >= 4 and len(job) == 4 + int.from_bytes(job[:4], "big"):
                play_job(line, json.loads(job[4:]))


def play_job(line: socket.socket, job: dict[str, Any]) -> None:
    """Answer each call with 42; a job whose code says `crash` ends the machine."""
    if "crash" in job["code"]:
        import os

        os._exit(1)
    if "hang" in job["code"]:
        return
    say(line, b"O", b"printed\n")
    frames = ["loaded\nok\n\n", *["call\nok\n\n42"] * len(job.get("arguments", ())), "done\nok\n\n0"]
    for frame in frames:
        say(line, b"C", len(frame).to_bytes(4, "big") + frame.encode())


def say(line: socket.socket, kind: bytes, body: bytes) -> None:
    line.sendall(kind + len(body).to_bytes(4, "big") + body)


class Handler(BaseHTTPRequestHandler):
    """HTTP over the API socket."""

    protocol_version = "HTTP/1.1"
    machine: Machine

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are in the log file."""

    def do_PUT(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()

    def answer(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.machine.request(self.command, self.path, body)
        except Refused as refusal:
            text = json.dumps({"fault_message": str(refusal)}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        else:
            self.send_response(204)
            self.end_headers()


def main() -> None:
    """The jailer's command line, as far as it may be used: unknown arguments end it."""
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--id", "--exec-file", "--uid", "--gid", "--chroot-base-dir", "--cgroup-version"):
        parser.add_argument(name, required=True)
    parser.add_argument("--resource-limit", action="append", required=True)
    jailer = parser.parse_args(sys.argv[1:split])
    assert re.fullmatch(r"[A-Za-z0-9-]{1,64}", jailer.id)
    assert int(jailer.uid) > 0 and jailer.cgroup_version in ("1", "2")
    assert all(re.fullmatch(r"(fsize|no-file)=\d+", limit) for limit in jailer.resource_limit)
    inner = argparse.ArgumentParser(allow_abbrev=False)
    inner.add_argument("--api-sock", required=True)
    firecracker = inner.parse_args(sys.argv[split + 1 :])
    base = Path(jailer.chroot_base_dir)
    root = base / Path(jailer.exec_file).name / jailer.id / "root"
    Handler.machine = Machine(root, base / "requests.jsonl")
    with ThreadingUnixStreamServer(str(root / firecracker.api_sock.removeprefix("/")), Handler) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main()
