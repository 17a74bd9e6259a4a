"""Whole runs that vLLM samples for: versions swapped in flight, log-probabilities like the trainer's, nothing left.

`make test-vllm` runs these: vLLM lives in an environment of its own, whose Python SKYSCALE_POLICY_PYTHON names.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import psutil
import pytest

from skyscale.sdk.client import Client
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, RunView
from skyscale.wire.training import Training
from tests.e2e.conftest import ControlPlane, wait_for

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


@pytest.fixture
def plane(tmp_path: Path) -> Generator[ControlPlane]:
    """A control plane whose policy servers sample with vLLM; after the test nothing that it started is left."""
    if "SKYSCALE_POLICY_PYTHON" not in os.environ:
        pytest.skip("SKYSCALE_POLICY_PYTHON names no Python that has vLLM: make test-vllm installs one and names it")
    before = leftovers()
    made = ControlPlane(tmp_path, environment={"SKYSCALE_POLICY_ENGINE": "vllm"})
    made.start()
    yield made
    made.stop()
    wait_for(lambda: not heirs(made), 30, "vLLM's own processes to end with their policy server")
    assert leftovers() <= before


def heirs(plane: ControlPlane) -> list[psutil.Process]:
    """Every live process with a job's environment: vLLM's call themselves something else than what was started."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SKYSCALE_URL", "").rstrip("/") == plane.dialled:
                found.append(process)
        except psutil.Error:
            continue
    return found


def leftovers() -> set[Path]:
    """Scratch folders of our engines, and pieces of shared memory by which vLLM's processes talk."""
    return set(Path("/tmp").glob("skyscale-vllm-*")) | set(Path("/dev/shm").glob("psm_*"))


def completed(plane: ControlPlane, request: RunCreate) -> RunView:
    view = plane.wait_for_end(plane.client.create_run(request).run_id, 400)
    assert view.status == RunStatus.COMPLETED, plane.story(view.run_id)
    assert view.policy_version == view.serving_version == request.max_steps
    kinds = [event.kind for event in plane.client.events(view.run_id, limit=500).events]
    assert "job.retry" not in kinds, "no process broke on the way"
    return view


def versions_by_completion(client: Client, run_id: str) -> list[list[int]]:
    """The versions that sampled each completion's tokens, in order, of the groups that were trained on."""
    page = client.rollouts(run_id, limit=100, purpose="train")
    details = [client.rollout(run_id, row.group_id) for row in page.rollouts]
    completions = [completion for detail in details for completion in detail.completions or []]
    return [completion.tokens.versions for completion in completions if completion.tokens is not None]


def test_a_run_on_vllm_learns_while_its_weights_are_replaced_in_flight(plane: ControlPlane) -> None:
    evaluation = Evaluation(num_problems=32, samples_per_problem=2)
    view = completed(plane, RunCreate(max_steps=20, evaluation=evaluation, seed=1))
    before, after = view.evaluations
    assert (before.version, after.version) == (0, 20)
    assert after.reward > before.reward + 0.08
    for point in view.metrics:
        assert point.metrics["logprob_diff"] < 0.05, "of old batches, and of tokens behind a swap"
        assert point.metrics["mismatch_kl"] < 0.02
    spans = versions_by_completion(plane.client, view.run_id)
    assert all(versions == sorted(versions) for versions in spans)
    assert any(len(set(versions)) > 1 for versions in spans), "weights were replaced within a completion"
    assert len({version for versions in spans for version in versions}) > 3


@pytest.mark.parametrize("method", ["full", "lora"])
def test_vllm_and_the_trainer_agree_on_every_version(plane: ControlPlane, method: Literal["full", "lora"]) -> None:
    request = RunCreate(
        mode="synchronous", max_steps=4, training=Training(method=method), evaluation=Evaluation(num_problems=0),
        algorithm=Algorithm(groups_per_step=4), seed=1,
    )  # fmt: skip
    view = completed(plane, request)
    assert [point.step for point in view.metrics] == [1, 2, 3, 4]
    for point in view.metrics:
        assert point.metrics["staleness_max"] == 0
        assert 0 < point.metrics["logprob_diff"] < 1e-3, "each version as it was trained, and none of an older one"
    assert view.checkpoint is not None
    has_adapter = (Path(view.checkpoint.removeprefix("file://")) / "adapter_config.json").exists()
    assert has_adapter == (method == "lora")
