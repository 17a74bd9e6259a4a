"""What may be deployed and called, what a version is named, and what an outcome means. Pure."""

import ast
import hashlib
import json
import re
from collections.abc import Sequence

from skyscale.errors import Invalid
from skyscale.sandboxes.workspace import CommandResult, CommandStatus, WorkspaceLimits
from skyscale.wire.functions import ExecutionStatus, FunctionSpec

MB = 1024 * 1024
DISK_MB = 64
"""Of a call's files, its layer included."""
NO_SPACE = 74
"""Exit code of `inside/harness.py` for a result that could not be written."""
ENDED = frozenset(set(ExecutionStatus) - {ExecutionStatus.QUEUED, ExecutionStatus.RUNNING})
_CLAUSE = r"\s*(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*"
_REQUIREMENT = re.compile(
    rf"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9._, -]+\])?(?:{_CLAUSE}(?:,{_CLAUSE})*)?"
)
STATUS_OF = {
    CommandStatus.TIMEOUT: ExecutionStatus.TIMEOUT,
    CommandStatus.MEMORY: ExecutionStatus.MEMORY,
    CommandStatus.OUTPUT_LIMIT: ExecutionStatus.OUTPUT_LIMIT,
    CommandStatus.CANCELLED: ExecutionStatus.LOST,
}


def version_of(spec: FunctionSpec) -> str:
    """The version's name: the hash of what was deployed."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def layer_of(requirements: Sequence[str], python: str) -> str | None:
    """The name of the layer that holds these packages for this interpreter; None when there are none."""
    names = sorted({"".join(each.split()) for each in requirements})
    return hashlib.sha256("\n".join([python, *names]).encode()).hexdigest()[:32] if names else None


def check_spec(spec: FunctionSpec) -> None:
    """Raise Invalid for code that does not compile or has no such entry, and for what pip must not be given."""
    for requirement in spec.requirements:
        if not _REQUIREMENT.fullmatch(requirement):
            raise Invalid(
                f"requirements: {requirement!r} is not a name with a version, such as 'attrs==25.3.0'",
                code="bad_requirement", hint="Options, addresses and paths are refused.",
            )  # fmt: skip
    tree = _parsed(spec.code)
    name, _, method = spec.entry.partition(".")
    found = _binding(tree, name)
    if not found:
        raise Invalid(
            f"entry: the code defines no {name!r}",
            code="entry_not_found",
            hint="Name a function or class of the module.",
        )
    defined = found[-1]
    if method and isinstance(defined, ast.ClassDef) and not defined.bases and not _binding(defined, method):
        raise Invalid(f"entry: class {name} defines no {method!r}", code="entry_not_found")


def _parsed(code: str) -> ast.Module:
    try:
        tree = ast.parse(code, "deployed.py")
        compile(code, "deployed.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        place = f"line {error.lineno}: " if error.lineno else ""
        line = f" in {error.text.strip()!r}" if error.text else ""
        raise Invalid(f"code: {place}{error.msg}{line}", code="bad_code", hint="Correct the code.") from error
    except (ValueError, RecursionError, MemoryError, UnicodeEncodeError) as error:
        raise Invalid(f"code: no Python module: {error}", code="bad_code", hint="Correct the code.") from error
    return tree


def _binding(scope: ast.Module | ast.ClassDef, name: str) -> list[ast.stmt]:
    """Statements of this level that define, import or assign the name (or may: a star import)."""
    found: list[ast.stmt] = []
    for node in scope.body:
        match node:
            case ast.FunctionDef(name=each) | ast.AsyncFunctionDef(name=each) | ast.ClassDef(name=each):
                names = [each]
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                names = [name if item.name == "*" else item.asname or item.name for item in imported]
            case ast.Assign() | ast.AnnAssign() | ast.If() | ast.Try() | ast.With():
                names = [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
                names += [inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef | ast.ClassDef)]
            case _:
                names = []
        if name in names:
            found.append(node)
    return found


def limits_of(spec: FunctionSpec) -> WorkspaceLimits:
    """What one call may use."""
    return WorkspaceLimits(
        memory_bytes=spec.memory * MB, cpu_s=int(spec.timeout) + 1, max_processes=32, disk_bytes=DISK_MB * MB,
        output_bytes=spec.output_kb * 1024,
    )  # fmt: skip


def why_no_result(result: CommandResult, spec: FunctionSpec) -> tuple[ExecutionStatus, str]:
    """Status and message of a call that left no result."""
    match STATUS_OF.get(result.status, ExecutionStatus.FAILED):
        case ExecutionStatus.TIMEOUT as status:
            return status, f"it took longer than {spec.timeout:g} s (`timeout`)"
        case ExecutionStatus.MEMORY as status:
            return status, f"it used more than {spec.memory} MB (`memory`)"
        case ExecutionStatus.OUTPUT_LIMIT as status:
            return status, f"it printed more than {spec.output_kb} KB (`output_kb`)"
        case ExecutionStatus.LOST as status:
            return status, "its sandbox was destroyed while it ran"
        case status:
            # The address space of a process is bounded too: Python says MemoryError before the watch sees anything.
            if result.exit_code == 137:
                return ExecutionStatus.MEMORY, f"it used more than {spec.memory} MB (`memory`)"
            if result.exit_code == NO_SPACE:
                return status, f"its files filled its disk ({DISK_MB} MB), so its result could not be written"
            return status, f"it ended its process with exit code {result.exit_code} instead of returning"
