"""Watching a run to its end: a live screen on a terminal, plain lines in a pipe, JSON lines for programs.

The control plane is asked once a second through the public API; a lost connection is ridden out by the client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import click

from skyscale.cli.live.snapshot import Snapshot, progress, take
from skyscale.cli.session import print_json
from skyscale.errors import Unavailable
from skyscale.sdk.client import Client
from skyscale.sdk.following import ENDED
from skyscale.wire.runs import Event, RunView

# Reading and drawing cost about 30 ms; on a small machine the training needs the rest.
TICK_S = 1.0
NUM_EVENTS_KEPT = 20
Check = Callable[[], None]


def watch_run(client: Client, run_id: str, *, as_json: bool = False, check: Check | None = None) -> RunView:
    """Show the run until it has ended; returns its last view. `check` is called every tick and may raise."""
    import sys

    snapshots = _snapshots(client, run_id, check)
    if as_json:
        return _json_lines(snapshots)
    return _screen(snapshots) if sys.stdout.isatty() else _plain_lines(snapshots)


def wait_for_end(client: Client, run_id: str, *, timeout_s: float) -> RunView:
    """The run's view once it has ended. Raises Unavailable when that takes longer."""
    deadline = time.monotonic() + timeout_s
    while (view := client.get_run(run_id)).status not in ENDED:
        if time.monotonic() > deadline:
            raise Unavailable(f"{run_id} is still {view.status} after {timeout_s:.0f} s")
        time.sleep(0.2)
    return view


def _snapshots(client: Client, run_id: str, check: Check | None) -> Generator[Snapshot]:
    events: list[Event] = []
    while True:
        if check:
            check()
        view = client.get_run(run_id)
        page = client.events(run_id, after=events[-1].seq if events else 0, limit=200).events
        events = [*events, *page][-NUM_EVENTS_KEPT:]
        yield take(client, view, events)
        if view.status in ENDED:
            return
        time.sleep(TICK_S)


def _screen(snapshots: Generator[Snapshot]) -> RunView:
    from rich.live import Live

    from skyscale.cli.live.screen import screen

    snapshot = next(snapshots)
    with Live(screen(snapshot), auto_refresh=False) as live:
        for snapshot in snapshots:
            live.update(screen(snapshot, live.console.height), refresh=True)
    return snapshot.view


def _plain_lines(snapshots: Generator[Snapshot]) -> RunView:
    shown_seq, shown_line = 0, ""
    for snapshot in snapshots:
        for event in snapshot.events:
            if event.seq > shown_seq:
                shown_seq = event.seq
                click.echo(f"{event.timestamp:%H:%M:%S}  {event.component:<12} {event.message}")
        line = plain_line(snapshot)
        if line != shown_line:
            shown_line = line
            click.echo(f"{snapshot.now:%H:%M:%S}  {line}")
        view = snapshot.view
    return view  # pyright: ignore[reportPossiblyUnboundVariable] - the generator gives at least one


def plain_line(snapshot: Snapshot) -> str:
    """The state of a run in one line."""
    view = snapshot.view
    reward = next((point.episode_reward for point in reversed(view.metrics) if point.episode_reward is not None), None)
    used = progress(view, snapshot.now)
    parts = [
        f"{view.status}{f' ({view.stage})' if view.stage else ''}",
        f"version {view.policy_version}",
        f"{used[0]:.0%}" if used else "",
        f"reward {reward:.3f}" if reward is not None else "",
        f"held-out {view.evaluations[-1].reward:.3f}" if view.evaluations else "",
        f"buffer {snapshot.stats.size}" if snapshot.stats else "",
    ]
    return "  ".join(part for part in parts if part)


def _json_lines(snapshots: Generator[Snapshot]) -> RunView:
    shown: dict[str, object] = {}
    for snapshot in snapshots:
        view = snapshot.view
        points = [point for point in view.metrics if point.episode_reward is not None]
        line: dict[str, object] = {
            "run_id": view.run_id,
            "status": view.status,
            "stage": view.stage,
            "policy_version": view.policy_version,
            "serving_version": view.serving_version,
            "episode_reward": points[-1].episode_reward if points else None,
            "heldout_reward": view.evaluations[-1].reward if view.evaluations else None,
            "trajectories": view.trajectories,
            "reason": view.reason,
        }
        if line != shown:
            shown = line
            print_json(line, is_line=True)
    return view  # pyright: ignore[reportPossiblyUnboundVariable] - the generator gives at least one
