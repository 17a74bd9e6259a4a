"""`skyscale init`, `deploy`, `invoke`, `logs` and `functions` as a new user types them, and completion."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skyscale.cli.main import run


@pytest.fixture(autouse=True)
def at(plane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYSCALE_URL", plane)
    monkeypatch.chdir(tmp_path)


def test_from_nothing_to_a_function_that_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "hello"]) == 0
    assert run(["deploy", "hello"]) == 0
    capsys.readouterr()
    assert run(["invoke", "hello", "--input", '{"name": "Ada"}']) == 0
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == ({"greeting": "Hello Ada"}, "greeting Ada\n")
    assert run(["logs", "hello"]) == 0
    assert "greeting Ada" in capsys.readouterr().out
    assert run(["functions", "list"]) == 0
    assert "hello" in capsys.readouterr().out
    assert run(["functions", "delete", "hello"]) == 0
    assert run(["invoke", "hello"]) == 1
    assert "there is no function 'hello'" in capsys.readouterr().err
    assert run(["init", "hello"]) == 2, "what is there is not overwritten"


def test_trouble_is_one_line_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["init", "bad"])
    (tmp_path / "bad" / "handler.py").write_text("def handler(:\n")
    assert run(["deploy", "bad"]) == 1
    assert "code: line 1" in capsys.readouterr().err
    (tmp_path / "bad" / "handler.py").write_text("def handler(e):\n    raise ValueError('no')\n")
    (tmp_path / "bad" / "skyscale.toml").write_text('name = "bad"\nmemory = 1\n')
    assert run(["deploy", "bad"]) == 2
    assert "memory" in capsys.readouterr().err
    (tmp_path / "bad" / "skyscale.toml").write_text('name = "bad"\n')
    assert run(["deploy", "bad"]) == 0
    assert run(["invoke", "bad"]) == 1
    assert "failed: ValueError: no" in capsys.readouterr().err
    assert run(["invoke", "bad", "--input", "{"]) == 2
    assert run(["deploy", str(tmp_path)]) == 2
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    assert run(["deploy", "broken.py"]) == 1
    assert "ModuleNotFoundError" in capsys.readouterr().err


def test_an_app_is_deployed_from_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.py").write_text(
        "import skyscale\napp = skyscale.App('shop')\n"
        "@app.function\ndef price(n):\n    return n * 3\n"
        "@app.function\n@skyscale.web_endpoint()\ndef order(n):\n    return n\n"
    )
    assert run(["deploy", "shop.py"]) == 0
    said = capsys.readouterr().out
    assert "shop--price" in said
    assert "POST http" in said
    for given in ('{"args": [5], "kwargs": {}}', "[5]", '{"n": 5}'):
        assert run(["invoke", "shop--price", "--input", given]) == 0
        assert capsys.readouterr().out == "15\n"
    assert run(["invoke", "shop--price", "--input", "5"]) == 2
    assert run(["invoke", "shop--price"]) == 1
    assert "missing 1 required positional argument" in capsys.readouterr().err
    assert run(["functions", "delete", "shop--order"]) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_SKYSCALE_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_commands() -> None:
    environment = {"_SKYSCALE_COMPLETE": "bash_complete", "COMP_WORDS": "skyscale inv", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from skyscale.cli.main import main; main()"],
        env=environment | {"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "invoke" in done.stdout, done.stderr
