"""The environment over HTTP: tickets and verdicts for workers, single episodes and problems for everybody."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from skyscale.api.deps import Caller, Parts, body_of, read_body, reply
from skyscale.api.errors import RESPONSES
from skyscale.auth.principal import require_reader, require_role
from skyscale.wire.batches import GroupFinish, GroupFinished
from skyscale.wire.episodes import (
    CloseRequest,
    EvaluationSample,
    EvaluationSamples,
    GroupStep,
    GroupVerdicts,
    ResetReply,
    ResetRequest,
    StepRequest,
    TicketReply,
    TicketRequest,
    Verdict,
)
from skyscale.wire.jobs import JobRole
from skyscale.wire.problems import Difficulty, ProblemPage, PublicProblem, Split
from skyscale.wire.turns import GroupOpening, GroupTurn, GroupTurnReply

router = APIRouter(prefix="/api/rl", tags=["environment"], responses=RESPONSES)
WORKER = {JobRole.WORKER}


@router.post(
    "/env/tickets",
    summary="Ask for groups to play",
    description="Grants as many tickets as there are free slots; evaluation groups come first. "
    "410 when the run has ended.",
    operation_id="tickets",
    response_model=TicketReply,
    openapi_extra=body_of(TicketRequest),
)
async def tickets(request: Request, parts: Parts, caller: Caller) -> Response:
    """The same `request_id` again returns the same tickets."""
    body = await read_body(request, TicketRequest)
    require_role(caller, body.run_id, WORKER)
    return reply(await parts.episodes.tickets(body))


@router.post(
    "/env/groups/{group_id}/step",
    summary="Judge the programs of a group",
    description="One verdict per program, in order. Nothing is stored; push the group with these rewards.",
    operation_id="step_group",
    response_model=GroupVerdicts,
    openapi_extra=body_of(GroupStep),
)
async def step_group(
    request: Request, parts: Parts, caller: Caller, group_id: Annotated[str, Path(max_length=80)]
) -> Response:
    """Equal programs run once."""
    body = await read_body(request, GroupStep)
    require_role(caller, await parts.episodes.run_of(group_id), WORKER)
    return reply(await parts.episodes.step(group_id, body.codes))


@router.post(
    "/env/groups/{group_id}/open",
    summary="Begin a group in the run's own environment",
    description="The messages that all its episodes begin with. 424 when the environment cannot begin it.",
    operation_id="open_group",
    response_model=GroupOpening,
)
async def open_group(parts: Parts, caller: Caller, group_id: Annotated[str, Path(max_length=80)]) -> Response:
    """Asked again before the first turn, the same."""
    require_role(caller, await parts.episodes.run_of(group_id), WORKER)
    return reply(await parts.turns.open(group_id))


@router.post(
    "/env/groups/{group_id}/turn",
    summary="Play one turn of a group",
    description="Judges, scores or steps one answer per episode; `observation` is the next user message. "
    "The same turn again is answered as the first time.",
    operation_id="turn_group",
    response_model=GroupTurnReply,
    openapi_extra=body_of(GroupTurn),
)
async def turn_group(
    request: Request, parts: Parts, caller: Caller, group_id: Annotated[str, Path(max_length=80)]
) -> Response:
    """Push the group with these rewards."""
    body = await read_body(request, GroupTurn)
    require_role(caller, await parts.episodes.run_of(group_id), WORKER)
    return reply(await parts.turns.turn(group_id, body))


@router.post(
    "/env/groups/{group_id}/close", summary="End a group's environment", operation_id="close_group", status_code=204
)
async def close_group(parts: Parts, caller: Caller, group_id: Annotated[str, Path(max_length=80)]) -> Response:
    """Ending it again changes nothing."""
    require_role(caller, await parts.episodes.run_of(group_id), WORKER)
    await parts.turns.close(group_id)
    return Response(status_code=204)


@router.post(
    "/env/groups/{group_id}/finish",
    summary="Judge a group and keep it",
    description="Judges every episode against the hidden tests and stores the group with these rewards, in one call. "
    "On disk when the reply is sent; repeating it is safe. 410 when the run has ended.",
    operation_id="finish_group",
    response_model=GroupFinished,
    openapi_extra=body_of(GroupFinish),
)
async def finish_group(
    request: Request, parts: Parts, caller: Caller, group_id: Annotated[str, Path(max_length=80)]
) -> Response:
    """The hot path of rollout workers: rewards never travel through the process that sampled the code."""
    body = await read_body(request, GroupFinish)
    run_id = await parts.episodes.run_of(group_id)
    require_role(caller, run_id, WORKER)
    finished = await parts.episodes.finish(group_id, body)
    parts.metrics.rl_trajectories_pushed.labels(run_id).inc(finished.accepted)
    return reply(finished)


@router.post(
    "/env/reset",
    summary="Start an episode",
    description="Hands out a problem (by id, difficulty, seed or chance) and the sandbox id to step with.",
    operation_id="reset",
    response_model=ResetReply,
    openapi_extra=body_of(ResetRequest),
)
async def reset(request: Request, parts: Parts, caller: Caller) -> Response:
    """Only public examples leave the server."""
    body = await read_body(request, ResetRequest)
    require_role(caller, body.run_id, WORKER)
    return reply(await parts.missions.reset(body))


@router.post(
    "/env/step",
    summary="Submit a program",
    description="Runs it against the hidden tests of the episode's own problem, in a fresh sandbox. "
    "reward = passed/total - 0.0001 * max(0, len(code) - 500), clamped to [0, 1].",
    operation_id="step",
    response_model=Verdict,
    openapi_extra=body_of(StepRequest),
)
async def step(request: Request, parts: Parts, caller: Caller) -> Response:
    """Tests of the caller's are not accepted."""
    body = await read_body(request, StepRequest)
    require_role(caller, await parts.missions.run_of(body.sandbox_id), WORKER)
    return reply(await parts.missions.step(body))


