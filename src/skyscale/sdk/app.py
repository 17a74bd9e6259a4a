"""Functions written beside the code that calls them.

    import skyscale

    app = skyscale.App("numbers")

    @app.function(memory=128)
    def square(n):
        return n * n

    square.local(3)               # here
    square.remote(3)              # in a fresh sandbox of the control plane
    list(square.map(range(10)))   # ten of them, in order

- What is deployed is the whole file that the function stands in; there `skyscale` is a stand-in that changes nothing.
  Arguments and results are JSON. A call goes to exactly the version that this process sees.
- Nothing is sent before the first `remote`, `map` or `deploy`. What the function raises is raised as `ExecutionFailed`.
"""

import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import update_wrapper
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from skyscale.errors import Invalid, SkyscaleError
from skyscale.sdk.client import Client
from skyscale.sdk.image import Image
from skyscale.sdk.marks import enters_of, method_names, web_of
from skyscale.sdk.slugs import slug_of
from skyscale.wire.functions import (
    DeploymentCreate,
    DeploymentView,
    ExecutionStatus,
    ExecutionView,
    FunctionDeploy,
    FunctionView,
    Gpu,
    Invoke,
)

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
M = TypeVar("M", bound=BaseModel)
MAP_AT_ONCE = 16
LOOK_S = 1.0
"""Between looks at a call that the server no longer holds."""
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


class ExecutionFailed(SkyscaleError):
    """A call of a function failed; `.execution` has everything that is known of it."""

    status, code, hint = (
        500,
        "execution_failed",
        "`.execution.error_traceback` says where; `skyscale logs` what it said.",
    )

    def __init__(self, execution: ExecutionView) -> None:
        super().__init__(f"{execution.function}: {execution.error_message or execution.status.value}")
        self.execution = execution


class App:
    """A name for functions that are deployed together."""

    def __init__(self, name: str, *, client: Client | None = None) -> None:
        """`client` is the environment's (SKYSCALE_URL, the kept key) unless it is given."""
        self.name = name
        self._client = client
        self._lock = threading.Lock()
        self.targets: list[Target] = []

    @property
    def client(self) -> Client:
        """Where its functions live."""
        with self._lock:
            if self._client is None:
                self._client = Client.from_environment()
            return self._client

    def use(self, client: Client) -> None:
        """Have its functions live there."""
        with self._lock:
            self._client = client

    @overload
    def function(self, function: Callable[P, R], /) -> "Function[P, R]": ...
    @overload
    def function(
        self, function: None = None, /, *, image: Image | None = None, gpu: str | Gpu | None = None, memory: int = 256,
        timeout: float = 30.0, scaledown_window: int = 60, warm: int = 2, output_kb: int = 256,
    ) -> "Callable[[Callable[P, R]], Function[P, R]]": ...  # fmt: skip
    def function(self, function: Callable[P, R] | None = None, /, **options: Any) -> Any:
        """Make a function callable on the platform. `memory` in MB, `timeout` and `scaledown_window` in seconds."""

        def wrap(inner: Callable[P, R]) -> Function[P, R]:
            target = Target(self, inner, inner.__qualname__, options)
            target.web = web_of(inner)
            self.targets.append(target)
            return Function(target, inner)

        return wrap if function is None else wrap(function)

    @overload
    def cls(self, cls: type[C], /) -> "Class[C]": ...
    @overload
    def cls(
        self, cls: None = None, /, *, image: Image | None = None, gpu: str | Gpu | None = None, memory: int = 256,
        timeout: float = 30.0, scaledown_window: int = 60, warm: int = 2, output_kb: int = 256,
    ) -> "Callable[[type[C]], Class[C]]": ...  # fmt: skip
    def cls(self, cls: type[C] | None = None, /, **options: Any) -> Any:
        """Make the methods of a class callable that are marked with `method` or `web_endpoint`."""

        def wrap(inner: type[C]) -> Class[C]:
            targets: dict[str, Target] = {}
            for name in method_names(inner):
                targets[name] = Target(self, _body_of(inner), f"{inner.__qualname__}.{name}", options)
                targets[name].web = web_of(getattr(inner, name))
                self.targets.append(targets[name])
            if not targets:
                raise Invalid(
                    f"{inner.__name__} marks no method", hint="Use @skyscale.method() or @skyscale.web_endpoint()."
                )
            return Class(inner, targets)

        return wrap if cls is None else wrap(cls)

    def deploy(self, *, replace: bool = True) -> list[FunctionView | DeploymentView]:
        """Deploy everything; functions with `web_endpoint` get an address. Raises Invalid for what is refused."""
        return [target.deploy(replace=replace) for target in self.targets]


