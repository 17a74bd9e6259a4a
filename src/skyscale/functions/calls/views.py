"""Executions as the wire shows them. Pure."""

from pydantic_core import from_json

from skyscale.functions.calls.queries import Execution
from skyscale.wire.functions import ExecutionLogs, ExecutionView


def view_of(row: Execution) -> ExecutionView:
    """The execution; its output is what was returned, to the letter."""
    return ExecutionView(
        execution_id=row.execution_id, function=row.function, version=row.version, status=row.status,
        output=from_json(row.output) if row.output is not None else None,
        error_message=row.error_message, error_traceback=row.error_traceback or None, is_cold=row.is_cold,
        duration_ms=row.duration_ms, job_id=row.job_id,
        created_at=row.created_at, started_at=row.started_at, ended_at=row.ended_at,
    )  # fmt: skip


def logs_of(row: Execution) -> ExecutionLogs:
    """What it printed."""
    return ExecutionLogs(execution_id=row.execution_id, status=row.status, stdout=row.stdout, stderr=row.stderr)
