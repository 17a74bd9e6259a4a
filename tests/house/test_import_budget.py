"""Doors stay light: what a process must not import, checked in a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "sqlalchemy", "fastapi", "uvicorn", "alembic", "opentelemetry"}
DOORS = {
    "skyscale.cli.main": HEAVY | {"httpx", "rich"},
    "skyscale.sdk.client": HEAVY,
    "skyscale.worker.__main__": HEAVY,
    "skyscale.api.app": {
        "torch",
        "transformers",
        "opentelemetry.sdk",
    },  # its API is imported by FastAPI where it is there
    "skyscale.policy.__main__": HEAVY,
    "skyscale.trainer.__main__": HEAVY,
}


@pytest.mark.parametrize("module", DOORS)
def test_door_imports_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not DOORS[module] & set(loaded)
