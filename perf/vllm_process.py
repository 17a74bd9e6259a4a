"""vLLM's own OpenAI server as a process, for the measurements of this folder; it lives in an environment of its own."""

import os
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

READY_S = 240.0
NAME = "peer"
"""What its model is called."""
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1",
               "HF_HUB_OFFLINE": "1"}  # fmt: skip


@contextmanager
def vllm_server(python: str, folder: Path, *, max_length: int = 512) -> Generator[str]:
    """The URL of a vLLM server with its default engine settings, started with the interpreter `python`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", NAME,
        "--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(max_length), "--max-num-seqs", "128",
        "--dtype", "float32", "--disable-log-stats",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise RuntimeError(f"vLLM did not start (status {process.poll()})")
