"""What may be asked of problem sets: upload, list, show, look into, delete; and what a run's `problem_set` means.

- A version is immutable and known by its content: the same content again is the same version, whoever uploads it and
  however many at once. The version that was uploaded last is what the bare name means.
- A row is written before its files and counts only once they are whole; what a crash leaves is swept at the next start.
- A version that a live run plays is not deleted; a run that is being created holds its version in its own transaction.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from skyscale.artifacts.store import ArtifactStore
from skyscale.envs.intake import Report
from skyscale.envs.registry import ProblemRef, heldout_refs, load_problem_set, public
from skyscale.envs.stored import INDEX_FILE, PROBLEMS_FILE
from skyscale.errors import Conflict, Invalid, NotFound, SkyscaleError, TooLarge, TooMany
from skyscale.problems import queries, rules, solutions, uploads
from skyscale.problems.embedded import embedded_version
from skyscale.problems.library import Library, key_of
from skyscale.problems.queries import VersionRow
from skyscale.problems.uploads import Staged, Tell
from skyscale.store import replica
from skyscale.store.engine import AsyncConnection, Database
from skyscale.wire.base import utc_now
from skyscale.wire.problem_sets import (
    ProblemSample,
    ProblemSetList,
    ProblemSetSummary,
    ProblemSetUpload,
    ProblemSetUploaded,
    ProblemSetView,
)
from skyscale.wire.problems import Difficulty, Split
from skyscale.wire.runs import RunSpec

log = logging.getLogger(__name__)
MAX_UPLOADS = 4
"""At once; each takes disk and a process."""
UNFINISHED_FOR = timedelta(hours=1)
LEFTOVERS_S = 86_400.0
"""A control plane on another machine that keeps its uploads here may be alive; for longer than this no upload takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What uploads may take."""

    max_bytes: int
    max_total_bytes: int
    solutions_at_once: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which problems of a set are looked at."""

    split: Split | None = None
    difficulty: Difficulty | None = None
    tag: str | None = None

    def admits(self, ref: ProblemRef) -> bool:
        """Whether it is one of them."""
        is_tagged = self.tag is None or self.tag in ref.tags
        return self.split in (None, ref.split) and self.difficulty in (None, ref.difficulty) and is_tagged


