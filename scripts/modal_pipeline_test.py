"""The whole pipeline in four stages on one provider, through a control plane that runs already. Spends money elsewhere.

    python scripts/modal_pipeline_test.py                                   # on Modal, an a10g
    python scripts/modal_pipeline_test.py --provider local --gpu-model cpu --base-model skyscale/starter

    [1/4] run       POST /api/rl/runs is accepted
    [2/4] policy    the policy server answers
    [3/4] workers   the buffer has trajectories
    [4/4] trainer   so many versions are trained, published and served; the run completes

Each stage has a deadline. Whatever happens, the run is stopped at the end and its jobs are seen to end, so that nothing
goes on being billed. The last line is JSON; exit code 0 only when all four stages passed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from skyscale.errors import SkyscaleError
from skyscale.sdk.client import Client
from skyscale.wire.jobs import JobStatus
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, RunView

POLL_S = 1.0
POLICY_S, WORKERS_S, TRAINER_S, END_S = 900.0, 600.0, 1800.0, 120.0
"""Deadlines: an image is pulled and a model is loaded in the second stage; others only compute."""
MIN_TRAJECTORIES = 4
ENDED = {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED}
OVER = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class StageFailure(Exception):
    """A stage did not reach its end; the text says why."""


@dataclass
class Pipeline:
    """One pass; `seconds` fills up stage by stage."""

    client: Client
    request: RunCreate
    run_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def play(self) -> RunView:
        """All four stages; the run as it is at the end. Raises StageFailure."""
        self._stage("1/4", "run", self._create)
        self._stage("2/4", "policy", lambda: self._until(POLICY_S, "policy server", _is_served))
        self._stage("3/4", "workers", lambda: self._until(WORKERS_S, "trajectories", _has_trajectories))
        self._stage("4/4", "trainer", lambda: self._until(TRAINER_S, "completion", _is_complete))
        return self.client.get_run(self.run_id)

    def clean_up(self) -> list[str]:
        """Stop the run; the jobs that are not seen to end in time."""
        if not self.run_id:
            return []
        self.client.stop_run(self.run_id)
        deadline = time.monotonic() + END_S
        while (left := self._live()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left

    def _live(self) -> list[str]:
        return [job.job_id for job in self.client.jobs(self.run_id).jobs if job.status not in OVER]

    def _stage(self, number: str, name: str, play: Callable[[], str]) -> None:
        print(f"[{number}] {name}", flush=True)
        began = time.monotonic()
        said = play()
        self.seconds[name] = round(time.monotonic() - began, 2)
        print(f"      {said} ({self.seconds[name]:.1f} s)", flush=True)

    def _create(self) -> str:
        created = self.client.create_run(self.request)
        self.run_id = created.run_id
        return f"{created.run_id} is {created.status} on {created.spec.provider}"

    def _until(self, timeout_s: float, what: str, look: Callable[[RunView], str | None]) -> str:
        deadline = time.monotonic() + timeout_s
        while True:
            view = self.client.get_run(self.run_id)
            if (said := look(view)) is not None:
                return said
            if view.status in ENDED:
                raise StageFailure(f"the run is {view.status}: {view.reason}")
            if time.monotonic() > deadline:
                doing = "; ".join(f"{each.id}: {each.status}, {each.detail}" for each in view.processes)
                raise StageFailure(f"no {what} within {timeout_s:.0f} s ({doing})")
            time.sleep(POLL_S)


def _is_served(view: RunView) -> str | None:
    return "the policy server is healthy" if view.policy_status == "ready" or view.policy_version else None


def _has_trajectories(view: RunView) -> str | None:
    return f"{view.trajectories} trajectories" if view.trajectories >= MIN_TRAJECTORIES else None


def _is_complete(view: RunView) -> str | None:
    if view.status is not RunStatus.COMPLETED:
        return None
    return f"version {view.policy_version}, reward {view.metrics[-1].episode_reward if view.metrics else None}"


def main(arguments: list[str] | None = None) -> int:
    """0 when all stages passed and nothing is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="the control plane; SKYSCALE_URL by default")
    parser.add_argument("--provider", default="modal", help="where the jobs run: any that the control plane knows")
    parser.add_argument("--gpu-model", default="a10g")
    parser.add_argument("--base-model", default="Qwen/Qwen3-0.6B")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args(arguments)
    request = RunCreate(
        base_model=options.base_model, provider=options.provider, gpu_model=options.gpu_model,
        num_workers=options.workers, max_steps=options.steps,
        algorithm=Algorithm(groups_per_step=4), evaluation=Evaluation(num_problems=0),
    )  # fmt: skip
    with Client.from_environment(options.url) as client:
        pipeline = Pipeline(client, request)
        failure, view, left = "", None, list[str]()
        try:
            client.health()
            view = pipeline.play()
        except (StageFailure, SkyscaleError) as error:
            failure = str(error)
            print(f"FAILED: {failure}", flush=True)
        finally:
            left = pipeline.clean_up()
        summary = {
            "passed": view is not None and not left, "run_id": pipeline.run_id, "provider": options.provider,
            "seconds": pipeline.seconds, "policy_version": view.policy_version if view else 0,
            "trajectories": view.trajectories if view else 0, "failure": failure, "jobs_left": left,
        }  # fmt: skip
        print(json.dumps(summary))
        return 0 if summary["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
