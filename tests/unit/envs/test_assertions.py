"""Test lines as data."""

import pytest

from skyscale.envs.assertions import Expectation, parse_assertion
from skyscale.sandboxes.encoding import encode


@pytest.mark.parametrize(
    ("line", "arguments", "passes", "fails"),
    [
        ("assert f(1, 'a') == [1]", (1, "a"), [1], (1,)),
        ("assert {'k': -1} == f()", (), {"k": -1}, {"k": 1}),
        ("  assert f([1]) is None, 'message'", ([1],), None, 0),
        ("assert f(1) is True", (1,), True, 1),
        ("assert f((1,))", ((1,),), [0], []),
        ("assert not f(2.5)", (2.5,), "", "x"),
        ("assert f(1) == 0.3", (1,), 0.1 + 0.2, 0.31),
        ("assert f(1) == set()", (1,), set[int](), frozenset[int]()),
    ],
)
def test_lines_are_understood(line: str, arguments: tuple[object, ...], passes: object, fails: object) -> None:
    assertion = parse_assertion(line)
    assert (assertion.entry_point, assertion.arguments) == ("f", encode(arguments))
    assert assertion.accepts(encode(passes))
    assert not assertion.accepts(encode(fails))


def test_the_expected_value_is_apart_from_what_the_sandbox_is_told() -> None:
    assertion = parse_assertion("assert f(1) == 'secret'")
    assert assertion.expectation == Expectation.EQUAL
    assert "secret" in assertion.expected
    assert "secret" not in assertion.arguments


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("f(1) == 2", "not one assert"),
        ("assert f(1) == 2; assert f(2) == 3", "not one assert"),
        ("assert f(", "not Python"),
        ("assert f(1) < 2", "only =="),
        ("assert f(1) is 2", "is for None"),
        ("assert f(x) == 2", "not a literal"),
        ("assert f(1) == open('x')", "not a literal"),
        ("assert f(k=1) == 2", "keyword"),
        ("assert o.f(1) == 2", "plain function name"),
        ("assert 1 < f(1) < 2", "not a comparison"),
        ("assert f(1) == 2 and f(2) == 3", "not a comparison"),
        ("assert " + "-" * 5000 + "f(1) == 1", ""),
    ],
)
def test_other_lines_are_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_assertion(line)
