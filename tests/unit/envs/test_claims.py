"""What environments say is read without trust, and told in plain words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.envs.claims import json_object, opening_of, stepped_of
from skyscale.envs.environment import Stepped, clipped
from skyscale.errors import EnvironmentFailure

GOOD = {"observation": "o", "reward": 0.5, "done": False, "parts": {"a": 0.5}}


def test_a_good_step_is_taken_as_it_is():
    assert stepped_of(GOOD) == Stepped("o", 0.5, False, {"a": 0.5})
    assert stepped_of(GOOD | {"reward": 1.0 + 1e-9}).reward == 1.0, "sums of floats are forgiven"
    assert stepped_of({"done": True}) == Stepped("", 0.0, True)


@pytest.mark.parametrize(
    "bad",
    [
        {"reward": float("nan")}, {"reward": float("inf")}, {"reward": "1"}, {"reward": None}, {"reward": True},
        {"reward": 1.1}, {"reward": -0.1}, {"reward": 10**400}, {"done": 1}, {"observation": 3}, {"parts": [1]},
        {"parts": {"a": "b"}}, {"parts": {str(i): 0 for i in range(40)}}, {"error": "no"},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_step_is_trouble_and_never_a_reward(bad: dict[str, object]):
    step = stepped_of(GOOD | bad)
    assert step.trouble
    assert (step.reward, step.done) == (0.0, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=11), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_anything_at_all_is_a_step_in_bounds_or_trouble(value: object):
    step = stepped_of(value)
    assert step.trouble or 0 <= step.reward <= 1


@given(json_values)
def test_anything_at_all_opens_with_messages_or_fails(value: object):
    try:
        messages = opening_of({"messages": value})
    except EnvironmentFailure:
        return
    assert all(set(message) == {"role", "content"} for message in messages)


@pytest.mark.parametrize("text", ["", "[1]", "{", "nul", "[" * 100_000, json.dumps("x")])
def test_only_json_objects_are_read(text: str):
    with pytest.raises(EnvironmentFailure):
        json_object(text)


def test_a_long_text_loses_its_middle():
    assert clipped("short", 64) == "short"
    cut = clipped("a" * 100 + "b" * 100, 64)
    assert len(cut) == 64 and cut.startswith("aaa") and cut.endswith("bbb") and "[...]" in cut
