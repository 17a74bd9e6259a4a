"""Our side of `loop_vs_trl.py`: a real run by the public API, every process its own, on the embedded defaults.

A batch is the next `--groups` groups in order, as TRL's is: without refill of groups whose rewards are all equal. It is
reported at the moment when the last of its groups was judged and stored, as TRL's is when its rewards are known.
"""

import argparse
import json
import time
from pathlib import Path

from control_plane_process import control_plane

from skyscale.sdk.client import Client
from skyscale.wire.episodes import Purpose
from skyscale.wire.rollouts import RolloutRow
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, Sampling

PAGE = 200  # the most that the API gives at once
SEEN_LATE_S = 0.25
"""A run's start is noted by the coordinator's next round; it is counted as if it always was a whole round late."""


def judged_groups(client: Client, run_id: str) -> list[RolloutRow]:
    """Every training group of the run that has a reward, in the order in which they were judged."""
    found: list[RolloutRow] = []
    cursor = None
    while True:
        page = client.rollouts(run_id, cursor=cursor, limit=PAGE, purpose=Purpose.TRAIN)
        found += [row for row in page.rollouts if row.reward_mean is not None]
        if (cursor := page.next_cursor) is None:
            return sorted(found, key=lambda row: row.pushed_at)


def main() -> None:
    """Run until the budget is spent; every batch of groups that were judged is a line of --out."""
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
    with control_plane() as client:
        run_id = client.create_run(request).run_id
        while (view := client.get_run(run_id)).status not in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED):
            time.sleep(2)
        groups = judged_groups(client, run_id)
    assert view.status == RunStatus.COMPLETED and view.rollouts_started_at, view.reason
    with arguments.out.open("w") as out:
        for first in range(0, len(groups) - arguments.groups + 1, arguments.groups):
            batch = groups[first : first + arguments.groups]
            samples = sum(row.num_completions for row in batch)
            reward = sum(row.num_completions * (row.reward_mean or 0.0) for row in batch) / samples
            at_s = (batch[-1].pushed_at - view.rollouts_started_at).total_seconds() + SEEN_LATE_S
            out.write(json.dumps({"at_s": at_s, "samples": samples, "reward": reward}) + "\n")


if __name__ == "__main__":
    main()
