"""A run: what a caller asks for, the states it passes through, what a reader sees of it.

`RunCreate` is what arrives; `RunSpec` is the same with every default resolved and written down, and is
what all processes of the run read over the wire.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, cast

from pydantic import Field, field_validator, model_validator

from skyscale.wire.algorithms import Algorithm
from skyscale.wire.base import Reply, Request
from skyscale.wire.costs import CostEstimate, RunCost
from skyscale.wire.curriculum import Curriculum, CurriculumCounts
from skyscale.wire.environments import MAX_TURNS, CodeEnvironment, Environment
from skyscale.wire.problems import Difficulty
from skyscale.wire.training import Training

RUN_ID_PATTERN = r"^rl-[a-z0-9][a-z0-9-]{2,47}$"


class RunStatus(StrEnum):
    """Where a run is in its life."""

    STARTING = "starting"
    """Accepted; its jobs are being dispatched or the policy server is not yet healthy."""
    RUNNING = "running"
    """Workers and trainer are at work."""
    STOPPING = "stopping"
    """Asked to stop, or finished: its jobs are being ended."""
    STOPPED = "stopped"
    """Ended by a caller; nothing of it is left running."""
    COMPLETED = "completed"
    """Reached one of its own limits and was evaluated for the last time."""
    FAILED = "failed"
    """Cannot go on; `reason` says why and what to do."""


class RunStage(StrEnum):
    """What a live run is doing or waiting for."""

    WAITING_FOR_POLICY = "waiting_for_policy"
    WAITING_FOR_ROLLOUTS = "waiting_for_rollouts"
    TRAINING = "training"
    FINISHING = "finishing"


class Sampling(Request):
    """How rollouts are sampled. `top_p` and `top_k` other than 1 and off would bias the ratio and are refused."""

    temperature: Annotated[float, Field(gt=0, le=4)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=131072)] | None = None
    """Tokens per completion; the default depends on the model."""
    top_p: Annotated[float, Field(ge=1, le=1)] = 1.0
    top_k: Literal[-1, 0] = -1


class Evaluation(Request):
    """When and how held-out problems are played; always at the start and at the end."""

    every_versions: Annotated[int, Field(ge=0)] = 0
    """Also evaluate every so many policy versions; 0 means start and end only."""
    num_problems: Annotated[int, Field(ge=0, le=10000)] = 64
    """Held-out problems per evaluation; 0 turns evaluation off."""
    samples_per_problem: Annotated[int, Field(ge=1, le=64)] = 4
    temperature: Annotated[float, Field(gt=0, le=4)] = 1.0
    ks: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(max_length=16)] = []
    """The k of pass@k that are reported; 1, 2, 4 ... and `samples_per_problem` when empty."""

    @model_validator(mode="after")
    def _k_samples_are_there(self) -> "Evaluation":
        if self.ks and max(self.ks) > self.samples_per_problem:
            raise ValueError(f"ks: pass@{max(self.ks)} needs samples_per_problem of at least {max(self.ks)}")
        return self


class RunCreate(Request):
    """The body of `POST /api/rl/runs`; `{}` is a valid one."""

    run_id: Annotated[str, Field(pattern=RUN_ID_PATTERN)] | None = None
    """A client-made id; sending the same body again returns the same run."""
    base_model: Annotated[str, Field(min_length=1, max_length=500)] = "skyscale/starter"
    """`skyscale/starter`, a local folder, or a Hugging Face id."""
    num_workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Rollout worker processes; each plays many groups at once."""
    gpu_model: Annotated[str, Field(min_length=1, max_length=40)] = "cpu"
    """Of the trainer and of the policy server each: `cpu`, `any`, `a100`, or several like `a100:2`."""
    provider: Annotated[str, Field(min_length=1, max_length=40)] = "auto"
    """Where the processes run; `auto` asks the providers of GPU_PROVIDER_ORDER in turn."""
    problem_set: Annotated[str, Field(min_length=1, max_length=200)] = "embedded"
    """`embedded`, an uploaded set (`name` or `name@version`), or the path of a JSONL file on the server's host."""
    difficulty: Difficulty | None = None
    """Train only on problems of this difficulty."""
    curriculum: Curriculum | None = None
    """Off by default: every train problem is drawn equally often."""
    allow_weak_trust: bool = False
    """Train also on problems of `trust: weak`, whose tests a cheating program could pass."""
    algorithm: Algorithm = Algorithm()
    training: Training = Training()
    """`method` `full` (default) or `lora`, and its sizes."""
    trainer_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes of the trainer's job that share each batch, group by group; on a GPU machine one per GPU."""
    sampling: Sampling = Sampling()
    evaluation: Evaluation = Evaluation()
    environment: Environment = CodeEnvironment()
    """What episodes are played in, by `kind`: `code`, `reward_file`, `python` or `http`."""
    max_turns: Annotated[int, Field(ge=1, le=MAX_TURNS)] = 1
    """Most answers of an episode; after each one but the last the model is told what was wrong."""
    mode: Literal["async", "synchronous", "evaluate"] = "async"
    """`synchronous` plays one batch, trains on it, swaps, and only then plays the next: reproducible and slow.
    `evaluate` plays the held-out problems once and completes; nothing is trained."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Complete after so many policy versions."""
    max_hours: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Complete after so much time since the run's first rollout; at most a century."""
    target_reward: Annotated[float, Field(gt=0, le=1)] | None = None
    """Complete when the mean training reward of the last five versions reaches this."""
    max_cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Complete, with a last checkpoint, before the run has cost more than this by list prices."""
    capacity: Literal["on_demand", "preemptible"] | None = None
    """Of the trainer's and the policy server's machines: `preemptible` may be taken away at any time, and the trainer
    needs frequent checkpoints; `on_demand` may not; null takes what the provider gives."""
    idle_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 30.0
    """Give accelerators back, and complete, when nothing was sampled or published for so long; null never does."""
    max_concurrent_groups: Annotated[int, Field(ge=1, le=4096)] = 16
    """Groups that one worker has with the policy server at once; as many more may be with the judge."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 1
    """Versions between resumable checkpoints (weights, optimizer, RNG, leases); never more than `max_staleness`."""
    keep_versions: Annotated[int, Field(ge=2)] = 3
    """Published weight folders that are kept; the newest and those in use always are."""
    loggers: list[Literal["wandb", "tensorboard"]] | None = None
    """Where the run's numbers are copied to; `SKYSCALE_LOGGERS` when it is not said."""
    dry_run: bool = False
    """Validate and resolve without starting anything."""

    @model_validator(mode="after")
    def _synchronous_means_on_policy(self) -> "RunCreate":
        if self.mode == "synchronous" and self.num_workers != 1:
            raise ValueError("mode 'synchronous' plays with one worker: set num_workers to 1, or mode to 'async'")
        if self.mode == "evaluate" and self.evaluation.num_problems == 0:
            raise ValueError("mode 'evaluate' needs problems: set evaluation.num_problems above 0")
        return self

    @model_validator(mode="after")
    def _parts_have_processes(self) -> "RunCreate":
        if self.training.sharding == "full" and self.trainer_processes < 2:
            raise ValueError("training.sharding 'full' needs several processes: set trainer_processes to 2 or more")
        return self

    @field_validator("environment", mode="before")
    @classmethod
    def _is_code_unless_it_says_otherwise(cls, value: object) -> object:
        return {"kind": "code"} | cast("dict[str, object]", value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _a_reward_file_scores_one_answer(self) -> "RunCreate":
        if self.environment.kind == "reward_file" and self.max_turns > 1:
            raise ValueError("a reward file gives no feedback: set max_turns to 1, or use environment kind 'python'")
        return self


class RunSpec(Reply):
    """A run request with every default resolved; immutable once the run exists."""

    run_id: str
    base_model: str
    num_workers: int
    gpu_model: str
    provider: str
    problem_set: str
    """With the version of an uploaded set."""
    difficulty: Difficulty | None
    curriculum: Curriculum | None = None
    allow_weak_trust: bool = False
    algorithm: Algorithm
    """With `learning_rate` set, and, in synchronous mode, `max_staleness` 0 and `dynamic_sampling` true."""
    training: Training = Training()
    trainer_processes: int = 1
    sampling: Sampling
    """With `max_new_tokens` set."""
    evaluation: Evaluation
    environment: Environment = CodeEnvironment()
    max_turns: int = 1
    mode: Literal["async", "synchronous", "evaluate"]
    seed: int
    max_steps: int | None
    max_hours: float | None
    target_reward: float | None
    max_cost_usd: float | None = None
    capacity: Literal["on_demand", "preemptible"] | None = None
    idle_minutes: float | None = None
    max_concurrent_groups: int
    checkpoint_every: int
    keep_versions: int
    loggers: list[Literal["wandb", "tensorboard"]] = []


class RunCreated(Reply):
    """The reply to `POST /api/rl/runs`."""

    run_id: str
    status: RunStatus
    spec: RunSpec
    estimate: CostEstimate | None = None
    """Only with `dry_run`."""


class RunSummary(Reply):
    """One row of the list of runs."""

    run_id: str
    base_model: str
    status: RunStatus
    stage: RunStage | None
    reason: str | None
    """Why it ended, when it ended by itself or failed."""
    policy_version: int
    """Newest published version; 0 is the base model."""
    last_reward: float | None
    cost_usd: float | None = None
    """By list prices; null for a run from before there were meters."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


class RunPage(Reply):
    """A page of runs, newest first."""

    runs: list[RunSummary]
    next_cursor: str | None
    """Pass as `cursor` to get the next page; null on the last one."""


class ProcessHealth(Reply):
    """What one process of a run last said of itself."""

    id: str
    """The job's id."""
    role: str
    index: int
    status: str
    """The job's state."""
    detail: str
    """What it is doing, in a few words."""
    attempt: int
    heartbeat_age_s: float | None
    metrics: dict[str, float]


class TrainingMetrics(Request):
    """One report of the trainer: the body of `POST /api/training/metrics`."""

    job_id: str
    step: Annotated[int, Field(ge=0)] = 0
    """Policy version that this step produced."""
    episode_reward: float | None = None
    loss: float | None = None
    gpu_util: float | None = None
    timestamp: int | None = None
    """Milliseconds since the epoch; the server's clock when absent."""
    metrics: dict[str, float] = {}
    """Everything else: entropy, ratio, clip share, mismatch KL, staleness, tokens/s, wait share ..."""


class MetricsPoint(Reply):
    """One kept metrics report."""

    step: int
    episode_reward: float | None
    loss: float | None
    gpu_util: float | None
    timestamp: int
    metrics: dict[str, float]


class MetricsColumns(Reply):
    """`GET /api/rl/runs/{id}/metrics`: reports after a cursor as columns, oldest first, all of one length."""

    run_id: str
    after: int
    """Cursor of the last report here: pass it as `after` to get what came later."""
    step: list[int]
    timestamp: list[int]
    series: dict[str, list[float | None]]
    """One column per metric, `episode_reward`, `loss` and `gpu_util` among them; null where a report lacks it."""


class PassAtK(Reply):
    """Share of problems that at least one of k samples solves."""

    k: int
    value: float
    """Mean over problems of 1 - C(n-c, k) / C(n, k), unbiased for n samples of which c pass (arXiv:2107.03374)."""
    low: float
    high: float
    """95 % confidence: Wilson's score interval with the effective sample size of problems as clusters."""
    num_problems: int
    """Problems with at least k judged samples."""


class EvaluationSlice(Reply):
    """An evaluation's problems of one difficulty."""

    difficulty: Difficulty
    reward: float
    num_problems: int
    num_episodes: int
    pass_at: list[PassAtK]


class EvaluationResult(Reply):
    """How one policy version does on held-out problems."""

    version: int
    reward: float
    """Mean over all episodes; infrastructure failures are left out here and below."""
    num_problems: int
    num_episodes: int
    finished_at: datetime
    pass_at: list[PassAtK] = []
    """pass@1 and every other k that `evaluation.ks` asks for; an episode passes with all its tests."""
    by_difficulty: list[EvaluationSlice] = []
    """From easy to hard."""


class RunView(Reply):
    """Everything `GET /api/rl/runs/{id}` tells of a run."""

    run_id: str
    status: RunStatus
    stage: RunStage | None
    reason: str | None
    spec: RunSpec
    trainer_status: str
    worker_statuses: list[ProcessHealth]
    processes: list[ProcessHealth]
    """All jobs of the run: policy, trainer, workers."""
    policy_status: Literal["waiting", "ready"]
    policy_version: int
    """Newest published version."""
    serving_version: int
    """Version that the policy server last said it serves."""
    buffer_size: int
    """Trajectories waiting to be trained on."""
    trajectories: int
    """Trajectories pushed so far, evaluation excluded."""
    metrics: list[MetricsPoint]
    """The newest 200 reports, oldest first."""
    evaluations: list[EvaluationResult]
    curriculum: CurriculumCounts | None = None
    """Null when it is off."""
    cost: RunCost | None = None
    """What it has cost so far; null for a run from before there were meters."""
    event_count: int
    checkpoint: str | None
    """Where the newest published weights lie."""
    best_version: int | None = None
    """The version that did best on held-out problems so far, by pass@1, then reward; its weights are kept."""
    best_checkpoint: str | None = None
    """Where they lie; null for version 0, the base model."""
    grafana_url: str | None
    created_at: datetime
    rollouts_started_at: datetime | None
    ended_at: datetime | None


class Event(Reply):
    """A fact of record about a run, ordered by `seq` within the run."""

    seq: int
    timestamp: datetime
    run_id: str
    component: str
    """coordinator, policy, buffer, env, trainer, worker-<i> ..."""
    level: Literal["debug", "info", "warning", "error"]
    kind: str
    """A stable name such as `policy.published`."""
    message: str
    data: dict[str, object]


class EventPage(Reply):
    """Events of a run, oldest first."""

    run_id: str
    events: list[Event]


class EventCreate(Request):
    """The body of `POST /api/rl/runs/{id}/events`."""

    component: Annotated[str, Field(min_length=1, max_length=80)] = "remote"
    level: Literal["debug", "info", "warning", "error"] = "info"
    kind: Annotated[str, Field(min_length=1, max_length=80)] = "message"
    message: Annotated[str, Field(min_length=1, max_length=4000)]
    data: dict[str, object] = {}
