"""Problem sets by the name that a run's specification carries: embedded, a file on this host, or an uploaded version.

- `open` asks nothing of the database and is cheap for a set that is open already, so hot paths may call it each time.
- Uploaded versions are immutable: an open one stays right for ever. The least recently used of `MAX_OPEN` is let go.
"""

import threading
from collections import OrderedDict
from pathlib import Path

from skyscale.artifacts.store import ArtifactStore
from skyscale.envs.registry import Problems, load_problem_set
from skyscale.envs.stored import INDEX_FILE, PROBLEMS_FILE, StoredProblems
from skyscale.errors import NotFound
from skyscale.problems import rules

MAX_OPEN = 8
FOLDER = "problem-sets"


class Library:
    """Opens problem sets; threads may share it."""

    def __init__(self, store: ArtifactStore, cache: Path) -> None:
        """`cache` takes copies where the store is not a folder of this host."""
        self.store = store
        self._cache = cache
        self._open: OrderedDict[str, StoredProblems] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, ref: str) -> Problems:
        """The set of a resolved reference. Raises NotFound, and Invalid for a file with mistakes."""
        if not rules.is_stored(ref):
            return load_problem_set(ref)
        with self._lock:
            known = self._open.get(ref)
            if known is not None:
                self._open.move_to_end(ref)
                return known
            self._open[ref] = found = self._load(ref)
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return found

    def forget(self, ref: str) -> None:
        """It was deleted."""
        with self._lock:
            self._open.pop(ref, None)

    def _load(self, ref: str) -> StoredProblems:
        try:
            problems = self.store.fetch(key_of(ref, PROBLEMS_FILE), self._cache / ref / PROBLEMS_FILE)
            index = self.store.fetch(key_of(ref, INDEX_FILE), self._cache / ref / INDEX_FILE)
            return StoredProblems(ref, problems, index)
        except (NotFound, FileNotFoundError) as error:
            raise NotFound(f"problem set {ref!r} was deleted", code="problem_set_not_found") from error


def key_of(ref: str, file_name: str = "") -> str:
    """The artifact key of a version's folder, or of a file in it."""
    name, version = rules.split_ref(ref)
    return "/".join(part for part in (FOLDER, name, version, file_name) if part)
