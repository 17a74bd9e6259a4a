"""Episodes per second and latency of each sandbox backend, beside bare `python -I -S -c` running the same program.

    python perf/episodes.py [--backends process gvisor] [--rounds 20] [--burst-s 0.6]

Its last line is JSON: per backend and style (`calls`, `stdin`, `proxy`) medians and their ratios to bare in the same
run; `qemu` has `restore` besides (from a snapshot to a verdict, over a cold boot; hangs in twenty), `layers` is what
the process backend's layers cost (perf/layers.py), and `goals` says which figure is the measure of which goal.
- All variants take turns in a shuffled order in each round, so that foreign load hits them alike.
- `p50`: from submit to verdict when nothing is warm: the sandbox is made, isolated, used. `slot_p50`: from a warm one.
- `throughput`: two at once, back to back, every sandbox destroyed, from the warm pool as in production.
- `cpu_ms`: of everything that belongs to an episode: ours, the zygotes, the episodes.
- `qemu` takes a fifth of the turns, since each costs a second. `load` is the host's at the end.
- Bare `stdin` is five runs, one per test, which ours judges in one sandbox; `calls` and `proxy` compare with one.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from skyscale.envs.judge import Judge
from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.qemu import snapshot
from skyscale.sandboxes.backends.qemu.machines import Machines
from skyscale.sandboxes.backends.qemu.snapshot import Snapshot
from skyscale.sandboxes.guest.machine import GuestMachine
from skyscale.sandboxes.guest.sandbox import GuestSandbox
from skyscale.sandboxes.loading import BACKENDS, load_backend
from skyscale.sandboxes.sandbox import Limits
from skyscale.settings import VmSettings
from skyscale.wire.problems import Difficulty, Problem, Split, StdinTest

WORKERS = 2
SLOWER = {"gvisor": 2, "qemu": 5}
"""How many times fewer turns a backend takes."""
REFILL_S = {"process": 0.05, "gvisor": 1.5, "qemu": 1.0}
"""Until the pool is full again, so that a slot's time is not that of making the next ones."""
RESTORES = 20
HANG_S = 20.0
BOOT_TIMEOUT_S = 120.0
SOLUTION = """def f(items):
    best, total = 0, 0
    for item in items:
        total = max(0, total + item)
        if total > best:
            best = total
    return best
"""
CASES = [([1, 2, 3], 6), ([-1, 4, -2, 5], 7), ([], 0), ([5, -9, 6], 6), ([2, -1, 2, -1, 3], 5)]
PROGRAM = SOLUTION + "print(f([int(word) for word in input().split()]))\n"
ASSERTS = [f"assert f({items}) == {expected}" for items, expected in CASES]
TEST_CODE = "def check(candidate):\n" + "".join(
    f"    given = {items}\n    assert candidate(given) == {expected}\n" for items, expected in CASES
)
_COMMON: dict[str, Any] = {"family": "perf", "prompt": "p", "difficulty": Difficulty.EASY, "split": Split.TRAIN}
PROBLEMS = {
    "calls": (SOLUTION, Problem(id="calls", style="calls", entry_point="f", test_cases=ASSERTS, **_COMMON)),
    "stdin": (
        PROGRAM,
        Problem(
            id="stdin", style="stdin", **_COMMON,
            stdin_tests=[
                StdinTest(stdin=" ".join(map(str, items)) + "\n", stdout=f"{expected}\n") for items, expected in CASES
            ],
        ),
    ),
    "proxy": (SOLUTION, Problem(id="proxy", style="asserts", entry_point="f", test_code=TEST_CODE, **_COMMON)),
}  # fmt: skip
PYTHON = [str(Path(sys.executable).resolve()), "-I", "-S", "-c"]
Times = dict[str, list[float]]


def bare(style: str) -> None:
    """The same program and its five tests in plain interpreters."""
    if style != "stdin":
        _run([*PYTHON, SOLUTION + "\n".join(ASSERTS) + "\nprint('OK')"], "", "OK\n")
        return
    for test in PROBLEMS["stdin"][1].stdin_tests:
        _run([*PYTHON, PROGRAM], test.stdin, test.stdout)


def _run(command: list[str], stdin: str, expected: str) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=True, env={})
    assert done.stdout == expected


