"""Sent to a provider as the command of a job: fetches one execution's work, runs it, posts what came of it.

Standard library only. The code runs in a process of its own, so that its deadline and its output can be bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ["SKYSCALE_URL"].rstrip("/") + "/api/executions/" + os.environ["SKYSCALE_EXECUTION_ID"]
TOKEN = os.environ["SKYSCALE_JOB_TOKEN"]
TRIES = 8
REQUIREMENTS_S = 180
ERROR_ROOM = 40_000


def talk(path: str, body: dict[str, Any] | None = None) -> Any:
    """One exchange with the control plane, repeated while it cannot be reached."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    for attempt in range(TRIES):
        try:
            request = urllib.request.Request(URL + path, data=data, headers=headers)
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == TRIES - 1:
                raise
        except OSError:
            if attempt == TRIES - 1:
                raise
        time.sleep(0.25 * 2**attempt)
    return None


def prepare(work: dict[str, Any], folder: Path) -> str | None:
    """Code, requirements and the harness in a folder; what went wrong, or None."""
    (folder / "deployed.py").write_text(work["code"], encoding="utf-8")
    (folder / "harness.py").write_text(work["harness"], encoding="utf-8")
    if not work["requirements"]:
        return None
    target = str(folder / "packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", target, "--"]
    try:
        done = subprocess.run(
            pip + work["requirements"], capture_output=True, text=True, timeout=REQUIREMENTS_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"requirements: pip took longer than {REQUIREMENTS_S} s"
    return None if done.returncode == 0 else f"requirements: {done.stderr[-1500:]}"


def run(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result as the control plane takes it."""
    layer = str(folder / "packages") if work["requirements"] else None
    request = {"entry": work["entry"], "style": work["style"], "input": work["input"], "layer": layer}
    given, out, err = (folder / name for name in (".stdin", ".stdout", ".stderr"))
    given.write_text(json.dumps(request), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SKYSCALE_")}
    environment["PYTHONPATH"] = str(folder)
    started = time.monotonic()
    with given.open("rb") as stdin, out.open("wb") as stdout, err.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, str(folder / "harness.py")],
            stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        result = watch(child, work, started, folder)
    result["duration_ms"] = (time.monotonic() - started) * 1000
    for name, path in (("stdout", out), ("stderr", err)):
        with path.open("rb") as file:
            result[name] = file.read(work["output_bytes"]).decode("utf-8", "replace")
    return result


def watch(child: subprocess.Popen[bytes], work: dict[str, Any], started: float, folder: Path) -> dict[str, Any]:
    """Wait for the call's end, or bring it about."""
    try:
        while child.poll() is None:
            if time.monotonic() - started > work["timeout"]:
                return {"status": "timeout", "error_message": f"it took longer than {work['timeout']:g} s (`timeout`)"}
            if max((folder / name).stat().st_size for name in (".stdout", ".stderr")) > work["output_bytes"]:
                limit = work["output_bytes"] // 1024
                return {"status": "output_limit", "error_message": f"it printed more than {limit} KB (`output_kb`)"}
            time.sleep(0.02)
        return read_result(work, folder, child.returncode)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait()


def read_result(work: dict[str, Any], folder: Path, exit_code: int | None) -> dict[str, Any]:
    """What the harness left."""
    path = folder / ".result.json"
    limit = work["output_bytes"]
    too_large = {"status": "output_limit", "error_message": f"its result exceeds {limit // 1024} KB (`output_kb`)"}
    try:
        if path.stat().st_size > limit + ERROR_ROOM:
            return too_large
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        message = f"it ended its process with exit code {exit_code} instead of returning"
        return {"status": "failed", "error_message": message}
    if "ok" in found:
        text = json.dumps(found["ok"])
        return too_large if len(text) > limit else {"status": "completed", "output": text}
    return {
        "status": "failed", "error_message": str(found.get("error"))[:2000],
        "error_traceback": str(found.get("traceback") or "")[:20000],
    }  # fmt: skip


def main() -> None:
    """One execution."""
    work = talk("/work")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trouble = prepare(work, folder)
        talk("/result", {"status": "failed", "error_message": trouble} if trouble else run(work, folder))


main()
