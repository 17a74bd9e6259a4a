"""`python -m skyscale.worker`: read the three job settings, fetch the assignment, work until told otherwise."""

import asyncio
import signal
import sys

import uvloop

from skyscale.errors import Gone, SkyscaleError
from skyscale.sdk.jobs import AsyncJobClient
from skyscale.settings import JobSettings
from skyscale.telemetry import logs, traces
from skyscale.worker.loop import Worker


async def work(settings: JobSettings) -> int:
    """The worker's exit code: 0 when it is no longer wanted, 1 when it could not do its work."""
    async with AsyncJobClient.from_settings(settings) as client:
        try:
            assignment = await client.assignment()
            logs.of_process(run_id=assignment.run_id, job_id=assignment.job_id)
            traces.start("worker", run_id=assignment.run_id, job_id=assignment.job_id)
            return await Worker(client, assignment).run()
        except Gone:
            return 0
        except SkyscaleError as error:
            print(f"{error.detail}\n{error.hint}", file=sys.stderr)  # noqa: T201 - the job's log
            return 1
        finally:
            traces.stop()


async def _until_told() -> int:
    logs.start()
    # Fields are read from the environment: the type checker sees required arguments.
    task = asyncio.ensure_future(work(JobSettings()))  # pyright: ignore[reportCallIssue]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 0  # asked to end by its provider; the control plane decides what that means


if __name__ == "__main__":
    sys.exit(uvloop.run(_until_told()))
