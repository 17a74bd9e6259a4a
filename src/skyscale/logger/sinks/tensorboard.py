"""TensorBoard event files, written by the `tensorboard` package alone: no TensorFlow, no torch."""

from collections.abc import Mapping
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from skyscale.logger.sink import Place

FLUSH_S = 5
# Generated at import, which a type checker cannot see.
_EVENTS: Any = event_pb2
_SUMMARIES: Any = summary_pb2


class TensorBoardSink:
    """One event file in the run's folder; a restarted logger adds another, which TensorBoard reads as one."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._writer: Any = EventFileWriter(str(place.folder), flush_secs=FLUSH_S)

    def scalars(self, step: int, at_s: float, values: Mapping[str, float]) -> None:
        """See `Sink.scalars`."""
        entries = [_SUMMARIES.Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        summary = _SUMMARIES.Summary(value=entries)
        self._writer.add_event(_EVENTS.Event(wall_time=at_s, step=step, summary=summary))

    def where(self) -> str:
        """See `Sink.where`."""
        return f"tensorboard --logdir {self._folder}"

    def close(self) -> None:
        """See `Sink.close`."""
        self._writer.close()