@router.post(
    "/env/close",
    summary="End an episode",
    operation_id="close",
    status_code=204,
    openapi_extra=body_of(CloseRequest),
)
async def close(request: Request, parts: Parts, caller: Caller) -> Response:
    """Ending it again changes nothing."""
    body = await read_body(request, CloseRequest)
    require_role(caller, await parts.missions.run_of(body.sandbox_id), WORKER)
    await parts.missions.close(body.sandbox_id)
    return Response(status_code=204)


@router.get("/env/problems", summary="List problems", operation_id="list_problems", response_model=ProblemPage)
async def list_problems(
    parts: Parts,
    difficulty: Difficulty | None = None,
    split: Split | None = None,
    family: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """A page of the embedded set; `cursor` is the last page's `next_cursor`."""
    page = parts.missions.page(difficulty=difficulty, split=split, family=family, after=cursor, limit=limit)
    return reply(page)


@router.get(
    "/env/problems/{problem_id}", summary="Show a problem", operation_id="get_problem", response_model=PublicProblem
)
async def get_problem(parts: Parts, problem_id: Annotated[str, Path(max_length=80)]) -> Response:
    """Its public examples only."""
    return reply(parts.missions.get(problem_id))


@router.get(
    "/runs/{run_id}/evaluations/{version}",
    summary="What the model answered in an evaluation",
    operation_id="evaluation_samples",
    response_model=EvaluationSamples,
)
async def evaluation_samples(
    parts: Parts,
    caller: Caller,
    run_id: Annotated[str, Path(max_length=80)],
    version: Annotated[int, Path(ge=0, lt=2**31)],
) -> Response:
    """Every kept episode; empty when the version was not evaluated."""
    require_reader(caller, run_id)
    samples = await parts.episodes.evaluations.samples(run_id, version)
    return reply(EvaluationSamples(samples=[EvaluationSample.model_validate(sample) for sample in samples]))
