"""A control plane that is killed: what was queued is run by the next one, what was running is lost."""

import os
import time
from pathlib import Path

import httpx

from tests.service.functions.conftest import control_plane

DEADLINE_S = 40.0
CODE = "import time\ndef handler(s):\n    time.sleep(s)\n    return 'done'\n"


def test_queued_calls_survive_kill_9_and_running_ones_are_lost(tmp_path: Path) -> None:
    with control_plane(tmp_path, slots=1) as (url, process), httpx.Client(base_url=url, trust_env=False) as http:
        http.post("/api/functions", json={"name": "f", "code": CODE, "timeout": 100})
        ids = [
            http.post("/api/functions/f/invoke", json={"input": s, "sync": False}).json()["execution_id"]
            for s in (90, 0)
        ]
        _until(lambda: _status(http, ids[0]) == "running")
        assert _status(http, ids[1]) == "queued"
        _until(lambda: _sandboxes(tmp_path))
        sandboxes = _sandboxes(tmp_path)
        process.kill()
        process.wait(DEADLINE_S)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in sandboxes))
    with control_plane(tmp_path, slots=1) as (url, _), httpx.Client(base_url=url, trust_env=False) as http:
        _until(lambda: _status(http, ids[1]) == "completed")
        assert _status(http, ids[0]) == "lost"


def _status(http: httpx.Client, execution_id: str) -> str:
    return http.get(f"/api/executions/{execution_id}").json()["status"]


def _sandboxes(folder: Path) -> list[int]:
    """Keepers of this test's sandboxes: they carry the folder's mark."""
    import hashlib

    mark = f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}f:"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _until(is_so: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
