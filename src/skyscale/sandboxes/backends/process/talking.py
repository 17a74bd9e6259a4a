"""A `TalkingSandbox` of the process backend."""

from collections.abc import Sequence

from skyscale.sandboxes.backends.process.sandbox import ProcessSandbox
from skyscale.sandboxes.frames import Frame
from skyscale.sandboxes.programs import Programs
from skyscale.sandboxes.sandbox import CallStatus


class TalkingProcess(ProcessSandbox, Programs):
    """A process that can be one end of a proxied test."""

    @property
    def _said(self) -> Sequence[Frame]:
        return self._frames

    @property
    def _verdict(self) -> tuple[CallStatus, str] | None:
        return None if self._ended is None else (self._ended, self._end_detail)

    @property
    def _is_settled(self) -> bool:
        return self._settled.done()
