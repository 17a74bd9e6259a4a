"""The text view of sampled ids: cutting at stop strings, and text that grows token by token. Pure."""

from collections.abc import Callable

BROKEN = "\ufffd"
"""What a decoder writes for bytes that are not (yet) a character."""


def cut_at_stop(text: str, stops: tuple[str, ...]) -> str:
    """`text` up to the stop string that is complete first: where sampling one character at a time would end."""
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return text[: min(found)[1]] if found else text


class GrowingText:
    """The text of a completion whose tokens arrive one by one.

    Held back: bytes of an unfinished character, and an end that may turn out to begin a stop string.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: tuple[str, ...]) -> None:
        self._decode, self._stops = decode, stops
        self._hold = max(map(len, stops), default=1) - 1
        self._ids: list[int] = []
        self._context, self._read = 0, 0
        """Ids from `_context` on are decoded together; those before `_read` have been turned into text."""
        self._pending = ""
        self._is_cut = False

    def add(self, token_id: int, is_last: bool) -> str:
        """The text that can be shown after this token and could not before."""
        self._ids.append(token_id)
        shown_before = self._decode(self._ids[self._context : self._read])
        shown_now = self._decode(self._ids[self._context :])
        if is_last or not shown_now.endswith(BROKEN):
            self._pending += shown_now[len(shown_before) :]
            self._context, self._read = self._read, len(self._ids)
        return self._take(is_last)

    def _take(self, is_last: bool) -> str:
        if self._is_cut:
            return ""
        cut = cut_at_stop(self._pending, self._stops)
        if len(cut) < len(self._pending):
            self._is_cut = True
            return cut
        keep = 0 if is_last else self._hold
        ready = len(self._pending) - keep
        if ready <= 0:
            return ""
        shown, self._pending = self._pending[:ready], self._pending[ready:]
        return shown
