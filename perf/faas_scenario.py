"""The scenario of perf/faas_load.py as locust loads it: so many iterations in all, shared by the users, then the end.

Settings come as variables (ITERATIONS, USERS, FUNCTION_NAME, REPORT, SKYSCALE_API_KEY), as in perf/faas_load_test.js.
"""

import json
import os
from pathlib import Path
from typing import Any

from locust import HttpUser, constant, events, task
from locust.exception import StopUser

LEFT = [int(os.environ.get("ITERATIONS", "100"))]
GONE = [0]
FUNCTION = os.environ.get("FUNCTION_NAME", "")
HEADERS = {"authorization": f"Bearer {key}"} if (key := os.environ.get("SKYSCALE_API_KEY")) else {}


class Caller(HttpUser):
    """Makes a sandbox, uses it, deletes it; again, until all iterations are taken."""

    wait_time = constant(0)

    @task
    def iteration(self) -> None:
        """One of the shared iterations."""
        if LEFT[0] <= 0:
            self.leave()
        LEFT[0] -= 1
        self.sandbox()
        if FUNCTION:
            body = {"input": {"n": LEFT[0]}, "sync": True}
            self.expect("invoke", 200, "POST", f"/api/functions/name/{FUNCTION}/invoke", body, {"status": "completed"})

    def leave(self) -> None:
        """No more for this user; the last one ends the run. Users share one thread and switch only at calls."""
        GONE[0] += 1
        if GONE[0] >= int(os.environ["USERS"]) and self.environment.runner is not None:
            self.environment.runner.quit()
        raise StopUser

    def sandbox(self) -> None:
        """From creation to deletion."""
        made = self.expect("create", 201, "POST", "/api/sandboxes", {"ttl_seconds": 120})
        if made is None:
            return
        url = f"/api/sandboxes/{made['id']}"
        code = {"code": "print(sum(range(1000)))"}
        self.expect("exec", 200, "POST", f"{url}/exec", code, {"stdout": "499500\n"})
        self.expect("delete", 204, "DELETE", url)

    def expect(
        self,
        name: str,
        status: int,
        method: str,
        path: str,
        body: object = None,
        fields: dict[str, object] | None = None,
    ) -> dict[str, Any] | None:
        """The reply, if it is as it should be; otherwise a failure is counted."""
        with self.client.request(
            method, path, name=name, json=body, headers=HEADERS, timeout=60, catch_response=True
        ) as reply:
            if reply.status_code != status:
                reply.failure(f"{reply.status_code}: {reply.text[:200]}")
                return None
            found: dict[str, Any] = reply.json() if reply.content else {}
            if wrong := {key: found.get(key) for key, value in (fields or {}).items() if found.get(key) != value}:
                reply.failure(f"unexpected {wrong}")
                return None
            reply.success()
            return found


@events.quitting.add_listener
def report(environment: Any, **_: object) -> None:
    """Write what was seen."""
    total = environment.stats.total
    calls = {
        entry.name: {
            "requests": entry.num_requests, "p50_ms": entry.get_response_time_percentile(0.5),
            "p95_ms": entry.get_response_time_percentile(0.95), "max_ms": round(entry.max_response_time, 1),
        }
        for entry in environment.stats.entries.values()
    }  # fmt: skip
    seen = {
        "requests": total.num_requests, "failures": total.num_failures, "calls": calls,
        "requests_per_s": round(total.total_rps, 1),
        "first_failures": [each.error for each in list(environment.stats.errors.values())[:3]],
    }  # fmt: skip
    Path(os.environ["REPORT"]).write_text(json.dumps(seen, default=str))
