"""The notices of a new run: what its sandboxes lack, and which problems are left out because they could be cheated."""

from skyscale.envs.judge import Judge
from skyscale.envs.registry import Problems, heldout_refs
from skyscale.hosts.service import HostService
from skyscale.problems.library import Library
from skyscale.runs.notices import Notice
from skyscale.sandboxes.layers import missing, missing_needed
from skyscale.wire.problems import Trust
from skyscale.wire.runs import RunSpec


class Notices:
    """Looks at the judge, the hosts and the problem set."""

    def __init__(self, judge: Judge, hosts: HostService, library: Library) -> None:
        self._judge = judge
        self._library = library
        self._hosts = hosts

    def of(self, spec: RunSpec) -> list[Notice]:
        """What this run's events should say from the start."""
        return [*self._layers(), *_trust(spec, self._library.open(spec.problem_set))]

    def _layers(self) -> list[Notice]:
        """Of each place that may judge the run; our own judge counts while there is no host."""
        places = {host.report.name: host.report.layers for host in self._hosts.usable()}
        places = places or {"control plane": self._judge.report()}
        lacking = {name: missing(layers) for name, layers in places.items() if missing(layers)}
        if not lacking:
            return []
        needed = {name: missing_needed(layers) for name, layers in places.items() if missing_needed(layers)}
        text = "; ".join(f"{name}: {', '.join(layers)}" for name, layers in lacking.items())
        data: dict[str, object] = {
            "missing": lacking, "needed": needed,
            "reasons": {name: {layer: places[name][layer] for layer in layers} for name, layers in lacking.items()},
        }  # fmt: skip
        if needed:
            message = f"code runs without isolation that unknown code needs ({text}); `skyscale doctor` says what to do"
        else:
            message = f"code runs without these further lines of defence ({text})"
        return [Notice("sandbox.layers_missing", message, "warning" if needed else "info", "sandbox", data)]


def _trust(spec: RunSpec, problems: Problems) -> list[Notice]:
    """Of problems whose tests share a process with the program."""
    num_train = len(problems.train_ids(spec.difficulty, allow_weak=True))
    num_weak = num_train - len(problems.train_ids(spec.difficulty))
    num_heldout = sum(ref.trust is Trust.WEAK for ref in heldout_refs(problems))
    if not num_weak and not num_heldout:
        return []
    data: dict[str, object] = {
        "num_weak_train": num_weak, "num_weak_heldout": num_heldout, "num_train": num_train,
        "allow_weak_trust": spec.allow_weak_trust,
    }  # fmt: skip
    fate = "are trained on, as the run allows" if spec.allow_weak_trust else "are left out (allow_weak_trust is false)"
    message = (
        f"{num_weak} of {num_train} train problems are `trust: weak`, where a program could cheat its tests: "
        f"they {fate}; of the held-out ones it is {num_heldout}, which are only evaluated"
    )
    return [Notice("problems.weak_trust", message, "warning" if spec.allow_weak_trust else "info", "env", data)]
