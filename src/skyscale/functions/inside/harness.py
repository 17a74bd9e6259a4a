"""Sent into a function's sandbox as its program: imports the deployed module, calls the entry, leaves the result.

- Request on stdin: {"entry", "style", "input", "layer"}. Result in the file `.result.json` of the working directory:
  {"ok": value} or {"error", "traceback"}; no file when the code ended the process itself.
- The module says `import skyscale` when it was deployed with the SDK: here that name is a small stand-in, whose
  decorators mark and change nothing. There is no way out of a sandbox, so `.remote()` says so.
- Standard library only; what is slow to import is imported when it is needed.
"""

from __future__ import annotations

import json
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing `typing` would cost each call milliseconds
    from typing import Any

RESULT = ".result.json"
NO_SPACE = 74
"""The exit code for a result that could not be written."""


class _Anything:
    """Takes every call and attribute, and gives itself: the description of an image is of no use here."""

    def __call__(self, *args: Any, **kwargs: Any) -> _Anything:
        return self

    def __getattr__(self, name: str) -> _Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _App:
    def __init__(self, name: str = "", **_: Any) -> None:
        self.name = name

    def function(self, function: Any = None, **_: Any) -> Any:
        return _decorated(function)

    def cls(self, cls: Any = None, **_: Any) -> Any:
        return _decorated(cls)

    def __getattr__(self, name: str) -> Any:
        return _any_name(name)


def _decorated(target: Any) -> Any:
    return _marked if target is None else _marked(target)


def _marked(target: Any) -> Any:
    if isinstance(target, type):
        return target
    target.local = target
    target.remote = target.map = target.spawn = target.deploy = _no_way_out
    return target


def _no_way_out(*args: Any, **kwargs: Any) -> None:
    raise RuntimeError("a function cannot call another one from inside its sandbox: there is no network; use .local()")


def _as_is(target: Any = None, **_: Any) -> Any:
    return _itself if target is None or not callable(target) else target


def _itself(target: Any) -> Any:
    return target


def _enter(target: Any = None) -> Any:
    def mark(method: Any) -> Any:
        method.is_enter = True
        return method

    return mark if target is None else mark(target)


def _stand_in() -> types.ModuleType:
    module: Any = types.ModuleType("skyscale")
    module.App, module.Image = _App, _Anything()
    module.method = module.web_endpoint = _as_is
    module.enter = _enter
    # What else the file imports from us is of no use here, but must not end the import.
    module.__getattr__ = _any_name
    return module


def _any_name(name: str) -> _Anything:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Anything()


def _call(request: dict[str, Any]) -> Any:
    if request["layer"]:
        sys.path.insert(1, request["layer"])
    sys.modules["skyscale"] = _stand_in()
    import deployed  # pyright: ignore[reportMissingImports]

    sys.modules["__main__"] = deployed
    name, _, method = request["entry"].partition(".")
    target: Any = getattr(deployed, name)
    given: Any = request["input"]
    if request["style"] == "event":
        return (getattr(target(), method) if method else target)(given)
    given = {} if given is None else given
    if not _has_arguments(given):
        raise TypeError('the input of this function must be {"args": [...], "kwargs": {...}}')
    if method:
        init: dict[str, Any] = given.get("init") or {}
        target = _entered(target(*init.get("args", ()), **init.get("kwargs", {})))
        target = getattr(target, method)
    return target(*given.get("args", ()), **given.get("kwargs", {}))


def _has_arguments(given: Any) -> bool:
    return isinstance(given, dict) and given.keys() <= {"args", "kwargs", "init"}


def _entered(instance: Any) -> Any:
    members: dict[str, Any] = dict(instance.__class__.__dict__)
    for name, member in members.items():
        if getattr(member, "is_enter", False):
            getattr(instance, name)()
    return instance


def main() -> None:
    """One call."""
    request = json.load(sys.stdin)
    sys.argv = ["deployed.py"]
    try:
        result = {"ok": _call(request)}
    except MemoryError:
        sys.exit(137)
    except BaseException as error:  # noqa: BLE001  whatever the code raises is its result
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if not frame.filename.startswith("/code/")]
        text = "".join(traceback.format_list(ours)) + "".join(traceback.format_exception_only(error))
        sys.stderr.write(text)
        result = {"error": f"{type(error).__name__}: {error}"[:2000], "traceback": text[-20000:]}
    try:
        text = json.dumps(result, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the result is not JSON: {error}"[:2000]
        text = json.dumps({"error": message, "traceback": ""})
    sys.stdout.flush()
    try:
        with open(RESULT, "w", encoding="utf-8") as file:  # noqa: PTH123  pathlib takes 5 ms to import
            file.write(text)
    except OSError:
        sys.exit(NO_SPACE)


main()
