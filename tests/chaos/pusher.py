"""A client with a notebook: pushes single trajectories and samples them, and writes down what it was answered.

A sample without a lease consumes at once, so one whose reply is lost is lost with it: those are not counted as lost,
but none may come a second time.
"""

import threading

from skyscale.errors import SkyscaleError
from skyscale.sdk.jobs import JobClient
from skyscale.wire.batches import SampleRequest, TrajectoryPush

EVERY_S = 0.15
SAMPLE_EVERY = 7


class Pusher:
    """Works in a thread of its own until it is closed."""

    def __init__(self, url: str, run_id: str) -> None:
        self.run_id = run_id
        self.acknowledged: set[str] = set()
        self.sampled: list[str] = []
        self.refused = 0
        """Calls that were given up; none of them was acknowledged."""
        self.defects: list[str] = []
        """Answers that no fault of the world explains."""
        self._client = JobClient(url, "", "chaos", timeout_s=10.0, retry_for_s=20.0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._push, daemon=True)
        self._thread.start()

    def _push(self) -> None:
        number = 0
        while not self._is_over.wait(EVERY_S):
            number += 1
            try:
                self._push_one(f"mine-{number:05}")
                if number % SAMPLE_EVERY == 0:
                    reply = self._client.sample(SampleRequest(run_id=self.run_id, batch_size=3))
                    self.sampled += [str(each["id"]) for each in reply.trajectories]
            except SkyscaleError as error:
                self.refused += 1
                if error.status < 503 and error.code != "run_closed":
                    self.defects.append(f"{error.status} {error.code}: {error.detail}"[:300])

    def _push_one(self, trajectory_id: str) -> None:
        push = TrajectoryPush(
            run_id=self.run_id, trajectory_id=trajectory_id, problem_id="p", prompt="p", code="c", reward=0.5
        )
        reply = self._client.push(push)
        if reply.accepted + reply.duplicates == 1:
            self.acknowledged.add(trajectory_id)

    def close(self) -> None:
        """Push no more."""
        self._is_over.set()
        self._thread.join(60)
        self._client.close()
