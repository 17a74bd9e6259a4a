"""A policy server whose engine is not there: its last word, which the run's events repeat, says what to do."""

import subprocess
import sys
from importlib.util import find_spec

import pytest


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_an_engine_that_is_not_installed_is_told_with_what_to_do_in_one_line() -> None:
    command = [sys.executable, "-m", "skyscale.policy", "--engine", "vllm", "--model", "skyscale/starter"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert "vllm" in last and "not installed" in last
    assert "SKYSCALE_POLICY_PYTHON" in last
