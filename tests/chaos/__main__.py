"""Kills what a run consists of, at random and with signal 9, while starter-model runs go on; then looks at the books.

    python -m tests.chaos [--faults 20] [--seed 0] [--replicas 2] [--max-s 900] [--steps 25] [--pause-s 6]

Prints what it does as it does it, and JSON on the last line: `faults` by target, `runs`, `violations` (sentences that
must be none), `acknowledged`, `seconds`. Ends with 1 when there is a violation.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from skyscale.errors import SkyscaleError
from skyscale.wire.runs import Algorithm, Evaluation, RunCreate, RunStatus
from tests.chaos import books
from tests.chaos.pusher import Pusher
from tests.chaos.stage import World, stage, wait_for

ENDED = {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED}
LAST_RUN_S = 300.0
"""How long the run that is going on when the faults are over may take to end."""


@dataclass
class Tally:
    """What was done, and what was found."""

    faults: Counter[str] = field(default_factory=Counter[str])
    runs: int = 0
    acknowledged: int = 0
    violations: list[str] = field(default_factory=list[str])
    newest: dict[str, int] = field(default_factory=dict[str, int])
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Tell a person."""
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)  # noqa: T201 - a command's output


class Chaos:
    """One whole test."""

    def __init__(self, world: World, tally: Tally, asked: argparse.Namespace) -> None:
        self.world, self.tally = world, tally
        self._pause_s = asked.pause_s
        self.request = RunCreate(
            max_steps=asked.steps,
            num_workers=2,
            algorithm=Algorithm(groups_per_step=4),
            evaluation=Evaluation(num_problems=8, samples_per_problem=2),
        )
        self._deadline = tally.started + asked.max_s
        # Each target in turn, in a random order: 20 faults hit every one of them.
        names = sorted(world.targets)
        rounds = [world.dice.sample(names, len(names)) for _ in range(asked.faults // len(names) + 1)]
        self._due = [name for order in rounds for name in order][: asked.faults]

    def play(self) -> None:
        """Runs, one after the other, until the faults are used up; the last one ends in peace."""
        while self._due and time.monotonic() < self._deadline:
            run_id = self.world.client.create_run(self.request).run_id
            self.tally.runs += 1
            self.tally.say(f"run {run_id}")
            pusher = Pusher(self.world.dialled, run_id)
            try:
                self._disturb(run_id)
                self._await_end(run_id)
            finally:
                pusher.close()
            self.tally.acknowledged += len(pusher.acknowledged)
            found = books.of_run(self.world, run_id, self.request) + books.of_pushes(self.world, pusher)
            self._note(found + pusher.defects)
        if self._due:
            self._note([f"{len(self._due)} faults were left when the time was over"])

    def _disturb(self, run_id: str) -> None:
        while self._due and time.monotonic() < self._deadline and not self._look(run_id):
            self._sleep(run_id, self.world.dice.uniform(0.1, 1.0) * self._pause_s)
            name = self._due[0]
            killed = self.world.targets[name]()
            self.world.revive()
            if killed is None:  # its process is not up just now: another first
                self._due.append(self._due.pop(0))
                continue
            self._due.pop(0)
            self.tally.faults[name] += 1
            self.tally.say(f"killed {killed}")

    def _sleep(self, run_id: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._look(run_id):
            time.sleep(0.2)

    def _await_end(self, run_id: str) -> None:
        try:
            wait_for(lambda: self._look(run_id), LAST_RUN_S, f"{run_id} to end")
        except TimeoutError as error:
            told = self.world.query(f"select message from events where run_id = '{run_id}' order by seq desc limit 15")
            self._note([f"{error}; its newest events: {told}"])
            self.world.client.stop_run(run_id)

    def _look(self, run_id: str) -> bool:
        """Whether the run has ended; notes a version that falls."""
        self.world.revive()
        try:
            view = self.world.client.get_run(run_id)
        except SkyscaleError as error:
            if error.status < 503:
                self._note([f"asking for {run_id}: {error.status} {error.code} {error.detail}"])
            return False
        if view.policy_version < self.tally.newest.get(run_id, 0):
            self._note([f"{run_id} fell from version {self.tally.newest[run_id]} to {view.policy_version}"])
        self.tally.newest[run_id] = view.policy_version
        return view.status in ENDED

    def _note(self, violations: list[str]) -> None:
        for sentence in violations:
            self.tally.say(f"VIOLATION {sentence}")
        self.tally.violations += violations


def run(asked: argparse.Namespace) -> Tally:
    """Play it all, stop everything, and look at what is left."""
    before, tally = books.things(), Tally()
    with stage(asked.replicas, random.Random(asked.seed)) as world:
        chaos = Chaos(world, tally, asked)
        try:
            chaos.play()
            wait_for(lambda: not books.of_database(world), 30, "everything held to be let go")
        except TimeoutError:
            tally.violations += books.of_database(world)
        finally:
            for server in reversed(world.servers()):
                server.stop()
            left = books.of_machine(world, before)
            tally.violations += left
            if tally.violations:
                _tell_logs(world, tally)
    return tally


def _tell_logs(world: World, tally: Tally) -> None:
    for server in world.servers():
        tally.say(f"the log of {server.name} ends:\n{server.log.read_text()[-4000:]}")


def main() -> None:
    """Read the options, play, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--max-s", type=float, default=900.0)
    parser.add_argument("--pause-s", type=float, default=6.0, help="the longest pause between two faults")
    asked = parser.parse_args()
    tally = run(asked)
    result = {
        "faults": dict(tally.faults), "num_faults": tally.faults.total(), "runs": tally.runs, "seed": asked.seed,
        "acknowledged": tally.acknowledged, "violations": tally.violations,
        "seconds": round(time.monotonic() - tally.started, 1),
    }  # fmt: skip
    print(json.dumps(result), flush=True)  # noqa: T201 - a command's output
    sys.exit(1 if tally.violations else 0)


if __name__ == "__main__":
    main()
