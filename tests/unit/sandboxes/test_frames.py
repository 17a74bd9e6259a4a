"""Frames from a hostile sender."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.sandboxes.frames import FrameReader, FrameViolation
from skyscale.sandboxes.sandbox import CallStatus


def framed(text: str) -> bytes:
    payload = text.encode()
    return len(payload).to_bytes(4, "big") + payload


def test_frames_are_cut_wherever_the_bytes_are_split() -> None:
    data = framed("ready\nok\n\n{}") + framed("call\nexception\nKey\x07Error\nv\nw")
    reader = FrameReader()
    reader.max_frames = 2
    frames = [frame for byte in data for frame in reader.feed(bytes([byte]))]
    assert [(f.kind, f.status, f.detail, f.value) for f in frames] == [
        ("ready", CallStatus.OK, "", "{}"),
        ("call", CallStatus.EXCEPTION, "Key?Error", "v\nw"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        framed("call\ntimeout\n\n"),
        framed("call\npassed\n\n"),
        framed("verdict\nok\n\n"),
        framed("call\nok"),
        b"\0\0\0\2\xff\xff",
        (2**31).to_bytes(4, "big"),
        framed("call\nok\n\n1") * 2,
    ],
)
def test_what_is_not_in_the_vocabulary_is_a_violation(data: bytes) -> None:
    with pytest.raises(FrameViolation):
        FrameReader().feed(data)


@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=6),
    st.lists(st.integers(min_value=0, max_value=400), max_size=5),
)
def test_pieces_of_any_size_give_the_same_frames(values: list[str], cuts: list[int]) -> None:
    data = b"".join(framed(f"call\nok\n\n{value}") for value in values)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = FrameReader()
    reader.max_frames = len(values)
    frames = [frame for a, b in pairwise(places) for frame in reader.feed(data[a:b])]
    assert [frame.value for frame in frames] == values


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_can_do_more_than_violate(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            reader.feed(piece)
    except FrameViolation:
        return


def test_the_sum_of_all_results_is_bounded() -> None:
    reader = FrameReader()
    reader.max_value, reader.max_frames = 2**20, 100
    with pytest.raises(FrameViolation, match="bytes of results"):
        for _ in range(20):
            reader.feed(framed("call\nok\n\n" + "x" * 2**20))
