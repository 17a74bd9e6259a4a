"""What may be deployed, what a version is, and what an end means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.errors import Invalid
from skyscale.functions import rules
from skyscale.sandboxes.workspace import CommandResult, CommandStatus
from skyscale.sdk.slugs import slug_of
from skyscale.wire.functions import ExecutionStatus, FunctionSpec


def spec(code: str = "def handler(e): ...", **more: object) -> FunctionSpec:
    return FunctionSpec.model_validate({"code": code, **more})


def test_a_version_is_everything_that_decides_what_a_call_does() -> None:
    same = {rules.version_of(spec()) for _ in range(3)}
    assert len(same) == 1
    changes = [{"memory": 512}, {"timeout": 9}, {"requirements": ["attrs"]}, {"gpu": {}}, {"output_kb": 1}]
    assert len(same | {rules.version_of(spec(**change)) for change in changes}) == 1 + len(changes)


@pytest.mark.parametrize(
    "requirement",
    ["attrs", "attrs==25.3.0", "a[b,c]>=1,<2", "zope.interface~=5.0", "Pillow != 9.*"],
)
def test_names_with_versions_are_requirements(requirement: str) -> None:
    rules.check_spec(spec(requirements=[requirement]))


@pytest.mark.parametrize(
    "requirement",
    [
        "-r /etc/passwd", "--index-url=http://x", "git+https://x/y", "./here", "/there", "a @ http://x", "a;b", "a b",
        "a\n-r x", "", "a==1 --hash=x", "../a", "~/a", "a#b",
    ],
)  # fmt: skip
def test_what_pip_could_take_for_an_option_or_a_place_is_refused(requirement: str) -> None:
    with pytest.raises(Invalid, match="requirements"):
        rules.check_spec(spec(requirements=[requirement]))


@given(st.text(max_size=60))
def test_whatever_the_code_is_it_is_taken_or_refused(code: str) -> None:
    try:
        rules.check_spec(FunctionSpec.model_construct(code=code, entry="handler", requirements=[]))
    except Invalid as error:
        assert error.code in ("bad_code", "entry_not_found")


@pytest.mark.parametrize(
    ("code", "entry"),
    [
        ("async def handler(e): ...", "handler"), ("from os import getcwd as handler", "handler"),
        ("try:\n  import a\nexcept E:\n  handler = 1", "handler"), ("handler: object = len", "handler"),
        ("class A:\n  def run(self): ...", "A.run"), ("class A(B): ...", "A.run"), ("from x import *", "handler"),
    ],
)  # fmt: skip
def test_every_way_to_define_an_entry_is_seen(code: str, entry: str) -> None:
    rules.check_spec(spec(code, entry=entry))


def test_layers_are_named_by_their_set_of_packages() -> None:
    assert rules.layer_of([], "cpython-311") is None
    assert rules.layer_of(["b", "a == 1"], "cpython-311") == rules.layer_of(["a==1", "b"], "cpython-311")
    assert rules.layer_of(["a"], "cpython-311") != rules.layer_of(["a"], "cpython-312")


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [
        (CommandStatus.TIMEOUT, 137, ExecutionStatus.TIMEOUT), (CommandStatus.MEMORY, 137, ExecutionStatus.MEMORY),
        (CommandStatus.OK, 137, ExecutionStatus.MEMORY), (CommandStatus.OK, 3, ExecutionStatus.FAILED),
        (CommandStatus.CANCELLED, 137, ExecutionStatus.LOST),
        (CommandStatus.OUTPUT_LIMIT, 137, ExecutionStatus.OUTPUT_LIMIT),
    ],
)  # fmt: skip
def test_a_call_without_a_result_says_why(status: CommandStatus, code: int, means: ExecutionStatus) -> None:
    found, message = rules.why_no_result(CommandResult(status=status, exit_code=code, duration_ms=1.0), spec())
    assert found is means
    assert message


def test_slugs_are_safe_in_an_address() -> None:
    assert slug_of("My App!", "Model.predict") == "my-app--model-predict"
    with pytest.raises(Invalid, match="app_name"):
        slug_of("!!", "x")
