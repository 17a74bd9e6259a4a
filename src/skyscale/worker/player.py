"""One group from ticket to finish.

- A group is finished whole or not at all; one that cannot be is abandoned with an event and its slot expires on the
  server. A failure of ours never becomes a reward.
- The control plane judges and stores in one call, so no reward ever passes through this process.
- Generation stops being retried when the ticket expires; the finish is retried for longer, because what was played is
  worth keeping and the server decides whether it still counts.
"""

import sys
import time
from collections.abc import Callable

from pydantic import ValidationError

from skyscale.errors import Gone, ProtocolError, SkyscaleError
from skyscale.sdk.jobs import AsyncJobClient
from skyscale.telemetry import traces
from skyscale.telemetry.traces import Stage
from skyscale.wire.batches import GroupFinish, PlayedEpisode
from skyscale.wire.episodes import MAX_CODE_CHARS, GroupTicket, Purpose
from skyscale.wire.runs import EventCreate, RunSpec
from skyscale.worker.extract import extract_code
from skyscale.worker.generation import Completion, Generation, chat_call
from skyscale.worker.meter import Meter
from skyscale.worker.policy_link import PolicyLink
from skyscale.worker.turns import TurnPlayer, is_by_turns


class Player:
    """Plays the groups of one run."""

    def __init__(self, client: AsyncJobClient, policy: PolicyLink, meter: Meter, *, spec: RunSpec) -> None:
        self._client = client
        self._policy = policy
        self._meter = meter
        self._run_id = spec.run_id
        self._model = spec.base_model
        self._is_synchronous = spec.mode == "synchronous"
        self._turns = TurnPlayer(client, policy, meter, spec=spec)
        self.component = "worker"

    async def play(self, ticket: GroupTicket, expires_at: float, on_sampled: Callable[[], None]) -> None:
        """Play and push the group, or abandon it. `expires_at` is in monotonic seconds.

        `on_sampled` is called once, when the policy server has done its part or failed.
        """
        began_ns = time.time_ns() if traces.recorder is not None else 0
        try:
            if is_by_turns(ticket):
                await self._turns.play(ticket, expires_at, on_sampled)
                self._trace(ticket, began_ns)
                return
            try:
                generation = await self._sample(ticket, expires_at)
            finally:
                on_sampled()
            self._trace(ticket, began_ns)
            await self._finish(ticket, generation)
        except Gone:
            self._meter.abandoned += 1  # the run or the ticket has ended: nobody misses the group
        except SkyscaleError as error:
            self._meter.abandoned += 1
            self._trace(ticket, began_ns, error.detail)
            await self._tell_abandoned(ticket, error)

    def _trace(self, ticket: GroupTicket, began_ns: int, error: str = "") -> None:
        if traces.recorder is not None and began_ns:
            traces.recorder.record(
                Stage.ROLLOUT,
                ticket.group_id,
                began_ns,
                error=error,
                episodes=ticket.group_size,
                version=ticket.version,
            )

    async def _sample(self, ticket: GroupTicket, expires_at: float) -> Generation:
        is_exact = self._is_synchronous or ticket.purpose is Purpose.EVAL
        call = chat_call(ticket, self._model, min_version=ticket.version if is_exact else ticket.min_version)
        started = time.monotonic()
        generation = await self._policy.send(call, expires_at)
        self._meter.sampled(time.monotonic() - started)
        return generation

    async def _finish(self, ticket: GroupTicket, generation: Generation) -> None:
        generated = time.monotonic()
        finished = await self._client.finish(ticket.group_id, _played(generation, ticket.submission))
        self._meter.finished(trajectories=len(finished.rewards), sandbox_s=time.monotonic() - generated)

    async def _tell_abandoned(self, ticket: GroupTicket, error: SkyscaleError) -> None:
        message = f"gave up group {ticket.group_id} of problem {ticket.problem_id}: {error.detail}"
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - the job's log
        event = EventCreate(
            component=self.component,
            level="warning",
            kind="group.abandoned",
            message=message[:4000],
            data={"group_id": ticket.group_id, "code": error.code, "hint": error.hint},
        )
        try:
            await self._client.event(self._run_id, event)
        except SkyscaleError as unheard:
            print(f"the event could not be sent: {unheard}", file=sys.stderr, flush=True)  # noqa: T201 - the job's log


def _played(generation: Generation, submission: str) -> GroupFinish:
    try:
        return GroupFinish(
            prompt_ids=generation.prompt_ids, episodes=[_episode(each, submission) for each in generation.completions]
        )
    except ValidationError as error:
        raise ProtocolError(f"the group cannot be recorded: {error.errors()[0]['msg']}") from error


def _submitted(text: str, submission: str) -> str:
    if submission == "text":
        return text[-MAX_CODE_CHARS:]  # the answer is at the end
    # The environment refuses longer programs, and the length penalty makes any program of this size worth 0 anyway.
    return extract_code(text)[:MAX_CODE_CHARS]


def _episode(completion: Completion, submission: str) -> PlayedEpisode:
    return PlayedEpisode(
        code=_submitted(completion.text, submission),
        text=completion.text,
        completion_ids=completion.token_ids,
        logprobs=completion.logprobs,
        versions=completion.versions,
        is_truncated=completion.is_truncated,
    )
