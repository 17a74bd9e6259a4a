"""The calls of operators, made and read. Pure.

Creating a run or a job may be repeated because the client gives it an id before it is sent first.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError

from skyscale.errors import ProtocolError
from skyscale.sdk.call import Call, get, nothing, post, reading
from skyscale.wire.base import Reply, new_id
from skyscale.wire.batches import BufferStats
from skyscale.wire.jobs import JobCreated, JobDetail, JobPage, TrainingJobCreate
from skyscale.wire.policies import PolicyReload
from skyscale.wire.problems import PublicProblem
from skyscale.wire.runs import EventPage, RunCreate, RunCreated, RunPage, RunView

M = TypeVar("M", bound=BaseModel)


class EvaluationAnswer(Reply):
    """One held-out problem as one policy version answered it."""

    problem_id: str
    text: str
    """The completion as the model wrote it."""
    code: str
    reward: float


def _listing(model: type[M]) -> Callable[[bytes], list[M]]:
    """A parser of lists, bare or as the only list of an object."""

    def parse(content: bytes) -> list[M]:
        try:
            return [model.model_validate(row) for row in _rows(orjson.loads(content))]
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise ProtocolError(f"the reply is not a list of {model.__name__}") from error

    return parse


def _rows(body: object) -> list[object]:
    if isinstance(body, dict):
        values = cast("dict[str, list[object] | str | None]", body).values()
        body = next((value for value in values if isinstance(value, list)), None)
    if not isinstance(body, list):
        raise ProtocolError("the reply is not a list")
    return cast("list[object]", body)


def create_run(body: RunCreate) -> Call[RunCreated]:
    """`POST /api/rl/runs`; gives the run an id unless it has one, so that a retry finds the first one's run."""
    if body.run_id is None and not body.dry_run:
        body = body.model_copy(update={"run_id": new_id("rl")})
    return post("/api/rl/runs", reading(RunCreated), body)


def list_runs(cursor: str | None, limit: int | None) -> Call[RunPage]:
    """`GET /api/rl/runs`."""
    return get("/api/rl/runs", reading(RunPage), cursor=cursor, limit=limit)


def get_run(run_id: str) -> Call[RunView]:
    """`GET /api/rl/runs/{id}`."""
    return get(f"/api/rl/runs/{run_id}", reading(RunView))


def stop_run(run_id: str) -> Call[None]:
    """`DELETE /api/rl/runs/{id}`."""
    return Call("DELETE", f"/api/rl/runs/{run_id}", nothing)


def reload_policy(run_id: str, version: int | None) -> Call[None]:
    """`POST /api/rl/runs/{id}/policy-reload`."""
    return post(f"/api/rl/runs/{run_id}/policy-reload", nothing, PolicyReload(version=version))


def events(run_id: str, after: int | None, limit: int | None) -> Call[EventPage]:
    """`GET /api/rl/runs/{id}/events`."""
    return get(f"/api/rl/runs/{run_id}/events", reading(EventPage), after=after, limit=limit)


def evaluation(run_id: str, version: int) -> Call[list[EvaluationAnswer]]:
    """`GET /api/rl/runs/{id}/evaluations/{version}`."""
    return get(f"/api/rl/runs/{run_id}/evaluations/{version}", _listing(EvaluationAnswer))


def list_problems(split: str | None, difficulty: str | None, limit: int | None) -> Call[list[PublicProblem]]:
    """`GET /api/rl/env/problems`."""
    path = "/api/rl/env/problems"
    return get(path, _listing(PublicProblem), split=split, difficulty=difficulty, limit=limit)


def get_problem(problem_id: str) -> Call[PublicProblem]:
    """`GET /api/rl/env/problems/{id}`."""
    return get(f"/api/rl/env/problems/{problem_id}", reading(PublicProblem))


def buffer_stats(run_id: str) -> Call[BufferStats]:
    """`GET /api/rl/buffer/stats`."""
    return get("/api/rl/buffer/stats", reading(BufferStats), run_id=run_id)


def create_job(body: TrainingJobCreate) -> Call[JobCreated]:
    """`POST /api/training/jobs`; gives the job an id unless it has one."""
    return post(
        "/api/training/jobs", reading(JobCreated), body.model_copy(update={"job_id": body.job_id or new_id("job")})
    )


def list_jobs(run_id: str | None, cursor: str | None, limit: int | None) -> Call[JobPage]:
    """`GET /api/training/jobs`."""
    return get("/api/training/jobs", reading(JobPage), run_id=run_id, cursor=cursor, limit=limit)


def get_job(job_id: str) -> Call[JobDetail]:
    """`GET /api/training/jobs/{id}`."""
    return get(f"/api/training/jobs/{job_id}", reading(JobDetail))


def health() -> Call[None]:
    """`GET /health`."""
    return get("/health", nothing)
