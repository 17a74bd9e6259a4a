"""Test code as it comes (HumanEval's `check(candidate)`, MBPP's asserts): rewritten to calls, or marked for the proxy.

- Rewritten, where every statement is an assertion that `assertions.py` understands: provably the same, and one sandbox.
- Proxied otherwise: each statement that can fail becomes one marked test; the rest (imports, helpers, data) is not.
  The function under test is a stub there, so only plain data reaches it and comes back.
- Refused, where a stub cannot stand for the function: it is used otherwise than by calls, gets a function, or a name
  that only the candidate's code could define is used. Such tests need one process; `trust: weak` admits them.
"""

import ast
import builtins
from dataclasses import dataclass

from skyscale.envs.assertions import Assertion, assertion_of
from skyscale.wire.problems import Problem, Trust

MARK = "__skyscale_test__"
CANDIDATE = "candidate"
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True, slots=True)
class TestPlan:
    """How a problem's test code is judged."""

    __test__ = False
    """Not a class of tests, whatever its name tells a test runner."""
    assertions: list[Assertion]
    """When rewritten; empty otherwise."""
    source: str
    """When not rewritten: the marked code."""
    num_tests: int

    @property
    def is_rewritten(self) -> bool:
        """Whether one sandbox and comparison outside are enough."""
        return bool(self.assertions)


def plan_of(test_code: str, entry_point: str, *, is_weak: bool = False) -> TestPlan:
    """The plan of a test code.

    Raises:
        ValueError: not Python, no tests in it, or it needs one process with the candidate and `is_weak` is not set.
    """
    tree = _parsed(test_code)
    check = next((s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name == "check"), None)
    assertions = _rewritten(tree, check, entry_point)
    if assertions:
        return TestPlan(assertions, "", len(assertions))
    if not is_weak:
        _refuse_what_needs_one_process(tree, entry_point)
    return _marked(tree, check)


def plan_for(problem: Problem) -> TestPlan:
    """The plan of an `asserts` problem; raises ValueError as `plan_of`."""
    return plan_of(problem.test_code, problem.entry_point or "", is_weak=problem.trust is Trust.WEAK)


def _parsed(test_code: str) -> ast.Module:
    try:
        return ast.parse(test_code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"test_code is not Python: {error}") from error


def _rewritten(tree: ast.Module, check: ast.FunctionDef | None, entry_point: str) -> list[Assertion]:
    body = [s for s in tree.body if s is not check and not _is_inert(s)]
    names = {entry_point}
    if check is not None:
        if any(not _calls_check(s) for s in body) or len(check.args.args) != 1 or check.decorator_list:
            return []
        names.add(check.args.args[0].arg)
        body = [s for s in check.body if not _is_inert(s)]
    found: list[Assertion] = []
    for statement in body:
        try:
            assertion = assertion_of(statement.test, "") if isinstance(statement, ast.Assert) else None
        except ValueError:
            return []
        if assertion is None or assertion.entry_point not in names:
            return []
        found.append(assertion)
    return found


def _is_inert(statement: ast.stmt) -> bool:
    """A docstring, `pass`, an import of what the assertion forms know, or HumanEval's METADATA."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Import):
        return all(alias.name == "math" and alias.asname is None for alias in statement.names)
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "math" and all(a.name == "isclose" and a.asname is None for a in statement.names)
    is_metadata = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "METADATA"
    return isinstance(statement, ast.Pass) or is_metadata


def _calls_check(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check"


def _marked(tree: ast.Module, check: ast.FunctionDef | None) -> TestPlan:
    count = 0

    def mark(body: list[ast.stmt]) -> list[ast.stmt]:
        nonlocal count
        marked: list[ast.stmt] = []
        for statement in body:
            if not _can_fail(statement) or (check is not None and _calls_check(statement)):
                marked.append(statement)
                continue
            call = ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(count)], [])
            marked.append(ast.With([ast.withitem(call)], [statement]))
            count += 1
        return marked

    if check is not None:
        check.body = mark(check.body)
        if not any(map(_calls_check, tree.body)):
            tree.body.append(ast.parse(f"check({CANDIDATE})").body[0])
    tree.body = mark(tree.body)
    if count == 0:
        raise ValueError("test_code has no tests: no statement in it can fail")
    return TestPlan([], ast.unparse(ast.fix_missing_locations(tree)), count)


def _can_fail(statement: ast.stmt) -> bool:
    """An assert or raise in it, or a bare call, as of a helper that asserts."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return True
    return not isinstance(statement, _SCOPES) and any(
        isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(statement)
    )


def _refuse_what_needs_one_process(tree: ast.Module, entry_point: str) -> None:
    names = {entry_point, CANDIDATE}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "check" and node.args.args:
            names.add(node.args.args[0].arg)
    local = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            raise ValueError(f"{ast.unparse(node)} looks into the candidate, which needs one process (trust: weak)")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if isinstance(argument, ast.Lambda | ast.GeneratorExp | ast.Await) or _names(argument) & (
                    local | names
                ):
                    raise ValueError(f"{ast.unparse(node)[:80]} hands over code, which needs one process (trust: weak)")
    unknown = sorted(_free_names(tree) - names)
    if unknown:
        raise ValueError(
            f"test_code uses {', '.join(unknown)}, which it does not define (trust: weak, or define it there)"
        )


def _names(node: ast.expr) -> set[str]:
    """A name that is handed over as it is, alone or in a display."""
    items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return {item.id for item in items if isinstance(item, ast.Name)}


def _free_names(tree: ast.Module) -> set[str]:
    loaded: set[str] = set()
    bound = set(dir(builtins)) | {"__name__"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (loaded if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return loaded - bound
