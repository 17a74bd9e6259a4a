"""Environments that are held open between the turns of a group: bounded in number and in time.

- A session ends when all its episodes have, when its group is closed, or when its time is up; never later.
- Its turns are numbered: the newest one, asked again, is answered as before, and any other number is refused.
- They live in this process. After a restart their groups cannot go on and are given up; their tickets expire.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from skyscale.envs.environment import Session, Stepped, Task
from skyscale.errors import Conflict, TooMany
from skyscale.wire.turns import Action, GroupTurn

GRACE_S = 30.0
"""Beyond an episode's own time: the worker decides first that it is over."""


@dataclass(slots=True)
class Play:
    """A group's session and where it stands."""

    session: Session
    opening: list[dict[str, str]]
    totals: list[float]
    """Reward of each episode so far."""
    ended: set[int]
    turn: int = -1
    """The newest one that was played."""
    actions: list[Action] = field(default_factory=list[Action])
    steps: list[Stepped] = field(default_factory=list[Stepped])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    timer: asyncio.TimerHandle | None = None


class Sessions:
    """The sessions of this control plane, by group."""

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._plays: dict[str, Play] = {}
        self._opening: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(
        self, group_id: str, make: Callable[[], Session], task: Task, num_episodes: int, life_s: float
    ) -> list[dict[str, str]]:
        """Begin a group, and end what was left of an earlier attempt at it; the messages that it begins with.

        Raises:
            TooMany: as many as may be are open. EnvironmentFailure, SandboxFailure: it cannot begin.
        """
        known = self._plays.get(group_id)
        if known is not None and known.turn < 0:
            return known.opening
        if known is not None:
            await self.close(group_id)
        if self.num_open + len(self._opening) >= self._max_open or group_id in self._opening:
            raise TooMany(f"{self._max_open} environments are open", retry_after_s=0.5)
        self._opening.add(group_id)
        session = make()
        try:
            opening = await session.reset(task, num_episodes)
        except BaseException:
            await session.close()
            raise
        finally:
            self._opening.discard(group_id)
        play = Play(session, opening, [0.0] * num_episodes, set())
        play.timer = asyncio.get_running_loop().call_later(life_s + GRACE_S, self._expire, group_id, play)
        self._plays[group_id] = play
        return opening

    async def step(self, group_id: str, body: GroupTurn, max_turns: int) -> tuple[list[Stepped], list[float]]:
        """One turn, played once however often it is asked: what came of each action, and its episode's sum.

        Raises:
            Conflict: `session_lost`, there is none or it is at another turn.
            EnvironmentFailure, SandboxFailure: it broke and is closed.
        """
        play = self._plays.get(group_id)
        if play is None:
            raise _lost(group_id)
        async with play.lock:
            if (play.turn, play.actions) != (body.turn, body.actions):
                await self._step(group_id, play, body, max_turns)
        return play.steps, [play.totals[action.episode] for action in body.actions]

    async def _step(self, group_id: str, play: Play, body: GroupTurn, max_turns: int) -> None:
        episodes = [action.episode for action in body.actions]
        is_playable = len(set(episodes)) == len(episodes) and max(episodes) < len(play.totals)
        if body.turn != play.turn + 1 or not is_playable or play.ended & set(episodes):
            raise _lost(group_id)
        try:
            steps = await play.session.step([(action.episode, action.text) for action in body.actions])
        except BaseException:
            await self.close(group_id)
            raise
        play.turn, play.actions, play.steps = body.turn, body.actions, steps
        for action, step in zip(body.actions, steps, strict=True):
            play.totals[action.episode] += step.reward
            if step.done or step.trouble or action.is_truncated or body.turn + 1 >= max_turns:
                play.ended.add(action.episode)
        if len(play.ended) == len(play.totals):
            self._release(play)

    async def close(self, group_id: str) -> None:
        """End a group's session, if there is one."""
        play = self._plays.pop(group_id, None)
        if play is not None:
            if play.timer is not None:
                play.timer.cancel()
            await play.session.close()

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self.close(group_id) for group_id in list(self._plays)), return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)

    @property
    def num_open(self) -> int:
        """Sessions that hold something; finished ones only remember what was said last."""
        return sum(len(play.ended) < len(play.totals) for play in self._plays.values())

    def _expire(self, group_id: str, play: Play) -> None:
        if self._plays.get(group_id) is play:
            del self._plays[group_id]
            self._release(play)

    def _release(self, play: Play) -> None:
        """Give back what it holds, beside the reply's way."""
        task = asyncio.get_running_loop().create_task(play.session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _lost(group_id: str) -> Conflict:
    return Conflict(
        f"the environment of group {group_id!r} is not at this turn",
        code="session_lost",
        hint="Give the group up: its ticket expires and it is played afresh. Behind a balancer, keep a client at one "
        "replica: environments of several turns live where they were opened.",
    )
