"""One call in one sandbox: the request in, output as it comes, the result out; what went wrong is an outcome."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydantic_core
from pydantic import JsonValue

from skyscale.functions import rules
from skyscale.functions.pool import LAYER_NAME
from skyscale.sandboxes.workspace import Command, CommandStatus, FileRefused, FileTrouble, Workspace
from skyscale.wire.functions import ExecutionStatus, FunctionSpec

RESULT = ".result.json"
_ROOM = 40_000
"""Of a result's file beyond the output limit: an error's message and traceback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call."""

    status: ExecutionStatus
    output: str | None = None
    """JSON."""
    error_message: str | None = None
    error_traceback: str | None = None
    stdout: str = ""
    stderr: str = ""
    duration_ms: float = 0.0


async def play(workspace: Workspace, spec: FunctionSpec, input_json: str, *, has_layer: bool) -> Outcome:
    """Run the call to its end. Raises SandboxFailure."""
    printed = {"stdout": bytearray(), "stderr": bytearray()}
    layer = f"/workspace/{LAYER_NAME}" if has_layer else None
    head = pydantic_core.to_json({"entry": spec.entry, "style": spec.style, "layer": layer}).decode()
    command = Command(
        code=harness(), language="python3", timeout_s=spec.timeout, stdin=f'{head[:-1]},"input":{input_json}}}'
    )
    result = await workspace.run(command, lambda name, data: printed[name].extend(data))
    output: str | None = None
    status, message, trace = ExecutionStatus.FAILED, None, None
    if result.status in {CommandStatus.OK, CommandStatus.KILLED} and result.exit_code == 0:
        status, output, message, trace = await _result(workspace, spec)
    if message is None and status is not ExecutionStatus.COMPLETED:
        status, message = rules.why_no_result(result, spec)
    texts = {name: bytes(data).decode("utf-8", "replace") for name, data in printed.items()}
    return Outcome(
        status=status, output=output, error_message=message, error_traceback=trace, duration_ms=result.duration_ms,
        stdout=texts["stdout"], stderr=texts["stderr"],
    )  # fmt: skip


async def _result(
    workspace: Workspace, spec: FunctionSpec
) -> tuple[ExecutionStatus, str | None, str | None, str | None]:
    limit = spec.output_kb * 1024
    too_large = ExecutionStatus.OUTPUT_LIMIT, None, f"its result exceeds {spec.output_kb} KB (`output_kb`)", None
    try:
        raw = await workspace.read_file(RESULT, limit + _ROOM)
    except FileRefused as error:
        if error.trouble is FileTrouble.TOO_LARGE:
            return too_large
        return ExecutionStatus.FAILED, None, None, None
    # The code inside may have written this itself: it is read as anything from outside.
    try:
        value: JsonValue = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        return ExecutionStatus.FAILED, None, f"the result is not JSON: {error}"[:2000], None
    if not isinstance(value, dict) or not ({"ok", "error"} & set(value)):
        return ExecutionStatus.FAILED, None, "the result was written by something else", None
    if "ok" not in value:
        return ExecutionStatus.FAILED, None, str(value["error"])[:2000], str(value.get("traceback") or "")[:20000]
    output = pydantic_core.to_json(value["ok"])
    return too_large if len(output) > limit else (ExecutionStatus.COMPLETED, output.decode(), None, None)


@cache
def harness() -> str:
    """The program that is sent into a function's sandbox."""
    return (Path(__file__).parents[1] / "inside" / "harness.py").read_text(encoding="utf-8")