class ProblemSetService:
    """The only writer of problem sets."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        judge: solutions.Judge,
        folder: Path,
        bounds: Bounds,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`folder` takes uploads while they are checked, and bears the name of this control plane (`store.replica`)."""
        self._db = database
        self._judge = judge
        self._folder = folder
        self._bounds = bounds
        self._now = now
        self._num_uploads = 0
        self._files = asyncio.Lock()
        self.library = Library(store, folder / "cache")

    async def start(self) -> None:
        """Remove what a crash left of uploads; another control plane may be in the middle of one."""
        await asyncio.to_thread(_remove_leftovers, self._folder)
        async with self._db.read() as connection:
            unfinished = await queries.unready_before(connection, self._now() - UNFINISHED_FOR)
        for row in unfinished:
            log.info("removing the unfinished upload %s", row.ref)
            await self._remove([row])

    # -- uploading -----------------------------------------------------------------------------------------------

    async def receive(self, chunks: AsyncIterator[bytes]) -> Staged:
        """The upload on disk, to be kept or discarded. Raises TooLarge, TooMany, BadRequest, Unavailable."""
        if self._num_uploads >= MAX_UPLOADS:
            raise TooMany(f"{MAX_UPLOADS} problem sets are being uploaded", retry_after_s=10.0)
        self._num_uploads += 1
        try:
            return await uploads.receive(chunks, self._folder, self._bounds.max_bytes)
        finally:
            self._num_uploads -= 1

    async def keep(
        self, staged: Staged, request: ProblemSetUpload, tell: Tell = lambda phase, done, total: None
    ) -> ProblemSetUploaded:
        """Check what was received and make it a version; the staged file is gone afterwards, whatever happens.

        Raises:
            Invalid: it has mistakes, each named with its line. TooLarge: no room. SandboxFailure, Unavailable.
        """
        try:
            rules.check_name(request.name)
            report = await uploads.check(staged, request.heldout_fraction, tell)
            checked = await self._check_solutions(staged, report, request, tell)
            row = self._row(request.name, report, checked)
            if request.dry_run:
                return ProblemSetUploaded(version=row.view().model_copy(update={"created_at": None}), created=False)
            return await self._store(staged, row)
        finally:
            await asyncio.to_thread(staged.discard)

    async def _check_solutions(
        self, staged: Staged, report: Report, request: ProblemSetUpload, tell: Tell
    ) -> solutions.SolutionReport:
        if not request.check_solutions or report.num_solutions == 0:
            return solutions.SolutionReport()
        at_once = self._bounds.solutions_at_once
        path = staged.folder / PROBLEMS_FILE
        found = await solutions.check(self._judge, path, report.lines, report.num_solutions, at_once, tell)
        if found.errors:
            raise uploads.refusal([f"line {number}: {text}" for number, text in found.errors], len(found.errors))
        return found

    def _row(self, name: str, report: Report, checked: solutions.SolutionReport) -> VersionRow:
        now = self._now()
        return VersionRow(
            name=name, version=rules.version_of(report.content_hash), content_hash=report.content_hash, is_ready=False,
            size_bytes=report.size_bytes, counts=report.counts.model_dump(), notes=report.notes + checked.notes(),
            solutions_checked=checked.checked, created_at=now, uploaded_at=now,
        )  # fmt: skip

    async def _store(self, staged: Staged, row: VersionRow) -> ProblemSetUploaded:
        async with self._files:
            known = await self._claim(row)
            if known is not None and known.is_ready:
                return ProblemSetUploaded(version=known.view(), created=False)
            async with uploads.full_disk_is_unavailable():
                for file_name in (PROBLEMS_FILE, INDEX_FILE):
                    key = key_of(row.ref, file_name)
                    await asyncio.to_thread(self.library.store.put_file, key, staged.folder / file_name)
            async with self._db.write() as connection:
                is_ready = await queries.update_version(connection, row.name, row.version, is_ready=True)
        if not is_ready:
            raise Conflict(f"{row.ref} was deleted while it was uploaded", code="problem_set_deleted")
        return ProblemSetUploaded(version=row.view(), created=True)

    async def _claim(self, row: VersionRow) -> VersionRow | None:
        """The row of the same content, made the current one; None when this one was written."""
        async with self._db.write() as connection:
            known = await queries.version(connection, row.name, row.version)
            if known is None:
                room = self._bounds.max_total_bytes - await queries.total_bytes(connection)
                if row.size_bytes > room:
                    detail = f"problem sets may take {self._bounds.max_total_bytes} bytes; {max(0, room)} are left"
                    raise TooLarge(detail, code="problem_sets_full", hint="Delete some that no run uses.")
                if await queries.insert_version(connection, row):
                    return None
                known = row  # another control plane's upload of the same content: its files are the same
            await queries.update_version(connection, row.name, row.version, uploaded_at=row.uploaded_at)
            return known

    # -- looking -------------------------------------------------------------------------------------------------

    async def overview(self) -> ProblemSetList:
        """Every set, the embedded one first."""
        async with self._db.read() as connection:
            rows = await queries.all_versions(connection)
        embedded = await asyncio.to_thread(embedded_version)
        found = [ProblemSetSummary(name=rules.EMBEDDED, num_versions=1, current=embedded)]
        for name, several in groupby(rows, key=lambda row: row.name):
            versions = list(several)
            found.append(ProblemSetSummary(name=name, num_versions=len(versions), current=versions[0].view()))
        return ProblemSetList(problem_sets=found)

    async def show(self, ref: str) -> ProblemSetView:
        """A set with its versions, or with the one that is named. Raises NotFound."""
        if ref == rules.EMBEDDED:
            embedded = await asyncio.to_thread(embedded_version)
            return ProblemSetView(name=ref, versions=[embedded], used_by=[])
        name, digits = rules.split_ref(ref)
        async with self._db.read() as connection:
            rows = await self._versions(connection, ref)
            shown = [await self._chosen(connection, rows, ref)] if digits else rows
            used_by = await queries.live_runs_of(connection, [row.ref for row in shown])
        return ProblemSetView(name=name, versions=[row.view() for row in shown], used_by=used_by)

    async def sample(self, ref: str, wanted: Filter, cursor: int, limit: int) -> ProblemSample:
        """A page of problems without their hidden tests, in the set's order. Raises NotFound."""
        resolved = ref if ref == rules.EMBEDDED else (await self._one(ref)).ref
        return await asyncio.to_thread(self._page, resolved, wanted, cursor, limit)

    def _page(self, ref: str, wanted: Filter, cursor: int, limit: int) -> ProblemSample:
        problems = self.library.open(ref)
        refs = problems.refs()
        places = (place for place in range(cursor, len(refs)) if wanted.admits(refs[place]))
        found = [place for place, _ in zip(places, range(limit + 1), strict=False)]
        more = str(found[limit]) if len(found) > limit else None
        shown = [public(problems.get(refs[place].id)) for place in found[:limit]]
        return ProblemSample(ref=ref, problems=shown, next_cursor=more)

    async def _one(self, ref: str) -> VersionRow:
        async with self._db.read() as connection:
            return await self._chosen(connection, await self._versions(connection, ref), ref)

    async def _versions(self, connection: AsyncConnection, ref: str, *, lock: bool = False) -> list[VersionRow]:
        rows = await queries.versions_of(connection, rules.split_ref(ref)[0], lock=lock)
        if not rows:
            raise await self._unknown(connection, ref)
        return rows

    async def _chosen(self, connection: AsyncConnection, rows: list[VersionRow], ref: str) -> VersionRow:
        chosen = rules.choose(rows, rules.split_ref(ref)[1])
        if chosen is None:
            raise await self._unknown(connection, ref, [row.version for row in rows])
        return chosen

    async def _unknown(self, connection: AsyncConnection, ref: str, versions: list[str] | None = None) -> SkyscaleError:
        names = dict.fromkeys(row.name for row in await queries.all_versions(connection))
        return rules.unknown(ref, names, versions or [])

    # -- deleting ------------------------------------------------------------------------------------------------

    async def delete(self, ref: str) -> None:
        """Remove a set, or one version of it. Raises NotFound, Conflict while a live run plays it."""
        if ref == rules.EMBEDDED:
            raise Conflict("the embedded problem set cannot be deleted", code="problem_set_embedded")
        async with self._files, self._db.write() as connection:
            rows = await self._versions(connection, ref, lock=True)
            if rules.split_ref(ref)[1]:
                rows = [await self._chosen(connection, rows, ref)]
            users = await queries.live_runs_of(connection, [row.ref for row in rows])
            if users:
                detail = f"problem set {ref!r} is played by {', '.join(users[:5])}"
                raise Conflict(detail, code="problem_set_in_use", hint="Stop these runs first.")
            await queries.delete_versions(connection, rows[0].name, [row.version for row in rows])
        await self._remove_files(rows)

    async def _remove(self, rows: list[VersionRow]) -> None:
        async with self._db.write() as connection:
            for row in rows:
                await queries.delete_versions(connection, row.name, [row.version])
        await self._remove_files(rows)

    async def _remove_files(self, rows: list[VersionRow]) -> None:
        for row in rows:
            self.library.forget(row.ref)
            await asyncio.to_thread(self.library.store.delete_prefix, key_of(row.ref))

    # -- runs ----------------------------------------------------------------------------------------------------

    async def resolve(self, spec: RunSpec) -> RunSpec:
        """The specification with an immutable `problem_set`.

        Raises Invalid for a set that nobody has, or with nothing to train on, or to be evaluated with.
        """
        try:
            ref = await self._resolved(spec.problem_set)
        except NotFound as error:
            raise Invalid(f"problem_set: {error.detail}", code=error.code, hint=error.hint) from error
        problems = await asyncio.to_thread(self.library.open, ref)
        if spec.mode != "evaluate" and not problems.train_ids(spec.difficulty, allow_weak=spec.allow_weak_trust):
            if num_weak := len(problems.train_ids(spec.difficulty, allow_weak=True)):
                raise Invalid(
                    f"problem_set: all {num_weak} train problems of {spec.problem_set!r} are `trust: weak`",
                    code="only_weak_trust",
                    hint="Set allow_weak_trust to train on them all the same: a cheating program may then be rewarded.",
                )
            kind = f" of difficulty {spec.difficulty}" if spec.difficulty else ""
            raise Invalid(f"problem_set: {spec.problem_set!r} has no train problems{kind}")
        if spec.evaluation.num_problems > 0 and not await asyncio.to_thread(heldout_refs, problems):
            detail = f"problem_set: {spec.problem_set!r} has no held-out problems: set evaluation.num_problems to 0"
            raise Invalid(detail)
        return spec.model_copy(update={"problem_set": ref})

    async def _resolved(self, given: str) -> str:
        if given == rules.EMBEDDED:
            return given
        if rules.is_name(given):
            try:
                return (await self._one(given)).ref
            except NotFound:
                if "@" in given or not await asyncio.to_thread(Path(given).is_file):
                    raise
        try:
            await asyncio.to_thread(load_problem_set, given)
        except (NotFound, OSError, ValueError) as error:
            detail = f"problem_set: {given!r} is neither 'embedded', nor an uploaded set, nor a readable JSONL file"
            raise Invalid(detail, code="problem_set_not_found") from error
        return given

    async def hold(self, connection: AsyncConnection, spec: RunSpec) -> None:
        """Keep the version of a resolved specification from being deleted before the run's row is written."""
        if not rules.is_stored(spec.problem_set):
            return
        name, version = rules.split_ref(spec.problem_set)
        if not await queries.hold_version(connection, name, version):
            raise await self._unknown(connection, spec.problem_set)


def _remove_leftovers(mine: Path) -> None:
    """Folders beside ours whose control planes are gone."""
    if not mine.parent.is_dir():
        return
    for folder in mine.parent.iterdir():
        is_old = time.time() - folder.stat().st_mtime > LEFTOVERS_S
        if folder != mine and (is_old or not replica.is_name(folder.name) or replica.is_known_dead(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
