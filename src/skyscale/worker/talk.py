"""One episode of several turns as a growing row of tokens. Pure.

- The row begins behind the group's shared prompt. What the model sampled is appended as it was sampled, what the
  environment said as the policy server rendered it; nothing is ever tokenised again or taken back.
- `TurnRecord.start` and `end` are the model's own tokens. The others carry logprob 0 and the version before them.
"""

from dataclasses import dataclass, field

from skyscale.errors import ProtocolError
from skyscale.wire.batches import Trajectory
from skyscale.wire.episodes import MAX_CODE_CHARS, Outcome
from skyscale.wire.turns import MAX_ACTION_CHARS, Action, TurnRecord, TurnResult
from skyscale.worker.generation import Completion


@dataclass(slots=True)
class Talk:
    """An episode while it is played."""

    index: int
    prompt_ids: list[int]
    """Shared by the group."""
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    versions: list[int] = field(default_factory=list[int])
    turns: list[TurnRecord] = field(default_factory=list[TurnRecord])
    answer: Completion | None = None
    """The newest one."""
    result: TurnResult | None = None
    """What the environment said of it."""
    is_cut: bool = False
    """It ended for lack of room or time, not by the environment's word."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is asked of it."""
        return self.is_cut or (self.result is not None and self.result.done)

    @property
    def all_ids(self) -> list[int]:
        """Prompt and row: what the next prompt begins with."""
        return self.prompt_ids + self.ids

    def told(self, prompt_ids: list[int]) -> None:
        """The environment's words were rendered: `prompt_ids` is what the model is asked next, all of it.

        Raises:
            ProtocolError: it does not begin with what is on record.
        """
        known = self.all_ids
        if prompt_ids[: len(known)] != known:
            raise ProtocolError("the policy server changed the tokens of earlier turns")
        added = prompt_ids[len(known) :]
        self.ids += added
        self.logprobs += [0.0] * len(added)
        self.versions += [self.versions[-1] if self.versions else 0] * len(added)

    def answered(self, completion: Completion) -> None:
        """The model's next answer."""
        self.answer = completion
        self.ids += completion.token_ids
        self.logprobs += completion.logprobs
        self.versions += completion.versions

    def action(self, code: str) -> Action:
        """The newest answer, as the environment gets it."""
        assert self.answer is not None, "an action follows an answer"
        text = self.answer.text[:MAX_ACTION_CHARS]
        return Action(episode=self.index, text=text, code=code, is_truncated=self.answer.is_truncated)

    def judged(self, result: TurnResult) -> None:
        """What the environment says of the newest answer."""
        assert self.answer is not None, "a result follows an answer"
        self.result = result
        record = TurnRecord(
            start=len(self.ids) - len(self.answer.token_ids),
            end=len(self.ids),
            text=self.answer.text[:MAX_ACTION_CHARS],
            reward=result.reward,
            passed_tests=result.passed_tests,
            total_tests=result.total_tests,
            feedback=result.observation,
            parts=result.parts,
        )
        self.turns.append(record)

    def trajectory(self, episode_id: str, code: str) -> Trajectory:
        """The record of the whole episode."""
        assert self.answer is not None and self.result is not None, "an episode has at least one judged turn"
        result = self.result
        is_cut = self.is_cut and result.outcome is Outcome.SCORED
        last = self.turns[-1].model_copy(update={"feedback": ""})
        return Trajectory(
            episode_id=episode_id,
            code=code[:MAX_CODE_CHARS],
            text=self.answer.text,
            completion_ids=self.ids,
            logprobs=self.logprobs,
            versions=self.versions,
            reward=result.episode_reward,
            outcome=Outcome.TRUNCATED if is_cut else result.outcome,
            passed_tests=result.passed_tests,
            total_tests=result.total_tests,
            turns=[*self.turns[:-1], last],
        )
