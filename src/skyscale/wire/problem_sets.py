"""Problem sets that are uploaded, kept and named: what a caller asks for and what a reader sees.

A set has a name; each different content under it is a version, immutable, with the first 16 hexadecimal digits of its
content hash for an id. `name` means the version that was uploaded last, `name@version` exactly that one.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request
from skyscale.wire.errors import ProblemDetails
from skyscale.wire.problems import PublicProblem

SET_NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
SET_REF_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}(@[0-9a-f]{8,64})?$"
NUM_VERSION_DIGITS = 16


class ProblemSetUpload(Request):
    """The query of `POST /api/rl/problem-sets`; the body is the JSONL file, as it is."""

    name: Annotated[str, Field(pattern=SET_NAME_PATTERN)]
    heldout_fraction: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Share of the families without a `split` of their own that is held out, chosen by a hash of the family's name."""
    check_solutions: bool = True
    """Judge the reference solutions, and the wrong ones, in sandboxes; one that is not what it says is an error."""
    dry_run: bool = False
    """Check everything and keep nothing."""


class ProblemCounts(Reply):
    """How many problems there are of each kind."""

    problems: int
    families: int
    by_split: dict[str, int]
    by_difficulty: dict[str, int]
    by_style: dict[str, int]
    by_trust: dict[str, int]
    by_tag: dict[str, int]


class ProblemSetVersion(Reply):
    """One immutable version."""

    ref: str
    """`name@version`: what a run's `problem_set` becomes."""
    name: str
    version: str
    content_hash: str
    size_bytes: int
    counts: ProblemCounts
    solutions_checked: int
    """Reference and wrong solutions that were judged when it was uploaded."""
    notes: list[str]
    """What its uploader should know, for example that nothing is held out."""
    created_at: datetime | None
    """Null for the embedded set and for a dry run."""


class ProblemSetSummary(Reply):
    """One row of the list."""

    name: str
    num_versions: int
    current: ProblemSetVersion
    """What the bare name means."""


class ProblemSetList(Reply):
    """`GET /api/rl/problem-sets`: by name, the embedded one first."""

    problem_sets: list[ProblemSetSummary]


class ProblemSetView(Reply):
    """`GET /api/rl/problem-sets/{ref}`: a set with all its versions, the current one first."""

    name: str
    versions: list[ProblemSetVersion]
    used_by: list[str]
    """Live runs that play one of them."""


class ProblemSample(Reply):
    """`GET /api/rl/problem-sets/{ref}/problems`: a page of problems without their hidden tests."""

    ref: str
    problems: list[PublicProblem]
    next_cursor: str | None
    """Pass as `cursor` to get the next page; null on the last one."""


class ProblemSetUploaded(Reply):
    """The reply to an upload."""

    version: ProblemSetVersion
    created: bool
    """False when this content was there already, and for a dry run."""


class UploadEvent(Reply):
    """One line of an upload's reply when it is asked for as `application/x-ndjson`."""

    type: Literal["progress", "done", "error"]
    phase: Literal["reading", "solutions", ""] = ""
    done: int = 0
    """Bytes read, or solutions judged."""
    total: int = 0
    result: ProblemSetUploaded | None = None
    """With `done`."""
    error: ProblemDetails | None = None
    """With `error`."""
