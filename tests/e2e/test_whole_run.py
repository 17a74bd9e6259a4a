"""Whole runs on the starter model: it learns, every token knows its version, two runs with one seed are one."""

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from skyscale.starter.location import MODEL_DIR
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from skyscale.wire.training import Training
from tests.e2e.conftest import ControlPlane

pytestmark = pytest.mark.timeout(240)


def test_a_run_learns_and_leaves_a_model_that_transformers_loads(control_plane: ControlPlane) -> None:
    request = RunCreate(max_steps=60, evaluation=Evaluation(num_problems=40, samples_per_problem=4), seed=1)
    created = control_plane.client.create_run(request)
    view = control_plane.wait_for_end(created.run_id, 200)
    assert view.status == RunStatus.COMPLETED, control_plane.story(created.run_id)
    assert view.policy_version == view.serving_version == 60
    assert [result.version for result in view.evaluations] == [0, 60]
    assert view.evaluations[1].reward > view.evaluations[0].reward + 0.08
    rewards = [point.episode_reward for point in view.metrics if point.episode_reward is not None]
    assert sum(rewards[-10:]) / 10 > sum(rewards[:10]) / 10 + 0.08
    for point in view.metrics:
        assert point.metrics["logprob_diff"] < 1e-3 or point.metrics["staleness_max"] > 0
        assert point.metrics["staleness_max"] <= request.algorithm.max_staleness
        assert 0 <= point.metrics["wait_share"] <= 1
    assert view.checkpoint
    folder = view.checkpoint.removeprefix("file://")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size >= len(AutoTokenizer.from_pretrained(folder))


def test_a_run_whose_trainer_is_two_processes_with_half_of_the_model_each(control_plane: ControlPlane) -> None:
    request = RunCreate(
        trainer_processes=2, training=Training(sharding="full"), max_steps=6, evaluation=Evaluation(num_problems=0)
    )
    view = control_plane.wait_for_end(control_plane.client.create_run(request).run_id, 120)
    assert view.status == RunStatus.COMPLETED, control_plane.story(view.run_id)
    assert view.policy_version == view.serving_version == 6
    assert all(point.metrics["logprob_diff"] < 1e-3 or point.metrics["staleness_max"] > 0 for point in view.metrics)
    assert view.checkpoint
    folder = view.checkpoint.removeprefix("file://")
    trained, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    base = AutoModelForCausalLM.from_pretrained(MODEL_DIR)
    after, before = trained.state_dict(), base.state_dict()
    assert all(0 < (after[name] - before[name]).abs().max() < 0.1 for name in before)


def test_two_synchronous_runs_with_one_seed_have_the_same_losses(control_plane: ControlPlane) -> None:
    losses: list[list[tuple[float | None, ...]]] = []
    for _ in range(2):
        request = RunCreate(
            mode="synchronous",
            max_steps=4,
            seed=7,
            algorithm=Algorithm(groups_per_step=4),
            evaluation=Evaluation(num_problems=0),
        )
        view = control_plane.wait_for_end(control_plane.client.create_run(request).run_id, 90)
        assert view.status == RunStatus.COMPLETED, view.reason
        assert all(point.metrics["logprob_diff"] < 1e-3 for point in view.metrics), "engine and trainer agree"
        losses.append([(point.loss, point.metrics["grad_norm"], point.episode_reward) for point in view.metrics])
    assert len(losses[0]) == 4
    assert losses[0] == losses[1]
