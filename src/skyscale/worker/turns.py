"""A group that is played by turns, from its first messages to its push.

    open -> G answers to one prompt -> turn -> those that go on: prompt + answer + what they were told -> turn -> ...

- All episodes take their turn together; one that is over waits for the others only with its memory.
- An episode that has no room left in the model's context, or whose time is up, ends as truncated with what it has.
- A failure of ours, or an environment that is lost, raises: the caller gives the whole group up.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from pydantic import ValidationError

from skyscale.errors import BadRequest, ProtocolError, SkyscaleError
from skyscale.sdk.jobs import AsyncJobClient
from skyscale.wire.batches import GroupPush
from skyscale.wire.episodes import MAX_CODE_CHARS, GroupTicket, Purpose
from skyscale.wire.runs import RunSpec
from skyscale.wire.turns import GroupTurn
from skyscale.worker.extract import extract_code
from skyscale.worker.generation import chat_call, continuation_call
from skyscale.worker.meter import Meter
from skyscale.worker.policy_link import PolicyLink
from skyscale.worker.talk import Talk


def is_by_turns(ticket: GroupTicket) -> bool:
    """Whether a group takes more than one program, judged once."""
    return ticket.max_turns > 1 or ticket.environment != "code"


class TurnPlayer:
    """Plays such groups of one run."""

    def __init__(self, client: AsyncJobClient, policy: PolicyLink, meter: Meter, *, spec: RunSpec) -> None:
        self._client = client
        self._policy = policy
        self._meter = meter
        self._run_id = spec.run_id
        self._model = spec.base_model
        self._timeout_s = spec.environment.episode_timeout_s
        self._is_synchronous = spec.mode == "synchronous"

    async def play(self, ticket: GroupTicket, expires_at: float, on_sampled: Callable[[], None]) -> None:
        """Play and push the group; `on_sampled` is called once, when the policy server is not needed any more.

        Raises:
            SkyscaleError: the group cannot be finished.
        """
        began = time.monotonic()
        is_held = ticket.environment in ("python", "http")
        try:
            try:
                talks, sandbox_s = await self._talk(ticket, expires_at, is_held=is_held)
            finally:
                on_sampled()
        except SkyscaleError:
            await self._close(ticket, is_held=is_held)
            raise
        played = time.monotonic()
        self._meter.sampled(played - began - sandbox_s)
        self._meter.talked([talk.turns for talk in talks])
        await self._client.push(self._group(ticket, talks))
        await self._close(ticket, is_held=is_held)
        self._meter.finished(trajectories=len(talks), sandbox_s=sandbox_s + time.monotonic() - played)

    async def _talk(self, ticket: GroupTicket, expires_at: float, *, is_held: bool) -> tuple[list[Talk], float]:
        """The finished episodes, and the seconds that were spent waiting for the environment."""
        until, sandbox_s = min(expires_at, time.monotonic() + self._timeout_s), 0.0
        if is_held:
            opened = time.monotonic()
            opening = await self._client.open_group(ticket.group_id, retry_for_s=max(0.0, until - opened))
            ticket, sandbox_s = ticket.model_copy(update={"messages": opening.messages}), time.monotonic() - opened
        talks = active = await self._first_answers(ticket, expires_at)
        for turn in range(ticket.max_turns):
            asked = time.monotonic()
            await self._judge(ticket, turn, active, expires_at)
            sandbox_s += time.monotonic() - asked
            active = [talk for talk in active if not talk.is_over]
            if not active:
                break
            for talk in active if time.monotonic() > until else ():
                talk.is_cut = True
            active = [talk for talk in active if not talk.is_over]
            await asyncio.gather(*(self._continue(ticket, talk, turn + 1, expires_at) for talk in active))
            active = [talk for talk in active if not talk.is_over]
        return talks, sandbox_s

    async def _close(self, ticket: GroupTicket, *, is_held: bool) -> None:
        # What is not closed here ends with the session's own time.
        if is_held:
            with suppress(SkyscaleError):
                await self._client.close_group(ticket.group_id, retry_for_s=0.0)

    async def _first_answers(self, ticket: GroupTicket, expires_at: float) -> list[Talk]:
        call = chat_call(ticket, self._model, min_version=self._min_version(ticket))
        generation = await self._policy.send(call, expires_at)
        talks = [Talk(index, generation.prompt_ids) for index in range(len(generation.completions))]
        for talk, completion in zip(talks, generation.completions, strict=True):
            talk.answered(completion)
        return talks

    async def _judge(self, ticket: GroupTicket, turn: int, active: list[Talk], expires_at: float) -> None:
        if not active:
            return
        actions = [talk.action(_program(ticket, talk)) for talk in active]
        left_s = max(0.0, expires_at - time.monotonic())
        reply = await self._client.turn(ticket.group_id, GroupTurn(turn=turn, actions=actions), retry_for_s=left_s)
        if [result.episode for result in reply.results] != [talk.index for talk in active]:
            raise ProtocolError(f"{len(active)} answers came back with {len(reply.results)} results")
        for talk, result in zip(active, reply.results, strict=True):
            talk.judged(result)

    async def _continue(self, ticket: GroupTicket, talk: Talk, turn: int, expires_at: float) -> None:
        assert talk.result is not None, "an episode goes on after a result"
        call = continuation_call(
            ticket,
            self._model,
            talk.all_ids,
            talk.result.observation,
            seed=_seed(ticket.seed, talk.index, turn),
            min_version=self._min_version(ticket),
        )
        try:
            generation = await self._policy.send(call, expires_at)
        except BadRequest as error:
            if error.code != "context_length_exceeded":
                raise
            talk.is_cut = True
            return
        talk.told(generation.prompt_ids)
        talk.answered(generation.completions[0])

    def _min_version(self, ticket: GroupTicket) -> int:
        return ticket.version if self._is_synchronous or ticket.purpose is Purpose.EVAL else ticket.min_version

    def _group(self, ticket: GroupTicket, talks: list[Talk]) -> GroupPush:
        try:
            return GroupPush(
                run_id=self._run_id,
                group_id=ticket.group_id,
                problem_id=ticket.problem_id,
                prompt_ids=talks[0].prompt_ids,
                trajectories=[
                    talk.trajectory(f"{ticket.group_id}.{talk.index}", _program(ticket, talk) or _text(talk))
                    for talk in talks
                ],
            )
        except ValidationError as error:
            raise ProtocolError(f"the group cannot be recorded: {error.errors()[0]['msg']}") from error


def _program(ticket: GroupTicket, talk: Talk) -> str:
    return extract_code(_text(talk))[:MAX_CODE_CHARS] if ticket.environment == "code" else ""


def _text(talk: Talk) -> str:
    return talk.answer.text if talk.answer is not None else ""


def _seed(group_seed: int, index: int, turn: int) -> int:
    """The seed of one answer, in [0, 2**31)."""
    return int.from_bytes(sha256(f"{group_seed}.{index}.{turn}".encode()).digest()[:4]) >> 1
