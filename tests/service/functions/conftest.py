"""A control plane as a process of its own, with an index of packages that needs no network."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

SERVER = """
import sys
from pathlib import Path
from skyscale.api.serve import run_server
from skyscale.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), port=0, function_slots=int(sys.argv[2]))
run_server(settings, on_ready=lambda url: print(url, flush=True))
"""
DEADLINE_S = 30.0


@contextmanager
def control_plane(
    folder: Path, *, slots: int = 2, index: Path | None = None
) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Its address and its process; ended in good order unless the block has killed it."""
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index or folder)}
    command = [sys.executable, "-c", SERVER, str(folder), str(slots)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://")
            yield url, process
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
        finally:
            process.kill()


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> None:
    """A package that pip can install."""
    info = f"{name}-1.0.dist-info"
    texts = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    texts[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in texts.items():
            wheel.writestr(path, text)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packages: one of pure Python, one with a compiled part."""
    folder = tmp_path_factory.mktemp("index")
    make_wheel(folder, "greeting", {"greeting/__init__.py": "def greet(name):\n    return f'Hello {name}'\n"})
    make_wheel(folder, "hard", {"hard/__init__.py": "", "hard/fast.so": "\x7fELF"})
    return folder


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory, index: Path) -> Generator[str]:
    """The address of a control plane."""
    with control_plane(tmp_path_factory.mktemp("plane"), index=index) as (url, _):
        yield url


@pytest.fixture
def http(plane: str) -> Generator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=plane, timeout=60, trust_env=False) as client:
        yield client
