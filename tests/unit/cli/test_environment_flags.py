"""`skyscale runs create --reward`, `--environment`, `--max-turns`."""

from pathlib import Path

import click
import pytest

from skyscale.cli.run_request import build_request, environment_of
from skyscale.wire.environments import CodeEnvironment, HttpEnvironment, PythonEnvironment, RewardFileEnvironment


def test_a_file_or_a_url_becomes_the_environment(tmp_path: Path):
    file = tmp_path / "x.py"
    file.write_text("def reward(task, completion): return 1")
    reward = build_request(None, {"environment": environment_of(file, None)}, ())
    assert reward.environment == RewardFileEnvironment(kind="reward_file", source=file.read_text())
    python = build_request(None, {"environment": environment_of(None, str(file)), "max_turns": 4}, ())
    assert (python.environment, python.max_turns) == (PythonEnvironment(kind="python", source=file.read_text()), 4)
    http = build_request(None, {"environment": environment_of(None, "http://127.0.0.1:9000/game/")}, ())
    assert http.environment == HttpEnvironment(kind="http", url="http://127.0.0.1:9000/game")
    assert environment_of(None, None) is None


def test_settings_reach_into_the_environment(tmp_path: Path):
    brief = build_request(None, {"max_turns": 2}, ("environment.feedback=brief",))
    assert brief.environment == CodeEnvironment(feedback="brief")
    file = tmp_path / "x.py"
    file.write_text("x")
    slow = build_request(None, {"environment": environment_of(file, None)}, ("environment.timeout_s=9",))
    assert slow.environment == RewardFileEnvironment(kind="reward_file", source="x", timeout_s=9)


@pytest.mark.parametrize(
    ("settings", "why"),
    [(("environment.kind=magic",), "environment"), (("max_turns=0",), "max_turns"), (("max_turns=33",), "max_turns")],
)
def test_what_cannot_be_is_refused_by_name(settings: tuple[str, ...], why: str):
    with pytest.raises(click.UsageError, match=why):
        build_request(None, {}, settings)


def test_both_flags_or_no_file_are_refused(tmp_path: Path):
    with pytest.raises(click.UsageError, match="exclude"):
        environment_of(tmp_path, "http://x")
    with pytest.raises(click.UsageError, match="cannot be read"):
        environment_of(None, str(tmp_path / "none.py"))
