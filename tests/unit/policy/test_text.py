"""The text view: what a stream shows is exactly what the whole reply says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.policy.duty import Rates
from skyscale.policy.engine import EngineStats
from skyscale.policy.openai_requests import ChatBody
from skyscale.policy.text import GrowingText, cut_at_stop


def decode(ids: list[int]) -> str:
    """Every id is a byte: many characters take several tokens."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(
    st.text(alphabet="ab\nc€😀", max_size=30), st.lists(st.text(alphabet="ab\n€", min_size=1, max_size=3), max_size=3)
)
def test_growing_text_adds_up_to_the_text_cut_at_its_stop(text: str, stops: list[str]) -> None:
    ids = list(text.encode())
    growing = GrowingText(decode, tuple(stops))
    shown = "".join(growing.add(token, i == len(ids) - 1) for i, token in enumerate(ids))
    assert shown == cut_at_stop(text, tuple(stops))


def test_half_a_character_is_held_back_until_it_is_whole_or_final() -> None:
    euro = list("€".encode())
    growing = GrowingText(decode, ())
    assert [growing.add(token, False) for token in euro] == ["", "", "€"]
    assert growing.add(euro[0], True) == "\ufffd"


def test_rates_cover_the_time_between_two_reports() -> None:
    def stats(tokens: int, idle_s: float) -> EngineStats:
        return EngineStats(
            version=1, running=2, waiting=3, prompt_tokens=0, generated_tokens=tokens, steps=0, swaps=1,
            failed_swaps=0, busy_s=0.0, idle_s=idle_s,
        )  # fmt: skip

    times = iter([10.0, 12.0, 20.0])
    rates = Rates(lambda: next(times))
    assert "tokens_per_s" not in rates.since_last(stats(100, 1.0))
    second = rates.since_last(stats(700, 1.5))
    assert (second["tokens_per_s"], second["idle_share"], second["running"]) == (300.0, 0.25, 2.0)
    third = rates.since_last(stats(700, 7.5))
    assert (third["idle_share"], third["total_idle_share"]) == (0.75, 0.65)


@pytest.mark.parametrize("neutral", [{"top_p": 1.0}, {"top_k": -1}, {"presence_penalty": 0}, {"logit_bias": {}}])
def test_neutral_values_of_refused_fields_are_accepted(neutral: dict) -> None:
    ChatBody.model_validate({"model": "m", "messages": [{"role": "user", "content": "x"}], **neutral})
