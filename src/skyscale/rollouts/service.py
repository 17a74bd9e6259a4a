"""Rollouts for readers: a page, one group with everything, all groups one after another.

- Lists never open payloads, except for a text search, which is bounded by time: its page says where it stopped.
- Decoding happens in a thread, so that a large group does not hold up the event loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any

import orjson

from skyscale.buffer.parsing import check_id
from skyscale.envs.registry import public
from skyscale.errors import NotFound, SkyscaleError
from skyscale.problems.library import Library
from skyscale.rollouts import notes, queries, rules
from skyscale.rollouts.notes import VerdictNotes
from skyscale.rollouts.queries import Stored
from skyscale.rollouts.rules import RolloutFilter
from skyscale.rollouts.tokens import token_strings
from skyscale.store.engine import Database
from skyscale.wire.episodes import Outcome
from skyscale.wire.problems import Problem
from skyscale.wire.rollouts import RolloutCompletion, RolloutDetail, RolloutPage, RolloutRow, RolloutTokens
from skyscale.wire.runs import RunSpec

SEARCH_S = 1.0
"""How long one text search may read before it answers with what it has."""
SEARCH_CHUNK = 32
EXPORT_CHUNK = 16


class RolloutService:
    """Reads rollouts; changes nothing."""

    def __init__(self, database: Database, verdict_notes: VerdictNotes, artifact_root: str, library: Library) -> None:
        self._library = library
        self._database = database
        self._notes = verdict_notes
        self._artifact_root = artifact_root

    async def page(self, run_id: str, wanted: RolloutFilter, cursor: str | None, limit: int) -> RolloutPage:
        """Groups of a run, newest first. Raises NotFound for the run, BadRequest for a cursor that is not ours."""
        after = rules.read_cursor(cursor) if cursor is not None else None
        await self._spec(run_id)
        if wanted.text:
            return await self._search(run_id, wanted, after, limit)
        async with self._database.read() as connection:
            rows = await queries.page(connection, run_id, wanted, after, limit + 1)
        more = _cursor(rows[limit - 1]) if len(rows) > limit else None
        return RolloutPage(rollouts=rows[:limit], next_cursor=more)

    async def _search(
        self, run_id: str, wanted: RolloutFilter, after: tuple[datetime, str] | None, limit: int
    ) -> RolloutPage:
        needle, deadline = (wanted.text or "").casefold(), time.monotonic() + SEARCH_S
        found: list[RolloutRow] = []
        while time.monotonic() < deadline:
            async with self._database.read() as connection:
                chunk = await queries.page_with_payloads(connection, run_id, wanted, after, SEARCH_CHUNK)
            matching = await asyncio.to_thread(_matching, chunk, needle)
            found += matching
            if len(found) >= limit:
                return RolloutPage(rollouts=found[:limit], next_cursor=_cursor(found[limit - 1]))
            if len(chunk) < SEARCH_CHUNK:
                return RolloutPage(rollouts=found, next_cursor=None)
            last = chunk[-1].row
            after = (last.pushed_at, last.group_id)
        more = rules.write_cursor(*after) if after is not None else None
        return RolloutPage(rollouts=found, next_cursor=more)

    async def show(self, run_id: str, group_id: str, *, with_tokens: bool = True) -> RolloutDetail:
        """One group with everything that is kept of it. Raises NotFound."""
        check_id("group_id", group_id)
        spec = await self._spec(run_id)
        await self._notes.flush()
        async with self._database.read() as connection:
            stored = await queries.get(connection, run_id, group_id)
            bodies = await queries.verdicts_of(connection, [group_id])
        if stored is None:
            detail = f"run {run_id!r} has no pushed group {group_id!r}"
            raise NotFound(detail, code="rollout_not_found", hint=f"GET /api/rl/runs/{run_id}/rollouts lists them.")
        return await asyncio.to_thread(self._detail, spec, stored, bodies.get(group_id, []), with_tokens)

    async def contents(
        self, run_id: str, wanted: RolloutFilter
    ) -> AsyncGenerator[list[tuple[RolloutRow, dict[str, Any], Problem | None]]]:
        """Every kept group that matches, newest first, a few at a time: its row, its stored JSON, its problem."""
        spec = await self._spec(run_id)
        needle, after = (wanted.text or "").casefold(), None
        while True:
            async with self._database.read() as connection:
                chunk = await queries.page_with_payloads(connection, run_id, wanted, after, EXPORT_CHUNK)
            decoded = await asyncio.to_thread(_decoded, chunk)
            pairs = [(each.row, group) for each, group in zip(chunk, decoded, strict=True)]
            yield [
                (r, g, _problem(self._library, spec, r.problem_id))
                for r, g in pairs
                if not needle or rules.contains(g, needle)
            ]
            if len(chunk) < EXPORT_CHUNK:
                return
            after = (chunk[-1].row.pushed_at, chunk[-1].row.group_id)

    async def _spec(self, run_id: str) -> RunSpec:
        check_id("run_id", run_id)
        async with self._database.read() as connection:
            spec = await queries.spec_of(connection, run_id)
        if spec is None:
            raise NotFound(f"there is no run {run_id!r}", code="run_not_found", hint="GET /api/rl/runs lists them.")
        return spec

    def _detail(self, spec: RunSpec, stored: Stored, bodies: list[bytes], with_tokens: bool) -> RolloutDetail:
        problem = _problem(self._library, spec, stored.row.problem_id)
        group: dict[str, Any] | None = orjson.loads(stored.payload) if stored.payload is not None else None
        entries = notes.decode(bodies)
        prompt_ids: list[int] | None = group["prompt_ids"] if group is not None and with_tokens else None
        return RolloutDetail(
            run_id=spec.run_id,
            rollout=stored.row,
            problem=public(problem) if problem is not None else None,
            messages=messages_shown(problem),
            prompt_ids=prompt_ids,
            prompt_strings=self._strings(spec, prompt_ids) if prompt_ids is not None else None,
            completions=[self._completion(spec, t, entries, with_tokens) for t in group["trajectories"]]
            if group
            else None,
        )

    def _completion(
        self, spec: RunSpec, trajectory: Mapping[str, Any], entries: Mapping[str, dict[str, Any]], with_tokens: bool
    ) -> RolloutCompletion:
        entry = notes.entry_of(entries, trajectory["code"])
        ids, versions = trajectory["completion_ids"], trajectory["versions"]
        tokens = None
        if with_tokens:
            strings = self._strings(spec, ids)
            tokens = RolloutTokens(ids=ids, strings=strings, logprobs=trajectory["logprobs"], versions=versions)
        return RolloutCompletion(
            episode_id=trajectory["episode_id"],
            text=trajectory.get("text") or "",
            code=trajectory["code"],
            outcome=trajectory.get("outcome") or Outcome.SCORED,
            reward=trajectory["reward"],
            reward_parts=rules.reward_parts(trajectory),
            passed_tests=trajectory.get("passed_tests") or 0,
            total_tests=trajectory.get("total_tests") or 0,
            tests=notes.tests_of(entry) if entry is not None else None,
            stdout=entry["stdout"] if entry is not None else None,
            stderr=entry["stderr"] if entry is not None else None,
            exit_code=entry["exit_code"] if entry is not None else None,
            duration_ms=entry["ms"] if entry is not None else None,
            turns=trajectory.get("turns") or [],
            num_tokens=len(ids),
            min_version=min(versions, default=None),
            max_version=max(versions, default=None),
            tokens=tokens,
        )

    def _strings(self, spec: RunSpec, ids: list[int]) -> list[str] | None:
        try:
            return token_strings(spec, self._artifact_root, ids)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # a tokenizer that we cannot read: the ids are the record, strings are a view


def messages_shown(problem: Problem | None) -> list[dict[str, str]]:
    """The chat that stands for a problem."""
    return [{"role": "user", "content": problem.prompt}] if problem is not None else []


def _problem(library: Library, spec: RunSpec, problem_id: str) -> Problem | None:
    try:
        return library.open(spec.problem_set).get(problem_id)
    except (SkyscaleError, OSError, UnicodeError):
        return None


def _decoded(chunk: list[Stored]) -> list[dict[str, Any]]:
    return [orjson.loads(each.payload or b"{}") for each in chunk]


def _matching(chunk: list[Stored], needle: str) -> list[RolloutRow]:
    return [each.row for each in chunk if each.payload and rules.contains(orjson.loads(each.payload), needle)]


def _cursor(row: RolloutRow) -> str:
    return rules.write_cursor(row.pushed_at, row.group_id)
