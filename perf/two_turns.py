"""Two turns on the starter model: does the second answer get better by training?

A run with `max_turns` 2 by the public API: a program that fails is answered with "Wrong." and the problem (or, with
`--feedback examples`, with what the public example showed), and the model writes it again. The held-out evaluations
before and after tell, per version, how often the first answer is right, and how often the second is after a first that
was wrong (its chance to come by at all).

    python perf/two_turns.py --seconds 150

The last line is JSON: `first_turn` and `second_turn`, each [before, after], with counts.
"""

import argparse
import json
import sys
import time

from control_plane_process import control_plane

from skyscale.sdk.client import Client
from skyscale.wire.environments import CodeEnvironment
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, RunView

ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED)


def main() -> None:
    """Train for the budget and print both versions' success by turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--problems", type=int, default=64, help="held-out problems per evaluation")
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--feedback", choices=["examples", "brief"], default="brief")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    request = RunCreate(
        seed=arguments.seed,
        max_hours=arguments.seconds / 3600,
        max_turns=2,
        environment=CodeEnvironment(feedback=arguments.feedback, repeat_prompt=True, max_observation_chars=400),
        evaluation=Evaluation(num_problems=arguments.problems, samples_per_problem=8),
        algorithm=Algorithm(group_size=arguments.group_size, learning_rate=arguments.learning_rate),
    )
    with control_plane() as client:
        view = _followed(client, client.create_run(request).run_id)
        assert view.status == RunStatus.COMPLETED, view.reason
        versions = [evaluation.version for evaluation in view.evaluations]
        facts = [success_by_turn(client, view.run_id, version) for version in versions]
    for version, fact in zip(versions, facts, strict=True):
        print(f"version {version}: {fact}")
    print(json.dumps({
        "seconds": arguments.seconds,
        "versions": versions,
        "first_turn": [fact["first_turn"] for fact in facts],
        "second_turn": [fact["second_turn"] for fact in facts],
        "second_turns_played": [fact["second_turns"] for fact in facts],
        "either_turn": [fact["either_turn"] for fact in facts],
    }))  # fmt: skip


def success_by_turn(client: Client, run_id: str, version: int) -> dict[str, float]:
    """Share of fully right answers: first ones, second ones of those that had to try again, episodes in all."""
    turns = [sample.turn_rewards for sample in client.evaluation(run_id, version)]
    seconds = [rewards[1] for rewards in turns if len(rewards) > 1]
    return {
        "episodes": len(turns),
        "first_turn": round(_share(rewards[0] for rewards in turns), 3),
        "second_turns": len(seconds),
        "second_turn": round(_share(seconds), 3),
        "either_turn": round(_share(rewards[-1] for rewards in turns), 3),
    }


def _share(rewards: object) -> float:
    values = [reward >= 1.0 for reward in rewards]  # type: ignore[attr-defined]
    return sum(values) / max(1, len(values))


def _followed(client: Client, run_id: str) -> RunView:
    shown = -1
    while (view := client.get_run(run_id)).status not in ENDED:
        if view.policy_version >= shown + 20:
            shown = view.policy_version
            worker = next((p.metrics for p in view.processes if p.role == "worker"), {})
            print({k: round(v, 3) for k, v in worker.items() if "turn" in k}, view.policy_version, file=sys.stderr)
        time.sleep(1)
    return view


if __name__ == "__main__":
    main()
