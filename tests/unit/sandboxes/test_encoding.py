"""The canonical text: equal values, equal texts; nothing else."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.sandboxes.encoding import MAX_DEPTH, Unsupported, decode, encode, same_value

LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
HASHABLE = st.recursive(LEAVES, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=3) | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_decoding_an_encoded_value_gives_an_equal_one_of_the_same_text(value: object) -> None:
    text = encode(value)
    assert text.isascii()
    assert decode(text) == value
    assert encode(decode(text)) == text
    assert same_value(text, encode(copy.deepcopy(value)))


@given(VALUES, VALUES)
def test_different_values_have_different_texts(first: object, second: object) -> None:
    if first != second:
        assert encode(first) != encode(second)


def test_order_of_sets_and_dicts_does_not_matter() -> None:
    assert encode({1: "a", 2: "b"}) == encode({2: "b", 1: "a"})
    assert encode(set("abcdef")) == encode(set("fedcba"))


@pytest.mark.parametrize(
    ("first", "second"), [(1, True), (1, 1.0), ((1,), [1]), ({1}, frozenset({1})), ("1", 1), (0.0, 0)]
)
def test_types_are_exact(first: object, second: object) -> None:
    assert not same_value(encode(first), encode(second))


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        (0.1 + 0.2, 0.3, True),
        ([1, 0.1 + 0.2, "x"], [1, 0.3, "x"], True),
        (0.3001, 0.3, False),
        (1e-13, 0.0, True),
        (-0.0, 0.0, True),
        (float("inf"), float("inf"), True),
        (float("inf"), 1e308, False),
        (float("nan"), float("nan"), False),
        ([0.3, 1], [0.3, 2], False),
        ('{"f":"0x1.0p+0"}', 1.0, False),
    ],
)
def test_floats_are_compared_within_tolerance(actual: object, expected: object, same: bool) -> None:
    assert same_value(encode(actual), encode(expected)) is same


def test_hostile_texts_are_compared_without_being_parsed() -> None:
    expected = encode([1.0, 2])
    for text in ("", "[" * 900_000, '{"f":"0x1.0p+99999"}', '[{"f":"0x1.0000000000000p+9999"},2]', "[NaN,2]", '{"f":'):
        assert not same_value(text, expected)


class Liar(int):
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize("value", [object(), Liar(6), len, [Liar(1)], range(3), bytearray(b"x"), {1: {2: object()}}])
def test_anything_else_has_no_text(value: object) -> None:
    with pytest.raises(Unsupported, match="unsupported type"):
        encode(value)


def test_depth_and_size_are_bounded() -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert encode(deep).count("[") == MAX_DEPTH + 1
    with pytest.raises(Unsupported, match="deeply"):
        encode([deep])
    wide: list[object] = [1]
    for _ in range(50):
        wide = [wide, wide]
    with pytest.raises(Unsupported, match="too large"):
        encode(wide, 10_000)
