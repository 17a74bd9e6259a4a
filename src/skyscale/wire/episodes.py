"""Episodes: the ticket that admits a group, the code that is submitted, the verdict that comes back.

A group is G episodes of one problem. The worker asks for tickets, samples G completions from the policy server,
submits their code, and pushes the group into the buffer (`wire.batches`).
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from skyscale.wire.base import Reply, Request
from skyscale.wire.environments import EnvironmentKind
from skyscale.wire.problems import Difficulty, Trust

MAX_CODE_CHARS = 65536


class Purpose(StrEnum):
    """Why a group is played."""

    TRAIN = "train"
    EVAL = "eval"


class TicketRequest(Request):
    """The body of `POST /api/rl/env/tickets`."""

    run_id: str
    request_id: Annotated[str, Field(min_length=4, max_length=64)]
    """Made by the worker; the same id again returns the same tickets."""
    num_groups: Annotated[int, Field(ge=1, le=256)] = 1
    wait_s: Annotated[float, Field(ge=0, le=30)] = 0.0
    """How long the server may hold the call until a slot is free."""


class GroupTicket(Reply):
    """Leave to play one group, and all that is needed to do it."""

    group_id: str
    problem_id: str
    messages: list[dict[str, str]]
    """Chat messages to send to the policy server."""
    group_size: int
    purpose: Purpose
    version: int
    """Train: the newest version when the ticket was made. Eval: the version that is being evaluated."""
    min_version: int = 0
    """The oldest version that may sample it: by an older one it would be stale when it is trained on."""
    seed: int
    """Seed of the group's sampling."""
    temperature: float
    max_new_tokens: int
    submission: Literal["code", "text"] = "code"
    """What is judged: the program in a completion, or the end of its text as it is."""
    expires_in_s: float
    """After this long without a push the slot is given to another group."""
    environment: EnvironmentKind = "code"
    max_turns: int = 1
    """More than one, or another environment than `code`: the group is played by turns (`wire.turns`)."""


class TicketReply(Reply):
    """Tickets granted now; none means the buffer is full or the run has nothing to play."""

    groups: list[GroupTicket]
    retry_after_s: float
    """When to ask again, if no ticket was granted."""


class TestResult(Reply):
    """How one hidden test ended."""

    passed: bool
    status: Literal[
        "passed", "wrong_answer", "exception", "timeout", "memory", "output_limit", "killed",
        "protocol_violation", "unsupported_value", "no_entry_point", "syntax_error",
    ]  # fmt: skip
    detail: str = ""
    """A short reason; for hidden tests it never contains the expected value."""


class Outcome(StrEnum):
    """The three ends of an episode."""

    SCORED = "scored"
    TRUNCATED = "truncated"
    """Length or turn limit; still scored by what was produced."""
    INFRASTRUCTURE_FAILURE = "infrastructure_failure"
    """Our fault: never a reward of 0, never trained on."""


class Verdict(Reply):
    """What the environment says of one submitted program."""

    outcome: Outcome
    reward: float
    """passed/total - 0.0001 * max(0, len(code) - 500), clamped to [0, 1]; 0 on infrastructure failure."""
    done: bool
    passed_tests: int
    total_tests: int
    tests: list[TestResult]
    stdout: str
    """At most 4 KiB of what the program printed."""
    stderr: str
    """At most 4 KiB."""
    exit_code: int
    """A diagnostic only; it never decides the reward."""
    duration_ms: float
    trust: Trust = Trust.STRONG
    """`weak` when the tests had to share a process with the program."""


class GroupStep(Request):
    """The body of `POST /api/rl/env/groups/{group_id}/step`: one program per episode of the group."""

    codes: Annotated[list[Annotated[str, Field(max_length=MAX_CODE_CHARS)]], Field(min_length=1, max_length=256)]


class GroupVerdicts(Reply):
    """Verdicts in the order of the submitted programs."""

    verdicts: list[Verdict]


class ResetRequest(Request):
    """The body of `POST /api/rl/env/reset`."""

    run_id: str | None = None
    problem_set: Annotated[str, Field(max_length=140)] | None = None
    """A version of an uploaded set (`name@version`) or `embedded`; by default the set of the run, or `embedded`."""
    difficulty: Difficulty | None = None
    problem_id: str | None = None
    seed: int | None = None


class ResetReply(Reply):
    """A new episode: its problem and the sandbox that will run the code."""

    sandbox_id: str
    episode_id: str
    problem_id: str
    prompt: str
    test_cases: list[str]
    """Public examples only; the tests that decide the reward stay on the server."""


class StepRequest(Request):
    """The body of `POST /api/rl/env/step`."""

    sandbox_id: str
    code: Annotated[str, Field(max_length=MAX_CODE_CHARS)]


class CloseRequest(Request):
    """The body of `POST /api/rl/env/close`."""

    sandbox_id: str


class EvaluationSample(Reply):
    """One answer to a held-out problem."""

    problem_id: str
    text: str
    """The completion as the model wrote it."""
    code: str
    reward: float
    turn_rewards: list[float] = []
    """Reward of each turn, for episodes that are played by turns."""


class EvaluationSamples(Reply):
    """`GET /api/rl/runs/{id}/evaluations/{version}`: the answers of one evaluation, by problem."""

    samples: list[EvaluationSample]
