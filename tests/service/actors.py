"""The three processes of a run without a model: they speak the real wire with made-up tokens and rewards.

Started by the control plane like the real ones: `python actors.py`, three environment variables. They end when told to.
"""

import json
import os
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

JOB = os.environ["SKYSCALE_JOB_ID"]
HTTP = httpx.Client(
    base_url=os.environ["SKYSCALE_URL"],
    headers={"Authorization": f"Bearer {os.environ['SKYSCALE_JOB_TOKEN']}"},
    transport=httpx.HTTPTransport(retries=3),
    timeout=40,
    trust_env=False,
)
GONE = threading.Event()
FINISH = threading.Event()
SERVED = [0]
POINTER: dict[str, object] = {}


def call(method: str, path: str, **body: object) -> httpx.Response:
    while True:
        try:
            return HTTP.request(method, path, json=body or None)
        except httpx.HTTPError:
            time.sleep(0.1)


def beat(every_s: float) -> None:
    while not GONE.is_set():
        answer = call("POST", f"/api/jobs/{JOB}/heartbeat", policy_version=SERVED[0], detail="at work")
        if answer.status_code == 410:
            GONE.set()
            os._exit(0)
        POINTER.update(answer.json())
        if POINTER.get("desired") == "finish":
            FINISH.set()
        time.sleep(every_s)


class Policy(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self.answer({"status": "ready"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        SERVED[0] = body["version"]
        self.answer({"version": SERVED[0], "fetch_ms": 1.0, "stall_ms": 0.5})

    def answer(self, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def policy(run_id: str, _: dict[str, object]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Policy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    call("POST", f"/api/rl/runs/{run_id}/policy-server", url=f"http://127.0.0.1:{server.server_port}")
    FINISH.wait()


def worker(run_id: str, _: dict[str, object]) -> None:
    while not FINISH.is_set():
        answer = call(
            "POST", "/api/rl/env/tickets", run_id=run_id, request_id=secrets.token_hex(8), num_groups=4, wait_s=0.5
        )
        for ticket in answer.json().get("groups", []):
            rows = [
                {
                    "episode_id": f"ep-{ticket['group_id']}-{i}", "code": "pass", "completion_ids": [1, 2],
                    "logprobs": [-0.5, -0.5], "versions": [ticket["version"]] * 2, "reward": float(i % 2),
                    "outcome": "scored",
                }
                for i in range(ticket["group_size"])
            ]  # fmt: skip
            call(
                "POST", "/api/rl/buffer/push", run_id=run_id, group_id=ticket["group_id"],
                problem_id=ticket["problem_id"], prompt_ids=[1], trajectories=rows,
            )  # fmt: skip


def trainer(run_id: str, spec: dict[str, object]) -> None:
    version = int(str(call("GET", f"/api/rl/runs/{run_id}").json()["policy_version"]))
    while not FINISH.is_set() and version != spec["max_steps"]:
        batch = call(
            "POST", "/api/rl/buffer/sample", run_id=run_id, num_groups=2, lease_s=30, wait_s=0.5, trainer_id=JOB
        ).json()
        if not batch.get("groups"):
            continue
        body = {
            "version": version + 1, "parent": version, "manifest_uri": f"file:///none/v{version + 1}/manifest.json",
            "manifest_sha256": secrets.token_hex(32), "lease_ids": [batch["lease_id"]],
        }  # fmt: skip
        answer = call("POST", f"/api/rl/runs/{run_id}/policies", **body)
        if answer.status_code != 200:
            continue
        version += 1
        call("POST", "/api/training/metrics", job_id=JOB, step=version, episode_reward=0.5, loss=0.1)


def main() -> None:
    assignment = call("GET", f"/api/jobs/{JOB}/assignment").json()
    threading.Thread(target=beat, args=(assignment["heartbeat_s"],), daemon=True).start()
    role = {"policy": policy, "worker": worker, "trainer": trainer}[assignment["role"]]
    role(assignment["run_id"], assignment["spec"])


if __name__ == "__main__":
    main()
