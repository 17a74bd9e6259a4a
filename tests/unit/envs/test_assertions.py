"""Test lines as data."""

import time

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
        ("assert f(set([1]), 10**3) == list(range(3))", ({1}, 1000), [0, 1, 2], (0, 1, 2)),
        ("assert f([0] * 3) == dict(a=float('inf'))", ([0, 0, 0],), {"a": float("inf")}, {"a": float("-inf")}),
        ("assert f() != 5", (), 6, 5.0),
        ("assert f() != 1", (), "1", True),
        ("assert f() != [None, 'a']", (), (None, "a"), [None, "a"]),
        ("assert f() is not None", (), 0, None),
        ("assert f() in (1, 'a')", (), "a", "b"),
        ("assert abs(f() - 2.5) < 1e-3", (), 2.5004, 2.502),
        ("assert abs(3 - f()) <= 1", (), 4, 4.1),
        ("assert abs(f() - 2) < 1", (), 2.9, 3),
        ("assert abs(f() - 2) < 1", (), 2.9, "2"),
        ("assert abs(f() - 2) < 1", (), 2.9, 2**9999),
        ("assert math.isclose(f(), 100, rel_tol=0.1)", (), 91, 80),
        ("assert isclose(1.5, f())", (), 1.5 + 1e-12, float("nan")),
        ("assert round(f(), 2) == 0.33", (), 1 / 3, 0.34),
        ("assert round(f(), 2) == 0.33", (), 1 / 3, float("inf")),
    ],
)
def test_lines_are_understood(line: str, arguments: tuple[object, ...], passes: object, fails: object) -> None:
    assertion = parse_assertion(line)
    assert (assertion.entry_point, assertion.arguments) == ("f", encode(arguments))
    assert assertion.accepts(encode(passes))
    assert not assertion.accepts(encode(fails))


def test_keywords_travel_beside_the_positional_arguments() -> None:
    assertion = parse_assertion("assert f(1, k='x') == 2")
    assert assertion.arguments == encode([(1,), {"k": "x"}])
    assert assertion.accepts("2")


def test_a_function_under_test_may_be_called_like_a_builtin() -> None:
    assert parse_assertion("assert round(2.5, 0) == 2").entry_point == "round"
    assert parse_assertion("assert isclose(1, 2)").entry_point == "isclose"
    assert parse_assertion("assert abs(f(1) - 2) < 3").entry_point == "f"


@pytest.mark.parametrize("value", ['{"f":"nan"}', "", "9" * 5000, '{"i":"0x' + "f" * 5000 + '"}', "[1]", '"1"', "1\n"])
def test_hostile_texts_are_no_numbers(value: str) -> None:
    for line in ("assert abs(f() - 1) < 5", "assert round(f(), 1) == 1.0", "assert math.isclose(f(), 1)"):
        assert not parse_assertion(line).accepts(value)


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
        ("assert f(**{'k': 1}) == 2", r"\*\*"),
        ("assert f() != [1]", "!= is for"),
        ("assert f() == 9**9**9", "not a literal"),
        ("assert f() == [0] * 10**9", "not a literal"),
        ("assert f() == range(3)", "not a literal"),
        ("assert f() == list(range(10**9))", "not a literal"),
        ("assert abs(f() - x) < 1", "not a literal"),
        ("assert sorted(f()) == [1]", "not a literal"),
        ("assert o.f(1) == 2", "plain function name"),
        ("assert 1 < f(1) < 2", "not a comparison"),
        ("assert f(1) == 2 and f(2) == 3", "not a comparison"),
        ("assert " + "(" * 5000 + "f(1) == 1", "not Python"),
    ],
)
def test_other_lines_are_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_assertion(line)


def test_a_line_is_parsed_once_unless_it_is_long() -> None:
    long = f"assert f({list(range(300))}) == 1"
    assert parse_assertion("assert f(77001) == 2") is parse_assertion("assert f(77001) == 2")
    assert parse_assertion(long) is not parse_assertion(long)
    assert parse_assertion(long) == parse_assertion(long)


@pytest.mark.parametrize("value", ["[0] * 100_000", "list(range(100_000))", "2**30_000"])
def test_a_short_line_that_states_a_large_value_is_not_kept(value: str) -> None:
    line = f"assert f({value}) == 1"
    assert parse_assertion(line) is not parse_assertion(line)
    assert parse_assertion(line) == parse_assertion(line)


@pytest.mark.parametrize(
    "line",
    [
        "assert f([[0] * 100_000] * 100_000) == 1",
        "assert f([list(range(100_000)), list(range(100_000))]) == 1",
        "assert f([0] * 60_000, [0] * 60_000) == 1",
        "assert f(a=[0] * 60_000, b=[0] * 60_000) == 1",
        "assert f(1) in ('a' * 60_000, 'b' * 60_000)",
        "assert f(set(((0,) * 60_000) + ((0,) * 60_000))) == 1",
        "assert f([{'a': 'b' * 1000}] * 1000) == 1",
    ],
)
def test_a_line_that_makes_more_than_it_may_is_refused_at_once(line: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="not a literal"):
        parse_assertion(line)
    assert time.process_time() - began < 0.5, "the first of them took 5 s to be refused"
