"""Our side of `loop_vs_trl.py`: a real run by the public API, every process its own, on the embedded defaults.

A batch is the next `--groups` groups in order, as TRL's is: without refill of groups whose rewards are all equal.
"""

import argparse
import json
import time
from pathlib import Path

from control_plane_process import control_plane

from skyscale.wire.runs import Algorithm, Evaluation, MetricsPoint, RunCreate, RunStatus, Sampling


def main() -> None:
    """Run until the budget is spent; every trained batch with all rollouts since the one before is a line of --out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    for name, kind in (("seconds", float), ("group-size", int), ("groups", int), ("learning-rate", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("seed", "max-new-tokens", "minibatches"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    request = RunCreate(
        seed=arguments.seed,
        max_hours=arguments.seconds / 3600,
        evaluation=Evaluation(num_problems=0),
        sampling=Sampling(max_new_tokens=arguments.max_new_tokens),
        algorithm=Algorithm(
            group_size=arguments.group_size,
            groups_per_step=arguments.groups,
            minibatches=arguments.minibatches,
            learning_rate=arguments.learning_rate,
            dynamic_sampling=False,
        ),
    )
    points: dict[int, MetricsPoint] = {}
    with control_plane() as client:
        run_id = client.create_run(request).run_id
        while True:
            view = client.get_run(run_id)
            points |= {point.step: point for point in view.metrics}
            if view.status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED):
                break
            time.sleep(2)
    assert view.status == RunStatus.COMPLETED and view.rollouts_started_at, view.reason
    start_ms = view.rollouts_started_at.timestamp() * 1000
    with arguments.out.open("w") as out:
        for _, point in sorted(points.items()):
            samples = int(point.metrics["rollout_trajectories"])
            line = {"at_s": (point.timestamp - start_ms) / 1000, "samples": samples, "reward": point.episode_reward}
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
