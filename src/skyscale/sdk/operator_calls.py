"""The calls of operators, made and read. Pure.

Creating a run may be repeated because the client gives it an id before it is sent first.
"""

from skyscale.sdk.call import Call, get, nothing, post, reading
from skyscale.wire.base import new_id
from skyscale.wire.batches import BufferStats
from skyscale.wire.episodes import EvaluationSamples
from skyscale.wire.policies import PolicyPage, PolicyReload
from skyscale.wire.problems import ProblemPage, PublicProblem
from skyscale.wire.runs import EventPage, RunCreate, RunCreated, RunPage, RunView


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


def policies(run_id: str, after: int | None, limit: int | None) -> Call[PolicyPage]:
    """`GET /api/rl/runs/{id}/policies`."""
    return get(f"/api/rl/runs/{run_id}/policies", reading(PolicyPage), after=after, limit=limit)


def evaluation(run_id: str, version: int) -> Call[EvaluationSamples]:
    """`GET /api/rl/runs/{id}/evaluations/{version}`."""
    return get(f"/api/rl/runs/{run_id}/evaluations/{version}", reading(EvaluationSamples))


def list_problems(
    split: str | None, difficulty: str | None, cursor: str | None, limit: int | None
) -> Call[ProblemPage]:
    """`GET /api/rl/env/problems`."""
    path = "/api/rl/env/problems"
    return get(path, reading(ProblemPage), split=split, difficulty=difficulty, cursor=cursor, limit=limit)


def get_problem(problem_id: str) -> Call[PublicProblem]:
    """`GET /api/rl/env/problems/{id}`."""
    return get(f"/api/rl/env/problems/{problem_id}", reading(PublicProblem))


def buffer_stats(run_id: str) -> Call[BufferStats]:
    """`GET /api/rl/buffer/stats`."""
    return get("/api/rl/buffer/stats", reading(BufferStats), run_id=run_id)


def health() -> Call[None]:
    """`GET /health`."""
    return get("/health", nothing)
