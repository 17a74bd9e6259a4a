"""A call as a job of a provider: made through the jobs' room, which starts it, watches it and ends it.

- The job fetches its work and posts its result with its own token, which opens nothing but this execution.
- A call that is given up (cancelled, too long, control plane stopped) has its job cancelled: nothing goes on spending.
- A job is attempted once: a function may have effects.
"""

import asyncio
import contextlib
import sys
from functools import cache
from pathlib import Path

from skyscale.errors import Conflict, Gone, Invalid, NotFound, SkyscaleError
from skyscale.functions.calls.playing import Outcome, harness
from skyscale.functions.calls.queries import Execution
from skyscale.jobs.rules import FINAL
from skyscale.jobs.service import JobService
from skyscale.wire.functions import ExecutionResult, ExecutionStatus, ExecutionWork, FunctionSpec
from skyscale.wire.jobs import JobDetail, TrainingJobCreate

STARTING_S = 900.0
"""For a provider to find a machine and pull an image."""
SETUP_S = 240.0
"""For the job to install requirements and to say how it went."""
LOOK_S = 1.0
MAX_TAIL = 4000
_PYTHON = '[ -x "$0" ] && exec "$0" -c "$1"; exec python3 -c "$1"'
"""This interpreter where it is there too, with all that is installed beside it; elsewhere the machine's or image's."""


class Dispatched:
    """Calls that run as jobs, seen from the control plane that holds them."""

    def __init__(self, jobs: JobService, *, at_once: int) -> None:
        """`at_once` is how many may run; 0 refuses them."""
        self._jobs = jobs
        self.at_once = at_once
        self._waiting: dict[str, asyncio.Future[ExecutionResult]] = {}

    def check(self, spec: FunctionSpec) -> None:
        """Raise Invalid for a function whose calls could not be jobs here."""
        if not self.at_once:
            raise Invalid(
                "gpu: calls as jobs are switched off here (SKYSCALE_FUNCTION_GPU_CALLS=0)", code="spending_off"
            )
        self._jobs.check(_body("fx-any", job_of("fx-any"), spec))

    async def play(self, row: Execution, spec: FunctionSpec) -> Outcome:
        """Run the call to its end. Raises SkyscaleError when the job cannot be made."""
        assert row.job_id is not None
        result: asyncio.Future[ExecutionResult] = asyncio.get_running_loop().create_future()
        self._waiting[row.execution_id] = result
        try:
            await self._jobs.create_custom(_body(row.execution_id, row.job_id, spec))
            async with asyncio.timeout(STARTING_S + SETUP_S + spec.timeout):
                return await self._outcome(row.job_id, result)
        except TimeoutError:
            return Outcome(status=ExecutionStatus.TIMEOUT, error_message="its job neither began nor ended in time")
        finally:
            self._waiting.pop(row.execution_id, None)
            if not result.done():
                await self.cancel(row.job_id)

    async def cancel(self, job_id: str) -> None:
        """End a job whose result nobody wants; one that has ended or never was stays as it is."""
        with contextlib.suppress(NotFound, Conflict):
            await asyncio.shield(self._jobs.cancel(job_id))

    def told(self, execution_id: str, result: ExecutionResult) -> None:
        """The job says what came of it. Raises Gone when nobody waits for it any more."""
        waiting = self._waiting.get(execution_id)
        if waiting is None or waiting.done():
            raise Gone(f"nobody waits for the result of {execution_id}", code="execution_ended")
        waiting.set_result(result)

    async def _outcome(self, job_id: str, result: "asyncio.Future[ExecutionResult]") -> Outcome:
        while True:
            await asyncio.wait({result}, timeout=LOOK_S)
            if result.done():
                return _of_result(result.result())
            with contextlib.suppress(SkyscaleError):  # a database that is away for a moment: look again
                found = await self._jobs.detail(job_id)
                if found.job.status in FINAL and not result.done():
                    return _of_death(found)


def _body(execution_id: str, job_id: str, spec: FunctionSpec) -> TrainingJobCreate:
    assert spec.gpu is not None
    return TrainingJobCreate(
        job_id=job_id, docker_image=spec.gpu.docker_image, gpu_model=spec.gpu.model, provider=spec.gpu.provider,
        env_vars={"SKYSCALE_EXECUTION_ID": execution_id},
        command=["/bin/sh", "-c", _PYTHON, sys.executable, program()],
        timeout_s=spec.timeout + SETUP_S, max_attempts=1,
    )  # fmt: skip


def job_of(execution_id: str) -> str:
    """The id of an execution's job."""
    return f"job-{execution_id.lower().replace('_', '-')}"


def work_of(row: Execution, spec: FunctionSpec, value: object) -> ExecutionWork:
    """What the job is to do; `value` is the input."""
    return ExecutionWork.model_validate(
        {
            "code": spec.code, "entry": spec.entry, "style": spec.style, "requirements": spec.requirements,
            "timeout": spec.timeout, "output_bytes": spec.output_kb * 1024, "input": value, "harness": harness(),
        }
    )  # fmt: skip


def _of_result(result: ExecutionResult) -> Outcome:
    return Outcome(
        status=ExecutionStatus(result.status), output=result.output if result.status == "completed" else None,
        error_message=result.error_message, error_traceback=result.error_traceback, stdout=result.stdout,
        stderr=result.stderr, duration_ms=result.duration_ms,
    )  # fmt: skip


def _of_death(found: JobDetail) -> Outcome:
    why = found.job.reason or found.job.status.value
    return Outcome(
        status=ExecutionStatus.LOST, error_message=f"its job ended without a result: {why}",
        stderr=found.logs[-MAX_TAIL:],
    )  # fmt: skip


@cache
def program() -> str:
    """What the job runs."""
    return (Path(__file__).parents[1] / "inside" / "job.py").read_text(encoding="utf-8")
