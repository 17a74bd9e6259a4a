"""Keys on the command line and in the SDK, against a control plane that asks for one."""

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from skyscale.cli.main import run
from skyscale.errors import Forbidden, Unauthorized
from skyscale.sdk.client import Client
from skyscale.sdk.credentials import credential_for, path_in
from skyscale.sdk.sandbox import Sandbox
from skyscale.wire.runs import RunCreate

TOKEN = "the-dashboard-token-of-this-test"
SERVER = """
import sys
from pathlib import Path
from pydantic import SecretStr
from skyscale.api.serve import run_server
from skyscale.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), port=0, dashboard_token=SecretStr(sys.argv[2]), reads="guarded")
run_server(settings, on_ready=lambda url: print(url, flush=True))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Its URL."""
    command = [sys.executable, "-c", SERVER, str(tmp_path_factory.mktemp("data")), TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user without credentials."""
    for name in ("SKYSCALE_API_KEY", "SKYSCALE_TOKEN", "SKYSCALE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def new_key(server: str, scope: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("SKYSCALE_API_KEY", TOKEN)
    capsys.readouterr()
    assert run(["keys", "create", "--url", server, "--scope", scope, f"for {scope}"]) == 0
    told = capsys.readouterr()
    monkeypatch.delenv("SKYSCALE_API_KEY")
    assert told.out.strip().startswith("sky_"), "stdout holds the key alone, for pipes"
    assert "It is not shown again" in told.err
    return told.out.strip()


def test_a_stranger_is_told_where_keys_come_from(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "--url", server]) == 1
    assert "skyscale login" in capsys.readouterr().err


def test_login_tries_the_key_keeps_it_privately_and_logout_ends_it(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_key(server, "operate", monkeypatch, capsys)
    log_in(server, "sky_" + "x" * 43, monkeypatch, 1)
    assert "there is no such API key" in capsys.readouterr().err
    log_in(server, secret, monkeypatch, 0)
    assert secret not in capsys.readouterr().out
    assert stat.S_IMODE(credential_path().stat().st_mode) == 0o600
    assert credential_for(server + "/") == secret
    assert credential_for("http://127.0.0.1:1") is None, "a key is sent to the address it is for, and to no other"
    assert run(["whoami", "--url", server]) == 0
    assert capsys.readouterr().out == "operator (operate)\n"
    assert run(["runs", "list", "--url", server]) == 0
    assert run(["logout", "--url", server, "--revoke"]) == 0
    assert credential_for(server) is None
    with Client(server, secret, retry_for_s=0.0) as client, pytest.raises(Unauthorized) as caught:
        client.list_runs()
    assert caught.value.code == "revoked_api_key"


def test_keys_are_listed_and_revoked(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_key(server, "admin", monkeypatch, capsys)
    monkeypatch.setenv("SKYSCALE_API_KEY", secret)
    assert run(["keys", "list", "--url", server, "--json"]) == 0
    newest = json.loads(capsys.readouterr().out)["keys"][0]
    assert (newest["name"], newest["scope"], newest["revoked_at"]) == ("for admin", "admin", None)
    assert run(["keys", "list", "--url", server]) == 0
    assert newest["key_id"] in capsys.readouterr().out
    assert run(["keys", "revoke", "--url", server, newest["key_id"]]) == 0
    assert run(["keys", "list", "--url", server]) == 1
    assert "was revoked" in capsys.readouterr().err


def test_programs_take_the_key_of_the_environment(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = new_key(server, "read", monkeypatch, capsys)
    monkeypatch.setenv("SKYSCALE_URL", server)
    monkeypatch.setenv("SKYSCALE_API_KEY", secret)
    with Client.from_environment() as client:
        assert client.list_runs().runs == []
        with pytest.raises(Forbidden) as caught:
            client.create_run(RunCreate(dry_run=True))
    assert caught.value.code == "insufficient_scope"
    with pytest.raises(Forbidden):
        Sandbox.create()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"http://127.0.0.1:1": 5}', "\x00"])
def test_a_damaged_file_of_keys_counts_as_empty(content: str) -> None:
    credential_path().parent.mkdir(parents=True)
    credential_path().write_text(content)
    assert credential_for("http://127.0.0.1:1") is None


def credential_path() -> Path:
    return path_in(os.environ)


def log_in(server: str, secret: str, monkeypatch: pytest.MonkeyPatch, exit_code: int) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
    assert run(["login", "--url", server, "--key-stdin"]) == exit_code
