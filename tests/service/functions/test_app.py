"""The App SDK end to end: functions and classes of a file, called here and on a real control plane."""

import asyncio
import os
from collections.abc import Generator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import httpx
import pytest

import skyscale
from skyscale.errors import Conflict, Invalid, NotFound
from skyscale.wire.functions import FunctionDeploy, Invoke

FILE = Path(__file__).with_name("numbers_app.py")


@pytest.fixture
def numbers(plane: str) -> Generator[ModuleType]:
    """The file, run as a user's process would, against the control plane."""
    spec = spec_from_file_location("numbers_app", FILE)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with skyscale.Client(plane) as client:
        module.app.use(client)
        yield module


def test_a_function_runs_there_as_it_runs_here(numbers: ModuleType) -> None:
    assert numbers.square(3) == numbers.square.local(3) == numbers.square.remote(3) == 9
    assert list(numbers.square.map(range(20))) == [n * n for n in range(20)]
    assert numbers.square.spawn(5).result(30) == 25
    assert numbers.where.remote()[0] == "/workspace"
    assert numbers.where.local() == [str(Path.cwd()), str(os.getpid())]
    assert numbers.nested.remote(3) == 18
    assert numbers.greet.remote("Ada") == "Hello Ada"


def test_what_it_raises_is_raised_here(numbers: ModuleType) -> None:
    with pytest.raises(skyscale.ExecutionFailed, match="nothing here") as caught:
        numbers.fails.remote()
    assert 'raise KeyError("nothing here")' in (caught.value.execution.error_traceback or "")
    with pytest.raises(Invalid, match="not JSON"):
        numbers.square.remote(object())
    with pytest.raises(skyscale.ExecutionFailed, match="TypeError"):
        numbers.square.remote(1, 2, 3)
    mixed = list(numbers.square.map([2, "x", 3], return_exceptions=True))
    assert (mixed[0], mixed[2]) == (4, 9)
    assert isinstance(mixed[1], skyscale.ExecutionFailed)


def test_a_class_is_made_entered_and_called(numbers: ModuleType) -> None:
    here, there = numbers.Counter(start=5), numbers.Counter(start=5)
    assert [here.add.local(1), here.add.local(1)] == [106, 107], "one instance in this process"
    assert [there.add.remote(1), there.add.remote(1)] == [106, 106], "one instance for each call there"
    assert list(there.add.map([1, 2])) == [106, 107]


def test_a_whole_app_is_deployed_and_its_endpoint_answers(numbers: ModuleType, http: httpx.Client) -> None:
    views = numbers.app.deploy()
    assert {getattr(view, "name", None) or view.slug for view in views} == {
        "numbers--square", "numbers--where", "numbers--greet", "numbers--nested", "numbers--fails", "numbers--double",
        "numbers--counter-add",
    }  # fmt: skip
    endpoint = next(view for view in views if hasattr(view, "url"))
    assert http.get(endpoint.url, params={"n": 21}).json() == 42


def test_what_cannot_be_deployed_is_refused_before_anything_is_sent() -> None:
    app = skyscale.App("x", client=skyscale.Client("http://127.0.0.1:9"))

    @app.function
    def inner() -> None: ...

    with pytest.raises(Invalid, match="entry"):
        inner.remote()
    with pytest.raises(Invalid, match="apt_install"):
        skyscale.Image().apt_install("gcc")
    with pytest.raises(Invalid, match="marks no method"):
        app.cls(type("Empty", (), {}))
    exec_made: dict[str, object] = {}
    exec("def f(): ...", exec_made)
    with pytest.raises(Invalid, match="no file"):
        app.function(exec_made["f"]).remote()  # type: ignore[arg-type]


async def test_the_async_client_has_the_same_calls(plane: str) -> None:
    async with skyscale.AsyncClient(plane) as client:
        deployed = await client.functions.deploy(FunctionDeploy(name="aside", code="def handler(e):\n    return e\n"))
        views = await asyncio.gather(*(client.functions.invoke("aside", Invoke(input=n)) for n in range(5)))
        assert [view.output for view in views] == [0, 1, 2, 3, 4]
        assert (await client.functions.get("aside")).version == deployed.version
        assert len((await client.functions.executions("aside")).executions) == 5
        queued = await client.functions.invoke("aside", Invoke(input=9, sync=False))
        assert queued.status in ("queued", "running")
        await client.functions.delete("aside")
        with pytest.raises(NotFound):
            await client.functions.get("aside")
        with pytest.raises(Conflict):
            await client.functions.delete(await _an_endpoint(client))


async def _an_endpoint(client: skyscale.AsyncClient) -> str:
    from skyscale.wire.functions import DeploymentCreate

    body = DeploymentCreate(app_name="kept", endpoint_name="one", code="def one():\n    return 1\n", entry="one")
    return (await client.functions.create_endpoint(body)).slug
