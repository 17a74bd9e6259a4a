"""A policy server as a process of its own, for the measurements of this folder."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

TOKEN = "perf-only"


@contextmanager
def policy_server(model: str) -> Generator[str]:
    """The URL of a `python -m skyscale.policy` that serves `model` for the length of the block."""
    command = [sys.executable, "-m", "skyscale.policy", "--model", model]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"SKYSCALE_JOB_TOKEN": TOKEN}
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if " at http://" not in line:
            raise RuntimeError("the policy server did not start")
        yield line.split(" at ")[1].strip()
    finally:
        process.terminate()
        process.wait(15)
