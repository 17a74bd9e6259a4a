"""The command's door: instant, frozen, and clear about trouble."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from skyscale.cli.lazy import LazyGroup
from skyscale.cli.main import cli, run

URL = "--url"
FILTERS = {
    "--problem", "--purpose", "--state", "--outcome", "--min-version", "--max-version", "--min-reward", "--max-reward",
    "--text",
}  # fmt: skip
# Adding or renaming an option is a decision; write it down here.
OPTIONS = {
    "algorithms list": {"--json"},
    "algorithms show": {"--json"},
    "": {"--version"},
    "demo": {"--seconds", "--seed", "--workers", "--port", "--data-dir", "--keep-serving", "--json"},
    "up": {"--host", "--port", "--dashboard-host", "--dashboard-port", "--data-dir", "--insecure"},
    "serve": {"--host", "--port", "--data-dir", "--insecure"},
    "runs create": {
        URL, "--json", "--base-model", "--num-workers", "--gpu-model", "--provider", "--problem-set", "--difficulty",
        "--mode", "--seed", "--max-steps", "--max-hours", "--target-reward", "--run-id", "--file", "--set", "--dry-run",
        "--max-turns", "--max-cost-usd", "--reward", "--environment", "--watch",
    },
    "runs list": {URL, "--json", "--limit", "--cursor"},
    "runs show": {URL, "--json"},
    "runs watch": {URL, "--json"},
    "runs stop": {URL, "--wait"},
    "runs events": {URL, "--json", "--after", "--follow", "-f"},
    "runs logs": {URL, "--role"},
    "problems upload": {URL, "--json", "--name", "--heldout-fraction", "--no-solutions", "--dry-run"},
    "problems list": {URL, "--json"},
    "eval": {
        URL, "--json", "--problem-set", "--num-problems", "--k", "--samples", "--temperature", "--max-new-tokens",
        "--seed", "--provider", "--gpu-model", "--timeout",
    },
    "rollouts list": {URL, "--json", "--limit", "--cursor", *FILTERS},
    "rollouts show": {URL, "--json", "--tokens", "--columns"},
    "rollouts export": {URL, *FILTERS},
    "problems show": {URL, "--json"},
    "problems sample": {URL, "--json", "--split", "--difficulty", "--tag", "--limit", "--cursor"},
    "problems delete": {URL},
    "problems check": {"--heldout-fraction"},
    "problems import": {"--format", "--out", "--split", "--limit", "--dry-run"},
    "buffer stats": {URL, "--json"},
    "sandbox create": {URL, "--json", "--runtime", "--ttl", "--idle", "--memory-mb", "--disk-mb"},
    "sandbox exec": {URL, "--language", "--timeout", "--code", "-c"},
    "sandbox cp": {URL},
    "sandbox ls": {URL, "--json", "--all"},
    "sandbox rm": {URL},
    "sandbox shell": {URL},
    "sandbox hosts": {URL, "--json"},
    "sandboxd": {
        "--url", "--host", "--port", "--public-url", "--name", "--data-dir", "--backend", "--slots", "--missing-layers",
    },
    "doctor": {"--backend", "--json"},
    "deploy": {URL, "--json"},
    "invoke": {URL, "--json", "--input", "--input-file", "--version", "--async"},
    "logs": {URL, "--limit"},
    "checkpoints list": {URL, "--json"},
    "checkpoints pull": {URL, "--version"},
    "checkpoints push-hub": {URL, "--version", "--private", "--message"},
    "services templates": {URL, "--json"},
    "services deploy": {
        URL, "--json", "--template", "--image", "--command", "--env", "--port", "--memory-gb", "--vcpus",
        "--max-cost-usd",
    },
    "services list": {URL, "--json"},
    "services show": {URL},
    "services logs": {URL, "--limit"},
    "services call": {URL, "--method", "-X", "--body", "-d"},
    "services stop": {URL},
    "services delete": {URL},
    "functions list": {URL, "--json", "--cursor"},
    "functions show": {URL},
    "functions delete": {URL},
    "functions endpoints": {URL, "--json"},
    "login": {URL, "--key-stdin"},
    "logout": {URL, "--revoke"},
    "whoami": {URL, "--json"},
    "keys create": {URL, "--json", "--scope", "--days", "--forever"},
    "keys list": {URL, "--json", "--limit", "--cursor"},
    "keys revoke": {URL},
    "jobs list": {URL, "--json", "--run", "--limit", "--cursor"},
    "jobs logs": {URL, "--json", "--follow"},
    "jobs show": {URL, "--json"},
    "jobs submit": {
        URL, "--json", "--follow", "--template", "--job-id", "--image", "--gpu-model", "--provider", "--capacity",
        "--env", "--timeout-s", "--max-attempts", "--max-cost-usd",
    },
    "jobs cancel": {URL, "--json"},
    "jobs artifacts": {URL, "--json", "--into"},
    "gpus": {URL, "--json"},
    "templates list": {URL, "--json"},
    "templates show": {URL},
    "replicas": {URL, "--json"},
    "status": {URL, "--json"},
}  # fmt: skip


def options(command: click.Command, path: str = "") -> dict[str, set[str]]:
    found = {path: {name for each in command.params if isinstance(each, click.Option) for name in each.opts}}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found |= options(inner, f"{path} {name}".strip())
    return found


def test_the_list_of_options_is_frozen():
    found = options(cli)
    assert {path: names for path, names in found.items() if names} == OPTIONS


def test_every_command_is_imported_only_when_it_is_run():
    assert isinstance(cli, LazyGroup)
    assert cli.get_command(click.Context(cli), "nothing") is None


def test_help_is_instant_and_imports_nothing_heavy():
    script = (
        "import resource, sys\n"
        "from skyscale.cli.main import run\n"
        "code = run(['--help'])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(code, used.ru_utime + used.ru_stime, *sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    code, cpu_s, *modules = out.splitlines()[-1].split()
    assert code == "0"
    assert not {"httpx", "rich", "pydantic", "torch", "sqlalchemy", "fastapi", "uvicorn"} & set(modules)
    assert float(cpu_s) < 0.3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["runs", "create", "--nope"], "No such option"),
        (["runs", "create", "--set", "learning_rate"], "--set takes field=value"),
        (["runs", "create", "--set", "algorithm.lerning_rate=1"], "algorithm.lerning_rate"),
        (["runs", "create", "--num-workers", "-1"], "num_workers: Input should be greater than or equal to 1"),
        (["runs", "create", "--mode", "synchronous", "--num-workers", "2"], "set num_workers to 1"),
        (["runs", "list", "--url", "localhost"], "must begin with http"),
        (["runs", "list", "--url", "http://"], "name a host"),
        (["runs", "list", "--url", "http://127.0.0.1:9,b:1"], "not 'b:1'"),
        (["runs", "show", ""], "RUN_ID is empty"),
        (["runs", "create", "--environment", "ftp://games"], "an http:// or https:// URL, not 'ftp://games'"),
        (["runs", "create", "--max-hours", "1e20"], "max_hours: Input should be less than or equal to"),
        (["nothing"], "No such command"),
        (["rnus", "list"], "No such command 'rnus'. Did you mean 'runs'?"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_the_fault(args: list[str], message: str, capsys):
    assert run(args) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SKYSCALE_SANDBOX_SLOTS", "many", "SKYSCALE_SANDBOX_SLOTS: Input should be a valid integer"),
        ("DATABASE_URL", "postgresql://u:secret@db/runs", "DATABASE_URL must be postgresql+asyncpg://"),
        ("DATABASE_URL", "runs.db", "for a SQLite file set DB_PATH"),
    ],
)
def test_a_setting_that_cannot_work_is_named_and_never_shown(name: str, value: str, message: str, capsys, monkeypatch):
    monkeypatch.setenv(name, value)
    assert run(["serve", "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error


@pytest.mark.parametrize("command", [["serve"], ["up"], ["demo"]])
def test_a_folder_where_nothing_can_be_kept_is_one_clear_error(command: list[str], tmp_path: Path, capsys):
    (tmp_path / "file").touch()
    assert run([*command, "--port", "0", "--data-dir", str(tmp_path / "file" / "data")]) == 1
    error = capsys.readouterr().err
    assert "nothing can be kept in" in error
    assert "--data-dir" in error


def test_a_missing_control_plane_is_one_clear_error(capsys):
    assert run(["runs", "list", "--url", "http://127.0.0.1:9"]) == 1
    error = capsys.readouterr().err
    assert "no control plane at http://127.0.0.1:9" in error
    assert "skyscale serve" in error
    assert "Traceback" not in error


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("skyscale ")


def test_a_taken_port_is_one_clear_error(capsys):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_a_sandbox_backend_of_no_name_is_told_which_there_are(tmp_path: Path, capsys):
    assert run(["sandboxd", "--backend", "moon", "--port", "0", "--data-dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "there are: firecracker, gvisor, process, qemu" in error
    assert "Choose one of these" in error


def test_an_address_of_no_machine_is_one_clear_error(tmp_path: Path, capsys):
    command = ["serve", "--host", "no-such-host.invalid", "--insecure", "--port", "0", "--data-dir", str(tmp_path)]
    assert run(command) == 1
    error = capsys.readouterr().err
    assert "cannot listen on no-such-host.invalid" in error
    assert "--host" in error


def test_listening_beyond_loopback_without_a_token_is_wrong_usage(capsys, monkeypatch):
    monkeypatch.delenv("SKYSCALE_DASHBOARD_TOKEN", raising=False)
    assert run(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "SKYSCALE_DASHBOARD_TOKEN" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback():
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = f"{sys.executable} -m skyscale.cli.main --help | true"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_a_request_is_built_from_file_flags_and_settings_in_that_order(tmp_path: Path):
    from skyscale.cli.run_request import build_request

    text = json.dumps({"seed": 1, "max_steps": 5, "algorithm": {"group_size": 4, "clip_low": 0.1}})
    flags = {"max_steps": 6, "base_model": None, "num_workers": 2}
    request = build_request(text, flags, ("algorithm.group_size=16", "algorithm.learning_rate=1e-4", "difficulty=hard"))
    assert (request.seed, request.max_steps, request.num_workers) == (1, 6, 2)
    algorithm = request.algorithm
    assert (algorithm.group_size, algorithm.clip_low, algorithm.learning_rate) == (16, 0.1, 1e-4)
    assert (request.difficulty, request.base_model) == ("hard", "skyscale/starter")
