"""What each layer of the process backend costs: episodes of five calls, layer upon layer, over a plain fork.

    python perf/layers.py [--rounds 150]

Prints JSON rows: CPU milliseconds (median of the rounds, parent and child) and wall p50 per episode, and both as ratios
to the plain fork. Every row adds one layer to the row before; all rows take turns in a shuffled order. The
interpreter is started as the zygote is, and the layers are the product's own code.
"""

import importlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CODE = (
    "def f(items):\n    best, total = 0, 0\n    for item in items:\n        total = max(0, total + item)\n"
    "        best = max(best, total)\n    return best\n"
)
ARGUMENTS = ['{"t":[[1,2,3]]}', '{"t":[[-1,4,-2,5]]}', '{"t":[[]]}', '{"t":[[5,-9,6]]}', '{"t":[[2,-1,2,-1,3]]}']
ROWS: list[tuple[str, set[str]]] = [
    ("plain fork, five calls", set()),
    ("+ user namespace, own uid", {"user namespace"}),
    ("+ pid namespace", {"pid namespace"}),
    ("+ mount namespace, private tmp", {"mount namespace", "private tmp"}),
    ("+ no capabilities, no new privileges, undumpable", {"no capabilities", "no new privileges", "not dumpable"}),
    ("+ resource limits", {"resource limits"}),
    ("+ landlock", {"landlock"}),
    ("+ seccomp, both filters", {"seccomp"}),
]


def main() -> None:
    """Start ourselves as a zygote is started, or be that process."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 150
    if "--inside" in sys.argv:
        inside(rounds)
        return
    command = [str(Path(sys.executable).resolve()), "-s", "-S", "-P", "-B", "-X", "utf8", str(Path(__file__).resolve())]
    subprocess.run([*command, "--inside", "--rounds", str(rounds)], env={"PYTHONHASHSEED": "0"}, check=True, cwd="/")


def inside(rounds: int) -> None:
    """Be a zygote, measure, print."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src" / "skyscale"))
    parts = _Parts()
    names = [name for name, _ in ROWS]
    wanted: set[str] = set()
    layers = [wanted := wanted | added for _, added in ROWS]
    cpu: list[list[float]] = [[] for _ in ROWS]
    wall: list[list[float]] = [[] for _ in ROWS]
    for number in range(rounds + 5):
        for row in random.sample(range(len(ROWS)), len(ROWS)):
            cpu_ms, wall_ms = parts.episode(layers[row])
            if number >= 5:
                cpu[row].append(cpu_ms)
                wall[row].append(wall_ms)
    found = [(name, _middle(cpu[row]), _middle(wall[row])) for row, name in enumerate(names)]
    rows = [
        {"layers": name, "cpu_ms": round(c, 3), "cpu_ratio": round(c / found[0][1], 3), "p50_ms": round(w, 3),
         "p50_ratio": round(w / found[0][2], 3)}
        for name, c, w in found
    ]  # fmt: skip
    print(json.dumps(rows))


class _Parts:
    """The zygote's modules and base; an episode with some of the layers."""

    def __init__(self) -> None:
        room = "sandboxes.backends.process.zygote."
        self.isolate, self.kernel, self.runner, steps, main_module = (
            importlib.import_module(room + name) for name in ("isolate", "kernel", "runner", "steps", "main")
        )
        for number in steps.FREE:  # as the zygote keeps them
            os.dup2(0, number)
        for name in main_module.PRELOADED.split():
            __import__(name)
        self.base: Any = self.isolate.Base(0)
        self.base.enter()
        self.base.prepare(1 << 24)
        self.runner.fix_random_state()
        self.flags = {
            "user namespace": self.kernel.CLONE_NEWUSER, "pid namespace": self.kernel.CLONE_NEWPID,
            "mount namespace": self.kernel.CLONE_NEWNS,
        }  # fmt: skip
        self.steps, self.filter_steps, self.always = self.base.steps, self.base.filter_steps, steps.DIES_WITH_PARENT
        main_module.gc.collect()
        main_module.gc.freeze()

    def episode(self, wanted: set[str]) -> tuple[float, float]:
        """CPU and wall milliseconds from the fork to the reaped child."""
        cpu, started = _cpu_s(), time.perf_counter()
        ours, theirs = socket.socketpair()
        gate_out, gate_in = os.pipe()
        self.base.clone_flags = sum(flag for name, flag in self.flags.items() if name in wanted)
        pid, pidfd = self.kernel.clone(self.base.clone_flags)
        if pid == 0:
            self._child(wanted, gate_out, theirs.fileno())
        self.base.map_user(pid)
        os.write(gate_in, b"1")
        job: dict[str, object] = {
            "kind": "calls", "code": CODE, "entry_point": "f", "arguments": ARGUMENTS, "result_bytes": 1 << 20,
            "memory_bytes": 1 << 28, "cpu_s": 5, "file_bytes": 1 << 24, "max_processes": 1,
            "filtered": "seccomp" in wanted,
        }  # fmt: skip
        body = json.dumps(job).encode()
        theirs.close()
        ours.sendall(len(body).to_bytes(4, "big") + body)
        said = b"".join(iter(lambda: ours.recv(65536), b""))
        assert said.count(b"call\nok\n") == len(ARGUMENTS), said
        os.waitpid(pid, 0)
        for descriptor in (gate_out, gate_in, pidfd):
            os.close(descriptor)
        ours.close()
        return (_cpu_s() - cpu) * 1000, (time.perf_counter() - started) * 1000

    def _child(self, wanted: set[str], gate: int, channel: int) -> None:
        """Never returns."""
        try:
            os.read(gate, 1)
            null = os.open("/dev/null", os.O_WRONLY)
            for source, target in ((null, 1), (null, 2), (channel, 3)):
                os.dup2(source, target)
            self.base.promised["user namespace"] = "yes" if "user namespace" in wanted else "no"
            always = wanted | {self.always}
            self.base.steps = [step for step in self.steps if step.layer in always]
            self.base.filter_steps = self.filter_steps if "seccomp" in wanted else []
            self.isolate.enter_episode(self.base)
            self.runner.run(json.loads(self.runner.receive(bytes)))
        except BaseException as error:  # noqa: BLE001  nothing may return into the loop
            os.write(3, repr(error).encode())
        finally:
            os._exit(0)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
