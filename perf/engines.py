"""The engines in whole runs: how near their log-probabilities are to the trainer's, tokens/s, and what a swap stops.

Two runs on the starter model per engine and method. Synchronous: every token is sampled by the version that is trained
on, with nothing of an older one in its keys and values, so `logprob_diff` is the mean |trainer - engine| in nats by
numerics alone, whatever swap came before. Asynchronous: weights are replaced in flight; `fresh` is the same mean over
tokens that the trained version sampled, some of them behind keys and values of the version before.

    python perf/engines.py --vllm-python .venv-vllm/bin/python

The last line is JSON: `{engine: {method: {...}}}`.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterable

from control_plane_process import control_plane

from skyscale.sdk.client import Client
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus, RunView
from skyscale.wire.training import Training

ENDED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED)


def main() -> None:
    """Measure the engines that are there, and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vllm-python", help="Python of the environment that has vLLM; without it torch alone")
    parser.add_argument("--engines", nargs="+", choices=["torch", "vllm"], default=["torch", "vllm"])
    parser.add_argument("--methods", nargs="+", choices=["full", "lora"], default=["full", "lora"])
    parser.add_argument("--versions", type=int, default=16, help="of each run")
    arguments = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for engine in arguments.engines:
        if engine == "vllm" and not arguments.vllm_python:
            continue
        os.environ["SKYSCALE_POLICY_ENGINE"] = engine
        if engine == "vllm":
            os.environ["SKYSCALE_POLICY_PYTHON"] = os.path.abspath(arguments.vllm_python)  # noqa: PTH100 - a link stays
        with control_plane() as client:
            found[engine] = {method: _measured(client, method, arguments.versions) for method in arguments.methods}
        for method, numbers in found[engine].items():
            print(engine, method, numbers)
    print(json.dumps(found))


def _measured(client: Client, method: str, versions: int) -> dict[str, float]:
    request = RunCreate(
        max_steps=versions, seed=1, training=Training.model_validate({"method": method}),
        evaluation=Evaluation(num_problems=0),
    )  # fmt: skip
    few = request.model_copy(update={"mode": "synchronous", "algorithm": Algorithm(groups_per_step=8)})
    synchronous, _ = _followed(client, client.create_run(few).run_id)
    view, tokens_per_s = _followed(client, client.create_run(request).run_id)
    exact = _series(synchronous, "logprob_diff")
    stalls = [
        float(str(event.data["stall_ms"]))
        for event in client.events(view.run_id, limit=500).events
        if event.kind == "policy.swapped"
    ]
    return {
        "logprob_diff": statistics.mean(exact),
        "logprob_diff_max": max(exact),
        "mismatch_kl": statistics.mean(_series(synchronous, "mismatch_kl")),
        "fresh": statistics.mean(_series(view, "logprob_diff_fresh")),
        "tokens_per_s": statistics.median(tokens_per_s),
        "stall_ms": statistics.median(stalls),
        "swaps": len(stalls),
    }


def _series(view: RunView, name: str) -> list[float]:
    return [point.metrics[name] for point in view.metrics if name in point.metrics]


def _followed(client: Client, run_id: str) -> tuple[RunView, list[float]]:
    """The run's last view, and the tokens/s that its policy server reported once there were versions."""
    rates: list[float] = []
    deadline = time.monotonic() + 600
    while (view := client.get_run(run_id)).status not in ENDED:
        assert time.monotonic() < deadline, f"{run_id} did not end"
        if view.policy_version > 0 and view.status == RunStatus.RUNNING:
            rates += _rates(view)
        time.sleep(0.5)
    assert view.status == RunStatus.COMPLETED, view.reason
    return view, rates


def _rates(view: RunView) -> Iterable[float]:
    for process in view.processes:
        if process.role == "policy" and process.metrics.get("tokens_per_s"):
            yield process.metrics["tokens_per_s"]


if __name__ == "__main__":
    main()
