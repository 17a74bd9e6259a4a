"""Server-sent events (WHATWG HTML, section 9.2) as far as the control plane uses them. Pure.

Lines go in, events come out at each blank line. `last_id` is what `Last-Event-ID` must carry after a reconnection.
"""

from pydantic import ValidationError

from skyscale.errors import ProtocolError
from skyscale.wire.runs import Event


class EventStreamParser:
    """Turns the lines of one or more successive streams into events, each `seq` once and rising."""

    def __init__(self, after: int = 0) -> None:
        self.last_seq = after
        self._data: list[str] = []

    @property
    def last_id(self) -> str:
        """The value of `Last-Event-ID` for the next connection."""
        return str(self.last_seq)

    def reconnected(self) -> None:
        """Forget a half-received event of the connection that broke."""
        self._data.clear()

    def feed(self, line: str) -> Event | None:
        """The event that this line completes, if it does and it is a new one. Raises ProtocolError for other data."""
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            return None
        text, self._data = "\n".join(self._data), []
        return self.take(self._read(text)) if text else None

    def take(self, event: Event) -> Event | None:
        """The event, unless it was seen before."""
        if event.seq <= self.last_seq:
            return None
        self.last_seq = event.seq
        return event

    def _read(self, text: str) -> Event:
        try:
            return Event.model_validate_json(text)
        except ValidationError as error:
            raise ProtocolError("the event stream carried something that is not an event") from error
