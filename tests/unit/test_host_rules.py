"""Which host takes what, and when one is given up."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from skyscale.errors import Invalid
from skyscale.hosts import rules
from skyscale.sandboxes.layers import missing, missing_needed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Load:
    slots: int
    num_judging: int
    num_free: int


def test_programs_go_where_fewest_wait_for_each_slot() -> None:
    idle_small, busy_large, idle_large = Load(2, 0, 0), Load(8, 4, 0), Load(8, 0, 0)
    assert rules.by_judging([busy_large, idle_small, idle_large]) == [idle_large, idle_small, busy_large]
    assert rules.by_judging([Load(2, 2, 0), busy_large]) == [busy_large, Load(2, 2, 0)]


def test_sandboxes_go_where_most_room_is_and_nowhere_without_room() -> None:
    assert rules.by_room([Load(1, 0, 0), Load(1, 0, 3), Load(1, 0, 9), Load(1, 0, -1)]) == [
        Load(1, 0, 9),
        Load(1, 0, 3),
    ]


def test_batches_keep_the_order_and_lose_nothing() -> None:
    for number in (0, 1, 7, 8, 9, 16, 17, 256):
        codes = [str(i) for i in range(number)]
        parts = rules.batches(codes)
        assert [code for part in parts for code in part] == codes
        assert all(1 <= len(part) <= rules.BATCH for part in parts)
    assert len(rules.batches(["x"] * 8)) == 1, "a usual group is one request"


def test_a_host_is_lost_when_it_neither_reports_nor_answers() -> None:
    def ago(seconds: float) -> datetime:
        return NOW - timedelta(seconds=seconds)

    assert not rules.is_silent(ago(rules.LOST_S - 1), NOW)
    assert rules.is_silent(ago(rules.LOST_S + 1), NOW)
    assert rules.is_lost(ago(rules.LOST_S + 1), NOW, answers=False)
    assert not rules.is_lost(ago(rules.LOST_S + 1), NOW, answers=True)
    assert rules.is_lost(ago(rules.MUTE_S + 1), NOW, answers=True)


@pytest.mark.parametrize("url", ["http://10.0.0.5:1", "http://example.org", "http://127.0.0.1.evil.example"])
def test_without_a_token_only_this_machine_is_called(url: str) -> None:
    rules.check_url(url, has_token=True)
    with pytest.raises(Invalid, match="SKYSCALE_HOST_TOKEN"):
        rules.check_url(url, has_token=False)
    rules.check_url("http://127.0.0.1:8090", has_token=False)


@pytest.mark.parametrize("url", ["http://user:pw@127.0.0.1", "http://127.0.0.1?x=1", "http://#x"])
def test_an_address_is_a_host_and_a_port_and_nothing_else(url: str) -> None:
    with pytest.raises(Invalid):
        rules.check_url(url, has_token=True)


def test_a_layer_is_missing_when_it_says_no_and_needed_unless_it_is_a_further_line() -> None:
    layers = {
        "seccomp": "no: x",
        "landlock": "no: old",
        "memory cgroup": "no",
        "python": "3.11",
        "pid namespace": "yes",
    }
    assert missing(layers) == ["landlock", "memory cgroup", "seccomp"]
    assert missing_needed(layers) == ["seccomp"]
