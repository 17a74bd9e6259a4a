"""`skyscale sandbox ...`: interactive sandboxes from a terminal. `exec` ends with the program's own exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from skyscale.cli.session import connected, json_option, print_json, print_table, url_option

if TYPE_CHECKING:
    from skyscale.sdk.client import Client
    from skyscale.sdk.sandbox import Sandbox
    from skyscale.wire.sandboxes import ExecReply, Runtime

# Each line is a process of its own; the directory is what a person expects to stay.
_SHELL_LINE = """cd "$(cat /tmp/.directory 2>/dev/null || pwd)" 2>/dev/null
trap 'status=$?; pwd > /tmp/.directory; exit $status' EXIT
{line}
"""


@click.group()
def sandbox() -> None:
    """Make isolated places to run code, and use them."""


@sandbox.command()
@url_option
@json_option
@click.option("--runtime", type=click.Choice(["python3", "bash"]), default="python3", show_default=True)
@click.option("--ttl", type=click.IntRange(1, 86400), default=3600, show_default=True, help="Seconds until its end.")
@click.option("--idle", type=click.IntRange(1, 86400), default=900, show_default=True, help="Seconds without use.")
@click.option("--memory-mb", type=click.IntRange(32, 8192), default=512, show_default=True)
@click.option("--disk-mb", type=click.IntRange(1, 2048), default=64, show_default=True)
def create(url: str, as_json: bool, runtime: str, ttl: int, idle: int, memory_mb: int, disk_mb: int) -> None:
    """Make a sandbox and print its id."""
    from skyscale.sdk import sandbox_calls as calls
    from skyscale.wire.sandboxes import SandboxCreate

    limits = {"memory_mb": memory_mb, "disk_mb": disk_mb}
    body = SandboxCreate.model_validate(
        {"runtime": runtime, "ttl_seconds": ttl, "idle_seconds": idle, "limits": limits}
    )
    with connected(url) as client:
        view = client.transport.send(calls.create(body))
    print_json(view) if as_json else click.echo(view.id)


@sandbox.command(name="exec")
@url_option
@click.option("--language", type=click.Choice(["python3", "bash"]), help="The sandbox's runtime by default.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=30.0, show_default=True)
@click.option("--code", "-c", help="The program itself, instead of a file.")
@click.argument("sandbox_id")
@click.argument("file", type=click.File(encoding="utf-8"), required=False)
def run(
    url: str,
    language: str | None,
    timeout_s: float,
    code: str | None,
    sandbox_id: str,
    file: TextIO | None,
) -> int:
    """Run a program: FILE, --code, or standard input. Ends with the program's exit code."""
    if code is not None and file is not None:
        raise click.UsageError("give --code or a file, not both")
    text = code
    if text is None:
        text = sys.stdin.read() if file is None else file.read()
    with connected(url) as client:
        result = _show(_sandbox(client, sandbox_id), text, language, timeout_s)
    if result.status != "ok":
        click.echo(f"{click.style(result.status, fg='red')}: {result.detail}", err=True)
    return result.exit_code


@sandbox.command()
@url_option
@click.argument("source")
@click.argument("destination")
def cp(url: str, source: str, destination: str) -> None:
    """Copy a file into or out of a sandbox: one of the two is SANDBOX:PATH; - is standard input or output."""
    from_box, to_box = _split(source), _split(destination)
    if (from_box is None) == (to_box is None):
        raise click.UsageError("exactly one of the two must be SANDBOX:PATH, for example sb-1f2e3d4c5b6a:data/in.csv")
    with connected(url) as client:
        if to_box is not None:
            content = sys.stdin.buffer.read() if source == "-" else _read(Path(source))
            _sandbox(client, to_box[0]).write(_target(to_box[1], source), content)
        elif from_box is not None:
            content = _sandbox(client, from_box[0]).read(from_box[1])
            if destination == "-":
                sys.stdout.buffer.write(content)
                return
            target = Path(destination)
            (target / Path(from_box[1]).name if target.is_dir() else target).write_bytes(content)


