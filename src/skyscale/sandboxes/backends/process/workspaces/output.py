"""The output of one command: two pipes that are read as bytes come, up to a limit each."""

import asyncio
import os
from collections.abc import Callable
from typing import Literal

from skyscale.sandboxes.workspace import CommandStatus, OutputSink

_CHUNK = 65536
_NAMES: tuple[Literal["stdout"], Literal["stderr"]] = ("stdout", "stderr")


class Output:
    """Reads stdout and stderr, passes them on, and asks for the command's end when there is too much."""

    def __init__(self, limit: int, sink: OutputSink, end_for: Callable[[CommandStatus, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit, self._sink, self._end_for = limit, sink, end_for
        self._left: dict[int, int] = {}
        self._names: dict[int, Literal["stdout", "stderr"]] = {}
        self.child_ends: list[int] = []
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when a limit was passed."""
        for name in _NAMES:
            reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            os.set_blocking(writing, True)
            self._left[reading], self._names[reading] = limit, name
            self.child_ends.append(writing)
            self._loop.add_reader(reading, self._read, reading)

    def close_child_ends(self) -> None:
        """The child has them now; ours would keep the pipes open."""
        for descriptor in self.child_ends:
            os.close(descriptor)
        self.child_ends = []

    def drain(self) -> None:
        """Read what lies in the pipes after the last writer has gone."""
        for descriptor in list(self._left):
            while self._read(descriptor):
                continue

    def _read(self, descriptor: int) -> bool:
        """Pass one piece on; False when there is none now or none ever again."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(descriptor)
            return False
        left = self._left[descriptor]
        if data[:left]:
            self._sink(self._names[descriptor], data[:left])
        self._left[descriptor] = left - len(data[:left])
        if len(data) > left:
            self._loop.remove_reader(descriptor)
            self._end_for(CommandStatus.OUTPUT_LIMIT, f"more than {self._limit} bytes of {self._names[descriptor]}")
            if not self.ended.done():
                self.ended.set_result(None)
            return False
        return True

    def close(self) -> None:
        """Give the pipes back."""
        self.close_child_ends()
        for descriptor in self._left:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._left = {}
