"""Verdicts in detail, noted beside the hot path and written once a second.

- `note` appends to a list and returns; encoding, compression and the transaction happen in the background.
- What waits is bounded: beyond `MAX_WAITING` groups a note is dropped and counted, never waited for.
- A crash loses the notes of the last second: an explanation of a reward, never the reward.
"""

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from skyscale.rollouts import queries
from skyscale.store.engine import Database
from skyscale.store.uninterrupted import to_its_end
from skyscale.wire.episodes import TestResult, Verdict

log = logging.getLogger(__name__)
FLUSH_S = 1.0
MAX_WAITING = 4096
MAX_STDOUT_CHARS = 1024
MAX_STDERR_CHARS = 4096
MAX_DETAIL_CHARS = 200


class VerdictNotes:
    """What the judge said of the programs of each group."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[str, Sequence[str], Sequence[Verdict]]] = []
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """Groups whose notes were not kept because writing could not keep up."""

    def note(self, group_id: str, codes: Sequence[str], verdicts: Sequence[Verdict]) -> None:
        """Remember what was said of a group's programs; costs an append."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append((group_id, codes, verdicts))
        else:
            self.dropped += 1

    async def start(self) -> None:
        """Write in the background until `stop`."""
        self._task = asyncio.create_task(self._keep_writing(), name="verdict notes")

    async def stop(self) -> None:
        """Write what waits, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what was noted so far."""
        async with self._writing:
            if not self._waiting:
                return
            batch, self._waiting = self._waiting, []
            rows = await asyncio.to_thread(_encode_all, batch)
            await self._database.transact(lambda connection: queries.insert_verdicts(connection, rows))

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await to_its_end(self.flush())
            except Exception:
                log.exception("verdicts in detail could not be written; the next ones are tried again")


def _encode_all(batch: Sequence[tuple[str, Sequence[str], Sequence[Verdict]]]) -> list[dict[str, object]]:
    return [{"group_id": group_id, "body": encode(codes, verdicts)} for group_id, codes, verdicts in batch]


def encode(codes: Sequence[str], verdicts: Sequence[Verdict]) -> bytes:
    """The verdicts of a group by the program they are about, equal ones once."""
    told = {_key(code): _entry(verdict) for code, verdict in zip(codes, verdicts, strict=True)}
    return zlib.compress(orjson.dumps(told), level=1)


def decode(bodies: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Entries by program of all notes of a group, later ones first in right."""
    found: dict[str, dict[str, Any]] = {}
    for body in bodies:
        found |= orjson.loads(zlib.decompress(body))
    return found


def entry_of(entries: Mapping[str, dict[str, Any]], code: str) -> dict[str, Any] | None:
    """What was noted of a program."""
    return entries.get(_key(code))


def tests_of(entry: Mapping[str, Any]) -> list[TestResult]:
    """The test results of an entry, in the problem's order."""
    return [TestResult(passed=s == "passed", status=s, detail=detail) for s, detail in entry["tests"]]


def _entry(verdict: Verdict) -> dict[str, object]:
    return {
        "tests": [(test.status, test.detail[:MAX_DETAIL_CHARS]) for test in verdict.tests],
        "stdout": verdict.stdout[:MAX_STDOUT_CHARS],
        "stderr": verdict.stderr[:MAX_STDERR_CHARS],
        "exit_code": verdict.exit_code,
        "ms": round(verdict.duration_ms, 2),
    }


def _key(code: str) -> str:
    return hashlib.blake2b(code.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