class Bench:
    """One backend, with a warm pool and without, and the same programs in bare interpreters."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: dict[str, Times] = {style: {} for style in PROBLEMS}

    async def run(self, rounds: int, burst_s: float) -> dict[str, dict[str, float]]:
        """Take turns for so many rounds; medians and ratios by style."""
        warm, cold = load_backend(self.name, slots=WORKERS), load_backend(self.name, slots=WORKERS)
        if hasattr(cold, "keep_warm"):
            cold.keep_warm(0)  # pyright: ignore[reportAttributeAccessIssue]
        async with warm, cold:
            self.judges = {"warm": Judge(warm, concurrency=WORKERS), "cold": Judge(cold, concurrency=1)}
            self.backends = {"warm": warm, "cold": cold}
            turns = [(style, kind) for style in PROBLEMS for kind in ("bare", "cold", "slot")]
            bursts = [(style, kind) for style in PROBLEMS for kind in ("bare_burst", "burst")]
            for number in range(rounds + 1):  # the first warms up
                await self._round(turns, burst_s)
                if number % 4 == 0:
                    await self._round(bursts, burst_s)
                if number == 0:
                    self.times = {style: {} for style in PROBLEMS}
        return {style: self._summary(times) for style, times in self.times.items()}

    async def _round(self, turns: list[tuple[str, str]], burst_s: float) -> None:
        for style, kind in random.sample(turns, len(turns)):
            if kind.endswith("burst"):
                await self._burst(style, kind, burst_s)
            else:
                await self._once(style, kind)

    async def _once(self, style: str, kind: str) -> None:
        if kind == "slot":
            await asyncio.sleep(REFILL_S.get(self.name, 1.0))
        started = time.perf_counter()
        if kind == "bare":
            bare(style)
        else:
            await self._judged(style, "warm" if kind == "slot" else "cold")
        self.times[style].setdefault(kind, []).append((time.perf_counter() - started) * 1000)

    async def _judged(self, style: str, which: str) -> None:
        code, problem = PROBLEMS[style]
        verdict = await self.judges[which].judge(problem, code)
        assert verdict.reward == 1.0, verdict

    async def _burst(self, style: str, kind: str, burst_s: float) -> None:
        """Two at once for a while: episodes per second and CPU milliseconds per episode."""
        end = time.perf_counter() + burst_s
        counts: list[int] = []
        loop = asyncio.get_running_loop()

        def plain() -> None:
            count = 0
            while count == 0 or time.perf_counter() < end:
                bare(style)
                count += 1
            counts.append(count)

        async def ours() -> None:
            count = 0
            while count == 0 or time.perf_counter() < end:
                await self._judged(style, "warm")
                count += 1
            counts.append(count)

        started, cpu_before = time.perf_counter(), _cpu_s()
        if kind == "bare_burst":
            with ThreadPoolExecutor(WORKERS) as pool:
                await asyncio.gather(*(loop.run_in_executor(pool, plain) for _ in range(WORKERS)))
        else:
            await asyncio.gather(*(ours() for _ in range(WORKERS)))
        seconds = time.perf_counter() - started
        await asyncio.sleep(0.05)  # the dead are reaped, the pool is full again
        times = self.times[style]
        times.setdefault(kind, []).append(sum(counts) / seconds)
        times.setdefault(kind + "_cpu", []).append((_cpu_s() - cpu_before) * 1000 / sum(counts))

    def _summary(self, times: Times) -> dict[str, float]:
        middle = {kind: median(values) for kind, values in times.items()}
        figures = {
            "throughput_ratio": middle["burst"] / middle["bare_burst"],
            "p50_ratio": middle["cold"] / middle["bare"],
            "slot_p50_ratio": middle["slot"] / middle["bare"],
            "cpu_ratio": middle["burst_cpu"] / middle["bare_burst_cpu"],
            "throughput": middle["burst"], "bare_throughput": middle["bare_burst"],
            "p50_ms": middle["cold"], "p95_ms": quantiles(times["cold"], n=20)[-1],
            "slot_p50_ms": middle["slot"], "slot_p95_ms": quantiles(times["slot"], n=20)[-1],
            "bare_p50_ms": middle["bare"], "bare_p95_ms": quantiles(times["bare"], n=20)[-1],
            "cpu_ms": middle["burst_cpu"], "bare_cpu_ms": middle["bare_burst_cpu"],
        }  # fmt: skip
        return {name: round(value, 3) for name, value in figures.items()}


def _cpu_s() -> float:
    """CPU seconds of this process, its children, and the children that those have buried."""
    mine = os.times()
    total = mine.user + mine.system + mine.children_user + mine.children_system
    for child in psutil.Process().children():
        times = child.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def measured(backends: list[str], rounds: int, burst_s: float) -> dict[str, Any]:
    """The JSON's content; a backend that cannot run here is a text with the reason."""
    found: dict[str, Any] = {}
    for name in backends:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = await Bench(name).run(max(4, rounds // SLOWER.get(name, 1)), burst_s)
            if name == "qemu":
                found[name]["restore"] = await restored(VmSettings())
        except SandboxFailure as failure:
            found[name] = f"not measured: {failure.detail}"
    if "process" in backends:
        rows = await asyncio.to_thread(_layers)
        found["layers"] = {"cpu_ratio": rows[-1]["cpu_ratio"], "p50_ratio": rows[-1]["p50_ratio"], "rows": rows}
    found["goals"] = dict(_goals(found))
    found["load"] = os.getloadavg()[0]
    return found


async def restored(settings: VmSettings) -> dict[str, float]:
    """A machine from its snapshot to a verdict, twenty times, beside one that boots."""
    machines = Machines(settings)
    await machines.prepare()
    booted = await machines.snapshot("episode")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        fresh = await snapshot.bake(Path(folder), booted.image, booted.hardware, BOOT_TIMEOUT_S)
        boot_ms = (time.perf_counter() - started) * 1000
    times: list[float] = []
    num_hangs = 0
    for _ in range(RESTORES):
        started = time.perf_counter()
        try:
            machine = await fresh_machine(booted)
        except SandboxFailure:
            num_hangs += 1
            continue
        sandbox = GuestSandbox("sb-restored", machine.attach, lambda _: None)
        sandbox.introduced(fresh.layers)
        execution = await sandbox.run_calls(SOLUTION, "f", ['{"t":[[1,2,3]]}'], Limits(wall_s=HANG_S))
        times.append((time.perf_counter() - started) * 1000)
        num_hangs += execution.calls[0].value != "6"
        await sandbox.close()
    middle = median(times)
    return {
        "cold_boot_ms": round(boot_ms + middle, 1), "restore_to_verdict_p50_ms": round(middle, 1),
        "ratio": round(middle / (boot_ms + middle), 4), "restores": RESTORES, "hangs": num_hangs,
    }  # fmt: skip


async def fresh_machine(booted: Snapshot) -> GuestMachine:
    """One more machine; longer than `HANG_S` is a hang."""
    return await booted.restore("sb-restored", HANG_S)


def _layers() -> list[dict[str, float]]:
    script = Path(__file__).with_name("layers.py")
    done = subprocess.run([sys.executable, str(script), "--rounds", "80"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


GOALS: list[tuple[str, str, float]] = [
    ("process/calls/throughput_ratio", ">=", 1.5),
    ("process/calls/p50_ratio", "<=", 0.7),
    ("process/calls/slot_p50_ratio", "<=", 0.25),
    ("process/stdin/p50_ratio", "<=", 0.6),
    ("process/proxy/slot_p50_ratio", "<=", 1.0),
    ("layers/cpu_ratio", "<=", 1.25),
    ("gvisor/calls/slot_p50_ratio", "<=", 0.5),
    ("qemu/restore/ratio", "<=", 0.1),
    ("qemu/restore/hangs", "<=", 0),
]
"""Where each goal's figure is in the JSON, and what it must be."""


def _goals(found: dict[str, Any]) -> list[tuple[str, dict[str, object]]]:
    rows: list[tuple[str, dict[str, object]]] = []
    for path, sense, wanted in GOALS:
        value: Any = found
        for key in path.split("/"):
            value = value.get(key) if isinstance(value, dict) else None
        met = value is not None and (value >= wanted if sense == ">=" else value <= wanted)
        rows.append((path, {"value": value, "goal": f"{sense} {wanted:g}", "met": met if value is not None else None}))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", default=sorted(BACKENDS), help="which backends to measure")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each variant")
    parser.add_argument("--burst-s", type=float, default=0.6, help="seconds of each throughput measurement")
    asked = parser.parse_args()
    print(json.dumps(asyncio.run(measured(asked.backends, asked.rounds, asked.burst_s))))


if __name__ == "__main__":
    main()
