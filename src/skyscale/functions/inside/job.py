"""Sent to a provider as the command of a job: fetches one execution's work, runs it, posts what came of it.

Standard library only. The code runs in a process of its own, so that its deadline and its output can be bounded.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

URL = os.environ["SKYSCALE_URL"].rstrip("/") + "/api/executions/" + os.environ["SKYSCALE_EXECUTION_ID"]
TOKEN = os.environ["SKYSCALE_JOB_TOKEN"]
TRIES = 8
REQUIREMENTS_S = 180


def talk(path, body=None):
    """One exchange with the control plane, repeated while it cannot be reached."""
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
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


def prepare(work, folder):
    """Code, requirements and the harness in a folder; what went wrong, or None."""
    for name, text in (("deployed.py", work["code"]), ("harness.py", work["harness"])):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    if not work["requirements"]:
        return None
    target = os.path.join(folder, "packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", target, "--"]
    try:
        done = subprocess.run(
            pip + work["requirements"], capture_output=True, text=True, timeout=REQUIREMENTS_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "requirements: pip took longer than %d s" % REQUIREMENTS_S
    return None if done.returncode == 0 else "requirements: " + done.stderr[-1500:]


def run(work, folder):
    """The result as the control plane takes it."""
    layer = os.path.join(folder, "packages") if work["requirements"] else None
    request = {"entry": work["entry"], "style": work["style"], "input": work["input"], "layer": layer}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SKYSCALE_")}
    environment["PYTHONPATH"] = folder
    paths = [os.path.join(folder, name) for name in ("stdin", "stdout", "stderr")]
    with open(paths[0], "w", encoding="utf-8") as file:
        json.dump(request, file)
    started = time.monotonic()
    result = {}
    with open(paths[0], "rb") as given, open(paths[1], "wb") as out, open(paths[2], "wb") as err:
        child = subprocess.Popen(
            [sys.executable, os.path.join(folder, "harness.py")],
            stdin=given, stdout=out, stderr=err, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            while child.poll() is None:
                if time.monotonic() - started > work["timeout"]:
                    result = {"status": "timeout", "error_message": "it took longer than %g s" % work["timeout"]}
                    break
                if max(os.path.getsize(path) for path in paths[1:]) > work["output_bytes"]:
                    result = {"status": "output_limit", "error_message": "it printed too much"}
                    break
                time.sleep(0.02)
        finally:
            try:
                os.killpg(child.pid, 9)
            except ProcessLookupError:
                pass
            child.wait()
    result["duration_ms"] = (time.monotonic() - started) * 1000
    for name, path in zip(("stdout", "stderr"), paths[1:], strict=True):
        with open(path, "rb") as file:
            result[name] = file.read(work["output_bytes"]).decode("utf-8", "replace")
    return result if "status" in result else {**result, **read_result(work, folder, child.returncode)}


def read_result(work, folder, code):
    """What the harness left."""
    try:
        path = os.path.join(folder, ".result.json")
        if os.path.getsize(path) > work["output_bytes"] + 40000:
            return {"status": "output_limit", "error_message": "its result is too large"}
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {"status": "failed", "error_message": "it ended its process with exit code %d" % code}
    if "ok" in found:
        text = json.dumps(found["ok"])
        if len(text) > work["output_bytes"]:
            return {"status": "output_limit", "error_message": "its result is too large"}
        return {"status": "completed", "output": text}
    return {
        "status": "failed", "error_message": str(found.get("error"))[:2000],
        "error_traceback": str(found.get("traceback") or "")[:20000],
    }  # fmt: skip


def main():
    """One execution."""
    work = talk("/work")
    with tempfile.TemporaryDirectory() as folder:
        trouble = prepare(work, folder)
        talk("/result", {"status": "failed", "error_message": trouble} if trouble else run(work, folder))


main()
