"""A run in five lines.

    import skyscale

    run = skyscale.train("skyscale/starter", problems="my.jsonl", max_steps=20)
    run.watch()
    run.plot("reward.png")

`frame()` needs pandas and `plot()` matplotlib besides: `pip install 'skyscale[notebook]'`.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from skyscale.errors import Invalid, Unavailable
from skyscale.sdk.call import get, reading
from skyscale.sdk.client import Client
from skyscale.sdk.following import ENDED
from skyscale.wire.problem_sets import ProblemSetUpload
from skyscale.wire.runs import MetricsColumns, RunCreate, RunView

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PAGE = 10_000
PLOTTED = (("episode_reward", "reward"), ("loss", "loss"))


class Run:
    """A run, followed from here; it goes on when this process ends."""

    def __init__(self, run_id: str, client: Client) -> None:
        self.id, self.client = run_id, client

    @classmethod
    def connect(cls, run_id: str, *, url: str | None = None) -> "Run":
        """One that exists. Nothing is sent yet."""
        return cls(run_id, Client.from_environment(url))

    def view(self) -> RunView:
        """Everything there is to know of it now."""
        return self.client.get_run(self.id)

    def watch(self, tell: Callable[[str], object] | None = None) -> RunView:
        """Print what happens until it has ended; its last view. Leaving with Ctrl-C does not stop it."""
        say = tell or _print
        for event in self.client.follow_events(self.id):
            if event.level != "debug":
                say(f"{event.timestamp:%H:%M:%S}  {event.component:<12} {event.message}")
        view = self.view()
        say(f"{self.id} is {view.status.value}{f': {view.reason}' if view.reason else ''}")
        return view

    def stop(self) -> None:
        """Ask for its end."""
        self.client.stop_run(self.id)

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left running."""
        return self.view().status in ENDED

    def metrics(self) -> MetricsColumns:
        """Every report of the trainer, as columns."""
        found = self._page(0)
        while (more := self._page(found.after)).step:
            num_before, num_new = len(found.step), len(more.step)
            names = found.series.keys() | more.series.keys()
            series = {
                name: found.series.get(name, [None] * num_before) + more.series.get(name, [None] * num_new)
                for name in sorted(names)
            }
            found = found.model_copy(
                update={
                    "after": more.after, "step": found.step + more.step,
                    "timestamp": found.timestamp + more.timestamp, "series": series,
                }
            )  # fmt: skip
        return found

    def _page(self, after: int) -> MetricsColumns:
        path = f"/api/rl/runs/{self.id}/metrics"
        return self.client.transport.send(get(path, reading(MetricsColumns), after=after, limit=PAGE))

    def frame(self) -> "DataFrame":
        """The trainer's reports as a pandas frame: one row each by `step`, `time` in UTC, one column per metric."""
        pandas = _needed("pandas")
        columns = self.metrics()
        times = pandas.to_datetime(columns.timestamp, unit="ms", utc=True)
        frame = pandas.DataFrame({"step": columns.step, "time": times, **columns.series})
        return frame.set_index("step")

    def evaluations(self) -> "DataFrame":
        """Held-out evaluations as a pandas frame: one row each by `version`, `reward` and `pass@k`."""
        pandas = _needed("pandas")
        rows = [
            {"version": each.version, "reward": each.reward, "finished_at": each.finished_at}
            | {f"pass@{point.k}": point.value for point in each.pass_at}
            for each in self.view().evaluations
        ]
        return pandas.DataFrame(rows, columns=None if rows else ["version", "reward", "finished_at"]).set_index(
            "version"
        )

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Reward, held-out reward and loss by version; written to `path` too (its ending says how)."""
        figure_of = _needed("matplotlib.figure").Figure
        frame, held_out = self.frame(), self.evaluations()
        figure = figure_of(figsize=(8, 5), layout="constrained")
        axes: Any = figure.subplots(len(PLOTTED), 1, sharex=True)
        for axis, (column, label) in zip(axes, PLOTTED, strict=True):
            if column in frame:
                axis.plot(frame.index, frame[column], label="training")
            axis.set_ylabel(label)
        axes[0].plot(held_out.index, held_out["reward"], "o--", label="held out")
        axes[0].legend()
        axes[0].set_title(self.id)
        axes[-1].set_xlabel("policy version")
        if path is not None:
            figure.savefig(path)
        return figure


def train(
    base_model: str = "skyscale/starter",
    *,
    problems: str | Path | None = None,
    client: Client | None = None,
    url: str | None = None,
    **fields: Any,
) -> Run:
    """Start a run and return at once.

    `problems` is a JSONL file, which is uploaded first, or the name of a set; `fields` are those of `RunCreate`
    (`max_steps`, `num_workers`, `algorithm`, ...).

    Raises:
        Invalid: a field, the file or the model is refused; the message names it.
    """
    client = client or Client.from_environment(url)
    values: dict[str, Any] = {"base_model": base_model, **fields}
    if problems is not None:
        values["problem_set"] = _problem_set(client, problems)
    try:
        body = RunCreate.model_validate(values)
    except ValidationError as error:
        named = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the run'}: {each['msg']}" for each in error.errors())
        raise Invalid(named) from error
    return Run(client.create_run(body).run_id, client)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _problem_set(client: Client, problems: str | Path) -> str:
    path = Path(problems)
    if not path.is_file():
        if isinstance(problems, Path) or path.suffix in {".jsonl", ".json"}:
            raise Invalid(f"problems: there is no file {str(problems)!r}", code="no_such_file")
        return problems
    name = re.sub(r"[^a-z0-9_.-]+", "-", path.stem.lower()).strip("-._")[:64] or "problems"
    return client.upload_problem_set(path, ProblemSetUpload(name=name)).version.ref


def _needed(name: str) -> ModuleType | Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise Unavailable(
            f"this needs {package}", code="extra_missing", hint="pip install 'skyscale[notebook]'"
        ) from error
