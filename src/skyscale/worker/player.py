"""One group from ticket to push.

- A group is pushed whole or not at all; a group that cannot be finished is abandoned with an event and its slot
  expires on the server. A failure of ours never becomes a reward.
- Verdicts are carried as given; the one change is that a scored episode whose completion hit the token limit is
  `truncated`, which the environment cannot know.
- Generation and judging stop being retried when the ticket expires; the push is retried for longer, because what
  was played is worth keeping and the server decides whether it still counts.
"""

import sys
import time
from collections.abc import Callable

from pydantic import ValidationError

from skyscale.errors import Gone, ProtocolError, SkyscaleError
from skyscale.sdk.jobs import AsyncJobClient
from skyscale.wire.batches import GroupPush, Trajectory
from skyscale.wire.episodes import MAX_CODE_CHARS, GroupTicket, Outcome, Purpose, Verdict
from skyscale.wire.runs import EventCreate, RunSpec
from skyscale.worker.extract import extract_code
from skyscale.worker.generation import Completion, Generation, chat_call
from skyscale.worker.meter import Meter
from skyscale.worker.policy_link import PolicyLink


class Player:
    """Plays the groups of one run."""

    def __init__(self, client: AsyncJobClient, policy: PolicyLink, meter: Meter, *, spec: RunSpec) -> None:
        self._client = client
        self._policy = policy
        self._meter = meter
        self._run_id = spec.run_id
        self._model = spec.base_model
        self._is_synchronous = spec.mode == "synchronous"
        self.component = "worker"

    async def play(self, ticket: GroupTicket, expires_at: float, on_sampled: Callable[[], None]) -> None:
        """Play and push the group, or abandon it. `expires_at` is in monotonic seconds.

        `on_sampled` is called once, when the policy server has done its part or failed.
        """
        try:
            try:
                generation = await self._sample(ticket, expires_at)
            finally:
                on_sampled()
            await self._judge_and_push(ticket, generation, expires_at)
        except Gone:
            self._meter.abandoned += 1  # the run or the ticket has ended: nobody misses the group
        except SkyscaleError as error:
            self._meter.abandoned += 1
            await self._tell_abandoned(ticket, error)

    async def _sample(self, ticket: GroupTicket, expires_at: float) -> Generation:
        is_exact = self._is_synchronous or ticket.purpose is Purpose.EVAL
        call = chat_call(ticket, self._model, min_version=ticket.version if is_exact else 0)
        started = time.monotonic()
        generation = await self._policy.send(call, expires_at)
        self._meter.sampled(time.monotonic() - started)
        return generation

    async def _judge_and_push(self, ticket: GroupTicket, generation: Generation, expires_at: float) -> None:
        generated = time.monotonic()
        codes = [_submission(completion.text, ticket.submission) for completion in generation.completions]
        reply = await self._client.step(ticket.group_id, codes, retry_for_s=max(0.0, expires_at - generated))
        judged = time.monotonic()
        await self._client.push(self._group(ticket, generation, codes, reply.verdicts))
        pushed = time.monotonic()
        self._meter.finished(trajectories=len(codes), sandbox_s=judged - generated, push_s=pushed - judged)

    def _group(
        self, ticket: GroupTicket, generation: Generation, codes: list[str], verdicts: list[Verdict]
    ) -> GroupPush:
        if len(verdicts) != len(codes):
            raise ProtocolError(f"{len(codes)} programs came back with {len(verdicts)} verdicts")
        episodes = enumerate(zip(generation.completions, codes, verdicts, strict=True))
        try:
            return GroupPush(
                run_id=self._run_id,
                group_id=ticket.group_id,
                problem_id=ticket.problem_id,
                prompt_ids=generation.prompt_ids,
                trajectories=[trajectory(f"{ticket.group_id}.{index}", *parts) for index, parts in episodes],
            )
        except ValidationError as error:
            raise ProtocolError(f"the group cannot be recorded: {error.errors()[0]['msg']}") from error

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


def _submission(text: str, kind: str) -> str:
    if kind == "text":  # the answer is at the end
        return text[-MAX_CODE_CHARS:]
    # The environment refuses longer programs, and the length penalty makes any program of this size worth 0 anyway.
    return extract_code(text)[:MAX_CODE_CHARS]


def trajectory(episode_id: str, completion: Completion, code: str, verdict: Verdict) -> Trajectory:
    """The record of one episode."""
    is_cut = completion.is_truncated and verdict.outcome is Outcome.SCORED
    return Trajectory(
        episode_id=episode_id,
        code=code,
        text=completion.text,
        completion_ids=completion.token_ids,
        logprobs=completion.logprobs,
        versions=completion.versions,
        reward=verdict.reward,
        outcome=Outcome.TRUNCATED if is_cut else verdict.outcome,
        passed_tests=verdict.passed_tests,
        total_tests=verdict.total_tests,
    )
