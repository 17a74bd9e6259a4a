"""A checked problem set on disk: an index in memory, problems read one by one when they are asked for.

- `problems.jsonl` holds one problem a line, as `intake.py` wrote it; `index.json` holds what choosing needs, by column.
- Memory is bounded: the index of at most `intake.MAX_PROBLEMS` problems, and recently used problems up to
  `KEPT_BYTES` of their lines.
- Nothing is held open; threads may share it.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import orjson

from skyscale.envs.registry import ProblemIds, ProblemRef, train_ids_of, train_key
from skyscale.errors import NotFound
from skyscale.wire.problems import Difficulty, Problem, Split, Trust

PROBLEMS_FILE, INDEX_FILE = "problems.jsonl", "index.json"
KEPT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Where a problem lies and what choosing needs to know of it."""

    ref: ProblemRef
    offset: int
    size: int


def write_index(content_hash: str, rows: list[IndexRow], path: Path) -> None:
    """Write the index by column."""
    columns: dict[str, object] = {
        "content_hash": content_hash,
        "ids": [row.ref.id for row in rows],
        "families": [row.ref.family for row in rows],
        "difficulties": [row.ref.difficulty.value for row in rows],
        "splits": [row.ref.split.value for row in rows],
        "tags": [row.ref.tags for row in rows],
        "trusts": [row.ref.trust.value for row in rows],
        "offsets": [row.offset for row in rows],
        "sizes": [row.size for row in rows],
    }
    path.write_bytes(orjson.dumps(columns))


class _Refs(Sequence[ProblemRef]):
    """The index, an entry made when it is asked for."""

    def __init__(self, columns: dict[str, Any]) -> None:
        difficulties, splits = {each.value: each for each in Difficulty}, {each.value: each for each in Split}
        self.ids: list[str] = columns["ids"]
        self.difficulties = [difficulties[each] for each in columns["difficulties"]]
        self.splits = [splits[each] for each in columns["splits"]]
        self._families: list[str] = columns["families"]
        self._tags: list[list[str]] = columns["tags"]
        trusts = {each.value: each for each in Trust}
        self.trusts = [trusts[each] for each in columns["trusts"]]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> ProblemRef: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ProblemRef]: ...
    def __getitem__(self, index: int | slice) -> ProblemRef | Sequence[ProblemRef]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return ProblemRef(
            self.ids[index], self._families[index], self.difficulties[index], self.splits[index],
            tuple(self._tags[index]), self.trusts[index],
        )  # fmt: skip


class StoredProblems:
    """See `registry.Problems`."""

    def __init__(self, name: str, problems: Path, index: Path) -> None:
        """Reads the index: do so outside an event loop for large sets."""
        columns: dict[str, Any] = orjson.loads(index.read_bytes())
        self.name = name
        self.content_hash: str = columns["content_hash"]
        self._path = problems
        self._refs = _Refs(columns)
        self._offsets, self._sizes = array("Q", columns["offsets"]), array("L", columns["sizes"])
        self._rows = {problem_id: row for row, problem_id in enumerate(self._refs.ids)}
        kinds = zip(self._refs.ids, self._refs.splits, self._refs.difficulties, self._refs.trusts, strict=True)
        self._ids_to_train = train_ids_of(kinds)
        self._kept: OrderedDict[str, tuple[Problem, int]] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def get(self, problem_id: str) -> Problem:
        """See `Problems.get`."""
        with self._lock:
            kept = self._kept.get(problem_id)
            if kept is not None:
                self._kept.move_to_end(problem_id)
                return kept[0]
        row = self._rows.get(problem_id)
        if row is None:
            hint = "GET /api/rl/problem-sets/{ref}/problems lists the ids."
            raise NotFound(f"Problem set {self.name!r} has no problem {problem_id!r}.", hint=hint)
        return self._keep(problem_id, self._read(row), self._sizes[row])

    def train_ids(self, difficulty: Difficulty | str | None = None, *, allow_weak: bool = False) -> ProblemIds:
        """See `Problems.train_ids`."""
        return self._ids_to_train[train_key(difficulty, allow_weak=allow_weak)]

    def refs(self) -> Sequence[ProblemRef]:
        """See `Problems.refs`."""
        return self._refs

    def _read(self, row: int) -> Problem:
        try:
            with self._path.open("rb") as source:
                source.seek(self._offsets[row])
                return Problem.model_validate_json(source.read(self._sizes[row]))
        except FileNotFoundError as error:
            raise NotFound(f"Problem set {self.name!r} was deleted.", code="problem_set_not_found") from error

    def _keep(self, problem_id: str, problem: Problem, size: int) -> Problem:
        with self._lock:
            known = self._kept.get(problem_id)
            if known is not None:  # read by two threads at once: all see one object
                return known[0]
            self._kept[problem_id] = problem, size
            self._kept_bytes += size
            while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self._kept_bytes -= gone
        return problem