@sandbox.command()
@url_option
@json_option
@click.option("--all", "is_all", is_flag=True, help="Destroyed ones too.")
@click.argument("place", required=False)
def ls(url: str, as_json: bool, is_all: bool, place: str | None) -> None:
    """List sandboxes, or with SANDBOX[:PATH] the files in one."""
    with connected(url) as client:
        if place is not None:
            sandbox_id, path = _split(place) or (place, "")
            found = _sandbox(client, sandbox_id).files(path)
            rows = [(f.name + "/" * (f.kind == "directory"), f.kind, f.size_bytes) for f in found]
            print_json(found) if as_json else print_table(("NAME", "KIND", "BYTES"), rows, empty="nothing there")
            return
        from skyscale.sdk import sandbox_calls as calls

        page = client.transport.send(calls.listing(None if is_all else True, None, 200))
    if as_json:
        print_json(page)
        return
    rows = [
        (
            box.id,
            box.status,
            box.runtime,
            f"{box.created_at:%Y-%m-%d %H:%M:%S}",
            f"{box.expires_at:%H:%M:%S}",
            box.reason,
        )
        for box in page.sandboxes
    ]
    print_table(("SANDBOX", "STATUS", "RUNTIME", "CREATED", "EXPIRES", "REASON"), rows, empty="no sandboxes")


@sandbox.command()
@url_option
@click.argument("sandbox_ids", nargs=-1, required=True)
def rm(url: str, sandbox_ids: tuple[str, ...]) -> None:
    """Destroy sandboxes."""
    with connected(url) as client:
        for sandbox_id in sandbox_ids:
            _sandbox(client, sandbox_id).destroy()


@sandbox.command()
@url_option
@click.argument("sandbox_id", required=False)
def shell(url: str, sandbox_id: str | None) -> int:
    """Type commands into a sandbox; without SANDBOX, into a new one that is destroyed at the end.

    Each line is a bash process of its own: files and the directory stay, variables do not. Ctrl-D ends the shell.
    """
    from skyscale.errors import Conflict
    from skyscale.sdk import sandbox_calls as calls
    from skyscale.wire.sandboxes import SandboxCreate

    with connected(url) as client:
        is_own = sandbox_id is None
        name = sandbox_id or client.transport.send(calls.create(SandboxCreate(runtime="bash"))).id
        box = _sandbox(client, name)
        exit_code = 0
        try:
            while (line := _line(name)) is not None:
                try:
                    exit_code = _show(box, _SHELL_LINE.format(line=line), "bash", 600.0).exit_code
                except Conflict as error:
                    click.echo(error.detail, err=True)
        finally:
            if is_own:
                box.destroy()
    return exit_code


@sandbox.command()
@url_option
@json_option
def hosts(url: str, as_json: bool) -> None:
    """List the hosts that run sandboxes for the control plane."""
    from skyscale.sdk import sandbox_calls as calls

    with connected(url) as client:
        found = client.transport.send(calls.hosts()).hosts
    if as_json:
        print_json(found)
        return
    rows = [
        (
            host.host_id, host.name, host.state, host.backend, f"{host.judging}/{host.slots}", host.judged_total,
            f"{host.open_sandboxes}/{host.max_sandboxes}", ", ".join(host.missing_layers) or "none", host.reason,
        )
        for host in found
    ]  # fmt: skip
    columns = ("HOST", "NAME", "STATE", "BACKEND", "JUDGING", "JUDGED", "SANDBOXES", "MISSING LAYERS", "REASON")
    print_table(columns, rows, empty="no sandbox hosts: the control plane runs sandboxes itself")


def _line(name: str) -> str | None:
    """The next line that somebody types or pipes in; None at the end."""
    while True:
        if sys.stdin.isatty():
            click.echo(f"{click.style(name, fg='cyan')} $ ", nl=False)
        line = sys.stdin.readline()
        if not line or line.strip() == "exit":
            return None
        if line.strip():
            return line


def _sandbox(client: Client, sandbox_id: str) -> Sandbox:
    from skyscale.sdk.sandbox import Sandbox

    return Sandbox(sandbox_id, client.transport)


def _show(box: Sandbox, code: str, language: str | None, timeout_s: float) -> ExecReply:
    """Run it and print its output as it comes."""
    from skyscale.errors import ProtocolError

    for event in box.stream(code, language=cast("Runtime | None", language), timeout_seconds=timeout_s):
        if event.result is not None:
            return event.result
        click.echo(event.data, nl=False, err=event.type == "stderr")
    raise ProtocolError("the stream ended before the program did")


def _split(place: str) -> tuple[str, str] | None:
    """`sb-...:path` in its two parts; None for a path of this machine."""
    sandbox_id, colon, path = place.partition(":")
    return (sandbox_id, path) if colon and sandbox_id.startswith("sb-") else None


def _target(path: str, source: str) -> str:
    """Where to: a destination that is empty or ends with a slash is a directory."""
    return path + Path(source).name if not path or path.endswith("/") else path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
