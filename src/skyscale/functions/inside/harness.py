"""Sent into a function's sandbox as its program: imports the deployed module, calls the entry, leaves the result.

- Request on stdin: {"entry", "style", "input", "layer"}. Result in the file `.result.json` of the working directory:
  {"ok": value} or {"error", "traceback"}; no file when the code ended the process itself.
- The module says `import skyscale` when it was deployed with the SDK: here that name is a small stand-in, whose
  decorators mark and change nothing. There is no way out of a sandbox, so `.remote()` says so.
- Standard library only; what is slow to import is imported when it is needed.
"""

import json
import sys
import types

RESULT = ".result.json"


class _Anything:
    """Takes every call and attribute, and gives itself: the description of an image is of no use here."""

    def __call__(self, *args, **kwargs):
        return self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class _App:
    def __init__(self, name="", **_):
        self.name = name

    def function(self, function=None, **_):
        return _decorated(function)

    def cls(self, cls=None, **_):
        return _decorated(cls)

    def __getattr__(self, name):
        return _Anything() if not name.startswith("__") else _missing(name)


def _decorated(target):
    return _marked if target is None else _marked(target)


def _marked(target):
    if isinstance(target, type):
        return target
    target.local = target
    target.remote = target.map = _no_way_out
    return target


def _no_way_out(*args, **kwargs):
    raise RuntimeError("a function cannot call another one from inside its sandbox: there is no network; use .local()")


def _as_is(target=None, **_):
    return (lambda inner: inner) if target is None or not callable(target) else target


def _enter(target=None):
    def mark(method):
        method.is_enter = True
        return method

    return mark if target is None else mark(target)


def _stand_in():
    module = types.ModuleType("skyscale")
    module.App, module.Image = _App, _Anything()
    module.method = module.web_endpoint = _as_is
    module.enter = _enter
    # What else the file imports from us is of no use here, but must not end the import.
    module.__getattr__ = lambda name: _Anything() if not name.startswith("__") else _missing(name)
    return module


def _missing(name):
    raise AttributeError(name)


def _call(request):
    if request["layer"]:
        sys.path.insert(1, request["layer"])
    sys.modules["skyscale"] = _stand_in()
    import deployed

    sys.modules["__main__"] = deployed
    name, _, method = request["entry"].partition(".")
    target, given = getattr(deployed, name), request["input"]
    if request["style"] == "event":
        return (getattr(target(), method) if method else target)(given)
    if method:
        init = given.get("init") or {}
        target = _entered(target(*init.get("args", ()), **init.get("kwargs", {})))
        target = getattr(target, method)
    return target(*given.get("args", ()), **given.get("kwargs", {}))


def _entered(instance):
    for name, member in vars(type(instance)).items():
        if getattr(member, "is_enter", False):
            getattr(instance, name)()
    return instance


def main():
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
    with open(RESULT, "w", encoding="utf-8") as file:  # noqa: PTH123  pathlib takes 5 ms to import
        file.write(text)


main()
