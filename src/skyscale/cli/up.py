"""`skyscale up`: the control plane in this process and the dashboard in a child of it, until told to stop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skyscale.cli.serve import announce, make_folder, read_settings, run
from skyscale.errors import SkyscaleError

if TYPE_CHECKING:
    from skyscale.cli.dashboard_process import DashboardProcess
    from skyscale.settings import Settings

DASHBOARD_PORT = 3000


@click.command()
@click.option("--host", help="The control plane's address; 127.0.0.1 by default (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Its port; 8080 by default, 0 takes a free one (PORT).")
@click.option("--dashboard-host", default="127.0.0.1", show_default=True, help="The dashboard's address.")
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    help="The dashboard's port; 3000 or the next free one by default.",
)
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Where everything is kept.")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond loopback without a token.")
def up(dashboard_host: str, dashboard_port: int | None, **flags: object) -> None:
    """Run the control plane and the dashboard. Everything they keep lies in the data folder (.skyscale)."""
    from skyscale.cli.dashboard_process import free_port

    settings = read_settings({name: value for name, value in flags.items() if value is not None})
    # The dashboard starts first, so the control plane's port is settled here.
    settings = settings.model_copy(update={"port": settings.port or free_port(settings.host, 0, is_exact=True)})
    make_folder(settings.data_dir)
    code, dashboard = _start(settings, dashboard_host, dashboard_port)
    stopping = threading.Event()

    def ready(url: str) -> None:
        announce(url, settings)
        if dashboard is not None:
            watch = threading.Thread(target=_watch, args=(dashboard, code, stopping), daemon=True, name="dashboard")
            watch.start()

    try:
        run(settings, ready)
    finally:
        stopping.set()
        if dashboard is not None:
            dashboard.stop()


def _start(settings: Settings, host: str, port: int | None) -> tuple[str, DashboardProcess | None]:
    """The set-up code and the dashboard's process; without a bundle or a Node, why there is no dashboard."""
    from skyscale.cli import dashboard_bundle as bundles
    from skyscale.cli.dashboard_process import DashboardProcess, free_port, setup_code

    code = setup_code()
    bundle = bundles.bundle()
    if bundle is None:
        _tell("The dashboard is not built here", "python scripts/build_dashboard.py builds it from a checkout")
        return code, None
    try:
        node = bundles.find_node()
    except SkyscaleError as error:
        _tell(error.detail, error.hint)
        if bundles.has_export():
            click.echo(f"Read-only pages at http://{_reachable(settings.host)}:{settings.port}/")
        return code, None
    chosen = free_port(host, DASHBOARD_PORT if port is None else port, is_exact=port is not None)
    own = {
        "SKYSCALE_API_URL": f"http://{_reachable(settings.host)}:{settings.port}",
        "SKYSCALE_DATA_DIR": str(settings.data_dir.absolute()),
        "SKYSCALE_SETUP_CODE": code,
    }
    log_path = settings.data_dir.absolute() / "dashboard.log"
    return code, DashboardProcess(node.path, bundle, host=host, port=chosen, log_path=log_path, settings=own)


def _watch(dashboard: DashboardProcess, code: str, stopping: threading.Event) -> None:
    """Say where the dashboard is once it answers, and what became of it if it ends; the control plane goes on."""
    try:
        dashboard.wait_until_ready(stopping.is_set)
        if stopping.is_set():
            return
        click.echo(f"Dashboard at {click.style(dashboard.url, bold=True)}")
        if dashboard.needs_setup():
            click.echo(f"  set-up code    {click.style(code, bold=True)}  (once, for the first account)")
            click.echo(f"  or open        {dashboard.url}/setup#code={code}")
    except (SkyscaleError, OSError) as error:
        hint = error.hint if isinstance(error, SkyscaleError) else f"its log is {dashboard.log_path}"
        _tell(error.detail if isinstance(error, SkyscaleError) else str(error), hint)
    while not stopping.wait(1.0):
        if dashboard.has_ended():
            _tell(f"The dashboard has ended; the control plane goes on.\n  {dashboard.tail()}", "restart `skyscale up`")
            return


def _tell(what: str, hint: str) -> None:
    click.echo(f"{click.style('dashboard:', fg='yellow', bold=True)} {what}", err=True)
    click.echo(f"{click.style('     hint:', fg='cyan')} {hint}", err=True)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
