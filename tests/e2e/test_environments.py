"""Whole runs by turns, with a reward file and in a user's environment, by the public API and the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from skyscale.wire.environments import CodeEnvironment, PythonEnvironment
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, RunView
from tests.e2e.conftest import ControlPlane

pytestmark = pytest.mark.timeout(300)
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = Algorithm(groups_per_step=6, group_size=6)
FEW = Evaluation(num_problems=8, samples_per_problem=4)


def completed(plane: ControlPlane, run_id: str) -> RunView:
    view = plane.wait_for_end(run_id, 240)
    assert view.status == RunStatus.COMPLETED, plane.story(run_id)
    return view


def test_a_wrong_program_is_written_again_and_both_answers_are_trained_on(control_plane: ControlPlane) -> None:
    request = RunCreate(
        max_steps=3, max_turns=2, environment=CodeEnvironment(feedback="brief", repeat_prompt=True), algorithm=SMALL,
        evaluation=FEW, seed=1,
    )  # fmt: skip
    view = completed(control_plane, control_plane.client.create_run(request).run_id)
    assert view.spec.max_turns == 2
    assert [result.version for result in view.evaluations] == [0, 3]
    for result in view.evaluations:
        samples = control_plane.client.evaluation(view.run_id, result.version)
        assert len(samples) == 32
        for sample in samples:
            assert len(sample.turn_rewards) == (1 if sample.turn_rewards[0] == 1.0 else 2)
            assert sample.reward == sample.turn_rewards[-1], "an episode is worth its last answer"
        assert {len(sample.turn_rewards) for sample in samples} == {1, 2}
    assert all(point.metrics["logprob_diff"] < 0.1 for point in view.metrics), "tokens and their logprobs fit"


def test_a_reward_file_from_the_command_line_is_what_is_learned(control_plane: ControlPlane) -> None:
    command = [sys.executable, "-m", "skyscale.cli.main", "runs", "create", "--url", control_plane.url, "--json"]
    command += ["--reward", str(EXAMPLES / "same_program" / "reward.py"), "--max-steps", "24", "--seed", "1"]
    command += ["--set", "algorithm.groups_per_step=6", "--set", "evaluation.num_problems=16", "--difficulty", "easy"]
    created = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert created.returncode == 0, created.stderr
    view = completed(control_plane, json.loads(created.stdout)["run_id"])
    before, after = view.evaluations
    assert after.reward > before.reward + 0.1, "closer to the reference, as the file asks"
    kinds = {event.kind for event in control_plane.client.events(view.run_id, limit=500).events}
    assert "environment.failed" not in kinds


def test_a_game_is_played_over_several_turns(control_plane: ControlPlane) -> None:
    source = (EXAMPLES / "guess_the_number" / "environment.py").read_text()
    request = RunCreate(
        max_hours=0.002, max_turns=6, environment=PythonEnvironment(kind="python", source=source), algorithm=SMALL,
        evaluation=Evaluation(num_problems=4, samples_per_problem=2),
    )  # fmt: skip
    view = completed(control_plane, control_plane.client.create_run(request).run_id)
    samples = control_plane.client.evaluation(view.run_id, 0)
    assert len(samples) == 8
    assert max(len(sample.turn_rewards) for sample in samples) == 6, "told `not a number`, it guesses again"