class Target:
    """One thing that can be called on the platform: where its code is, and as which version it was deployed."""

    def __init__(self, app: App, source: Any, entry: str, options: dict[str, Any]) -> None:
        self.app, self.entry = app, entry
        self.name = slug_of(app.name, entry)
        self.web: dict[str, Any] | None = None
        self._source, self._options = source, options
        self._lock = threading.Lock()
        self._version: str | None = None

    def deploy(self, *, replace: bool = True) -> FunctionView | DeploymentView:
        """Deploy it now, as it is in its file."""
        if self.web is None:
            view = self.app.client.functions.deploy(_valid(FunctionDeploy, {"name": self.name, **self._spec()}))
        else:
            body = {"app_name": self.app.name, "endpoint_name": self.entry, "web": self.web, "replace": replace}
            view = self.app.client.functions.create_endpoint(_valid(DeploymentCreate, body | self._spec()))
        self._version = view.version
        return view

    def invoke(self, args: Sequence[Any], kwargs: dict[str, Any], init: dict[str, Any] | None = None) -> Any:
        """Call it and wait. Raises ExecutionFailed; Invalid for arguments that are no JSON."""
        with self._lock:
            if self._version is None:
                self.deploy()
        given: dict[str, Any] = {"args": list(args), "kwargs": kwargs}
        if init is not None:
            given["init"] = init
        try:
            value = _JSON.validate_json(_JSON.dump_json(_JSON.validate_python(given)))
        except (ValidationError, PydanticSerializationError, ValueError) as error:
            raise Invalid(f"{self.entry}: its arguments are not JSON: {error}", code="not_json") from error
        view = self.app.client.functions.invoke(self.name, Invoke(input=value, version=self._version))
        while view.status in (ExecutionStatus.QUEUED, ExecutionStatus.RUNNING):
            time.sleep(LOOK_S)
            view = self.app.client.functions.execution(view.execution_id)
        if view.status is not ExecutionStatus.COMPLETED:
            raise ExecutionFailed(view)
        return view.output

    def _spec(self) -> dict[str, Any]:
        options = dict(self._options)
        image: Image = options.pop("image", None) or Image()
        gpu = options.pop("gpu", None)
        if isinstance(gpu, str):
            gpu = Gpu(model=gpu)
        if gpu is not None and image.docker_image is not None:
            gpu = gpu.model_copy(update={"docker_image": image.docker_image})
        if gpu is None and image.docker_image is not None:
            raise Invalid(f"{self.entry}: an image is for functions with `gpu=`", code="image_refused")
        spec = {"code": _file_of(self._source), "entry": self.entry, "style": "arguments", "gpu": gpu}
        return spec | {"requirements": list(image.requirements), **options}


class Function(Generic[P, R]):
    """A function that can be called here and there."""

    def __init__(self, target: Target, function: Callable[P, R]) -> None:
        self._target, self._function = target, function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `local`."""
        return self._function(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it in this process."""
        return self._function(*args, **kwargs)

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it on the platform and wait; deploys it first if this process has not. Raises ExecutionFailed."""
        return self._target.invoke(args, kwargs)

    def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call it on the platform and go on; `.result()` waits."""
        return _in_thread(lambda: self._target.invoke(args, kwargs))

    def map(self, *iterables: Iterable[Any], return_exceptions: bool = False) -> Generator[R]:
        """Call it once per item, many at once; results in the order of the items.

        With `return_exceptions` a failure stands in the place of its result instead of ending the rest.
        """
        return _map(lambda *args: self._target.invoke(args, {}), iterables, return_exceptions)

    def deploy(self) -> FunctionView | DeploymentView:
        """Deploy it now."""
        return self._target.deploy()


