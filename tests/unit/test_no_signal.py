"""A run that plays for an hour and learns nothing says so, with a reason."""

from datetime import UTC, datetime, timedelta

import pytest

from skyscale.runs.no_signal import SignalWatch, explain
from skyscale.wire.batches import BufferStats

START = datetime(2026, 1, 1, tzinfo=UTC)


def stats(pushed: int, flat: int, failed: int = 0) -> BufferStats:
    return BufferStats(
        run_id="rl-test", size=0, leased=0, consumed=pushed - flat - failed, flat=flat, stale=0, failed=failed,
        groups_in_play=1, slots=4, pushed=pushed,
    )  # fmt: skip


def minutes(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_an_hour_of_equal_rewards_is_told_once_an_hour():
    watch = SignalWatch()
    assert watch.note(stats(8, 0), minutes(0)) is None
    assert watch.note(stats(40, 32), minutes(59)) is None
    assert watch.note(stats(48, 40), minutes(60)) == 40
    assert watch.note(stats(56, 48), minutes(61)) is None
    assert watch.note(stats(96, 88), minutes(120)) == 88


def test_one_group_with_a_signal_starts_the_hour_again():
    watch = SignalWatch()
    watch.note(stats(8, 8), minutes(0))
    assert watch.note(stats(24, 16), minutes(59)) is None
    assert watch.note(stats(32, 24), minutes(118)) is None
    assert watch.note(stats(32, 24), minutes(119)) == 8


def test_a_run_that_plays_nothing_or_only_fails_is_not_told_that_its_rewards_are_equal():
    watch = SignalWatch()
    watch.note(stats(8, 8), minutes(0))
    assert watch.note(stats(80, 8, failed=72), minutes(300)) is None


@pytest.mark.parametrize(
    ("reward", "advice"), [(0.0, "easier"), (1.0, "harder"), (0.5, "temperature"), (None, "mean reward unknown")]
)
def test_the_message_says_what_to_do(reward: float | None, advice: str):
    assert advice in explain(640, reward)
    assert "60 minutes" in explain(640, reward)
