"""Rollouts as Parquet, one row per completion, written while they are read.

- At most `ROW_GROUP_BYTES` of rows (and one group) wait at a time; every finished row group is handed on at once.
- Columns `step`, `prompt`, `completion`, `reward` have the names and meanings of TRL's completion tables.
- Needs pyarrow (`skyscale[parquet]`), which is imported when the first export begins.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from importlib import import_module
from typing import Any

import orjson

from skyscale.errors import Unavailable
from skyscale.rollouts import rules
from skyscale.rollouts.service import messages_shown
from skyscale.wire.problems import Problem
from skyscale.wire.rollouts import RolloutRow

ROW_GROUP_BYTES = 4 * 1024 * 1024
Content = tuple[RolloutRow, dict[str, Any], Problem | None]


class _Sink(io.RawIOBase):
    """Where the writer writes: bytes wait here until they are taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


def require_pyarrow() -> None:
    """Raise Unavailable, with what to install, where Parquet cannot be written."""
    try:
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise Unavailable(
            "the control plane cannot write Parquet: pyarrow is not installed",
            code="extra_missing",
            hint="pip install 'skyscale[parquet]' where the control plane runs.",
        ) from error


async def parquet(run_id: str, contents: AsyncIterable[list[Content]]) -> AsyncGenerator[bytes]:
    """The bytes of one Parquet file with every completion of these groups."""
    writer = _Writer()
    waiting: list[dict[str, object]] = []
    waiting_bytes = 0
    async for chunk in contents:
        for row, group, problem in chunk:
            rows = rows_of(run_id, row, group, problem)
            waiting += rows
            waiting_bytes += sum(24 * len(group["prompt_ids"]) + _size(each) for each in rows)
            if waiting_bytes >= ROW_GROUP_BYTES:
                yield await asyncio.to_thread(writer.write, waiting)
                waiting, waiting_bytes = [], 0
    yield await asyncio.to_thread(writer.close, waiting)


def rows_of(run_id: str, row: RolloutRow, group: Mapping[str, Any], problem: Problem | None) -> list[dict[str, object]]:
    """One row per completion of a stored group."""
    shared: dict[str, object] = {
        "run_id": run_id,
        "group_id": row.group_id,
        "problem_id": row.problem_id,
        "purpose": row.purpose.value,
        "state": row.state,
        "step": row.version,
        "pushed_at": row.pushed_at,
        "prompt": "\n".join(message["content"] for message in messages_shown(problem)) if problem else None,
        "prompt_ids": group["prompt_ids"],
    }
    return [
        shared
        | {
            "episode_id": each["episode_id"],
            "completion": each.get("text") or "",
            "code": each["code"],
            "reward": each["reward"],
            "reward_parts": orjson.dumps(rules.reward_parts(each)).decode(),
            "outcome": each.get("outcome") or "scored",
            "passed_tests": each.get("passed_tests") or 0,
            "total_tests": each.get("total_tests") or 0,
            "turns": orjson.dumps(each["turns"]).decode() if each.get("turns") else None,
            "completion_ids": each["completion_ids"],
            "logprobs": each["logprobs"],
            "versions": each["versions"],
        }
        for each in group["trajectories"]
    ]


def _size(row: Mapping[str, Any]) -> int:
    """Roughly the bytes of a row, as Python holds it."""
    return len(row["completion"]) + len(row["code"]) + 48 * len(row["completion_ids"])


class _Writer:
    """A Parquet file in the making."""

    def __init__(self) -> None:
        pa: Any = import_module("pyarrow")
        pq: Any = import_module("pyarrow.parquet")
        self._sink = _Sink()
        text, ids = pa.string(), pa.list_(pa.int32())
        names = ["run_id", "group_id", "problem_id", "purpose", "state", "episode_id", "prompt", "completion", "code"]
        fields = [(name, text) for name in [*names, "reward_parts", "outcome", "turns"]]
        fields += [(name, pa.int32()) for name in ("step", "passed_tests", "total_tests")]
        fields += [(name, ids) for name in ("prompt_ids", "completion_ids", "versions")]
        fields += [("reward", pa.float64()), ("logprobs", pa.list_(pa.float32()))]
        fields += [("pushed_at", pa.timestamp("us", tz="UTC"))]
        self._schema: Any = pa.schema(fields)
        self._from_rows: Any = pa.RecordBatch.from_pylist
        self._file: Any = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def write(self, rows: list[dict[str, object]]) -> bytes:
        """The bytes of a row group with these rows."""
        self._file.write_batch(self._from_rows(rows, schema=self._schema))
        return self._sink.take()

    def close(self, rows: list[dict[str, object]]) -> bytes:
        """The bytes of the last row group and of the file's end."""
        if rows:
            self._file.write_batch(self._from_rows(rows, schema=self._schema))
        self._file.close()
        return self._sink.take()