class Class(Generic[C]):
    """A class whose instances live for one call on the platform: made, entered, called."""

    def __init__(self, cls: type[C], targets: dict[str, Target]) -> None:
        self._cls, self._targets = cls, targets
        update_wrapper(self, cls, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> "Instance":
        """An instance of these arguments, made when it is needed."""
        return Instance(self._cls, self._targets, args, kwargs)


class Instance:
    """Has the marked methods, each with `local`, `remote`, `spawn` and `map`."""

    def __init__(self, cls: type[Any], targets: dict[str, Target], args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self._cls, self._targets, self._args, self._kwargs = cls, targets, args, kwargs
        self._lock = threading.Lock()
        self._here: Any = None

    def __getattr__(self, name: str) -> "BoundMethod":
        if name.startswith("_") or name not in self._targets:
            raise AttributeError(f"{self._cls.__name__} marks no method {name!r}")
        return BoundMethod(self, self._targets[name], name)

    def here(self) -> Any:
        """The instance in this process, entered once."""
        with self._lock:
            if self._here is None:
                made = self._cls(*self._args, **self._kwargs)
                for name in enters_of(self._cls):
                    getattr(made, name)()
                self._here = made
            return self._here

    def init(self) -> dict[str, Any]:
        """Its arguments."""
        return {"args": list(self._args), "kwargs": self._kwargs}


class BoundMethod:
    """A method of an instance."""

    def __init__(self, instance: Instance, target: Target, name: str) -> None:
        self._instance, self._target, self._name = instance, target, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As `local`."""
        return self.local(*args, **kwargs)

    def local(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in this process."""
        return getattr(self._instance.here(), self._name)(*args, **kwargs)

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Call it on the platform and wait. Raises ExecutionFailed."""
        return self._target.invoke(args, kwargs, self._instance.init())

    def spawn(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it on the platform and go on."""
        return _in_thread(lambda: self.remote(*args, **kwargs))

    def map(self, *iterables: Iterable[Any], return_exceptions: bool = False) -> Generator[Any]:
        """As `Function.map`."""
        return _map(self.remote, iterables, return_exceptions)


def _map(call: Callable[..., Any], iterables: Sequence[Iterable[Any]], keep: bool) -> Generator[Any]:
    with ThreadPoolExecutor(MAP_AT_ONCE, thread_name_prefix="skyscale-map") as threads:
        futures = [threads.submit(call, *args) for args in zip(*iterables, strict=False)]
        try:
            for future in futures:
                error = future.exception()
                if error is not None and not (keep and isinstance(error, SkyscaleError)):
                    raise error
                yield future.result() if error is None else error
        finally:
            for future in futures:
                future.cancel()


def _valid(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        named = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Invalid(f"{values['entry']}: {named}") from error


def _in_thread(call: Callable[[], R]) -> Future[R]:
    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  whoever waits for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, name="skyscale-spawn", daemon=True).start()
    return future


def _body_of(cls: type[Any]) -> Any:
    """Something that stands in the class's own file, and knows it: a class itself only knows its module's name."""
    return next((member for member in vars(cls).values() if inspect.isfunction(member)), cls)


def _file_of(source: Any) -> str:
    try:
        path = inspect.getsourcefile(source)
        return Path(path or "").read_text(encoding="utf-8")
    except (OSError, TypeError) as error:
        name = getattr(source, "__name__", source)
        raise Invalid(f"{name}: its source is in no file", code="no_source", hint="Put it into a .py file.") from error
