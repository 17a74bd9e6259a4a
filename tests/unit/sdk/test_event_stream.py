"""Server-sent events in, events out."""

import pytest

from skyscale.errors import ProtocolError
from skyscale.sdk.event_stream import EventStreamParser


def line(seq: int) -> str:
    return (
        f'data: {{"seq":{seq},"timestamp":"2026-01-01T00:00:00Z","run_id":"rl-1","component":"trainer",'
        f'"level":"info","kind":"k","message":"m{seq}","data":{{}}}}'
    )


def test_an_event_is_complete_at_the_blank_line():
    parser = EventStreamParser()
    assert [parser.feed(each) for each in ("retry: 1000", "", "id: 4", "event: k", line(4))] == [None] * 5
    event = parser.feed("")
    assert event is not None
    assert (event.seq, event.message, parser.last_id) == (4, "m4", "4")


def test_comments_are_silent_and_events_seen_before_are_dropped():
    parser = EventStreamParser(after=4)
    assert [parser.feed(each) for each in (": still here", "", line(4), "")] == [None] * 4


def test_half_an_event_does_not_survive_a_reconnection():
    parser = EventStreamParser()
    parser.feed(line(1)[:40])
    parser.reconnected()
    parser.feed(line(2))
    event = parser.feed("")
    assert event is not None
    assert event.seq == 2


def test_other_data_is_a_protocol_error():
    parser = EventStreamParser()
    parser.feed("data: hello")
    with pytest.raises(ProtocolError):
        parser.feed("")
