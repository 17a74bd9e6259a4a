"""`python -m skyscale.logger`: read the three job settings, fetch the assignment, log until told otherwise."""

import logging
import signal
import sys
from types import FrameType

from skyscale.errors import Gone, SkyscaleError
from skyscale.logger.follow import Follower
from skyscale.sdk.client import Client
from skyscale.sdk.jobs import JobClient
from skyscale.settings import JobSettings
from skyscale.telemetry import logs


def main() -> int:
    """0 when the run wants no more, 1 when it could not be logged."""
    logs.start()
    # Fields are read from the environment: the type checker sees required arguments.
    settings = JobSettings()  # pyright: ignore[reportCallIssue]
    # An order to end is an exception, so that what was logged is written before the process goes.
    signal.signal(signal.SIGTERM, _end)
    try:
        with (
            JobClient.from_settings(settings) as jobs,
            Client(settings.url, settings.job_token.get_secret_value()) as reader,
        ):
            assignment = jobs.assignment()
            logs.of_process(run_id=assignment.run_id, job_id=assignment.job_id)
            Follower(jobs, reader, assignment).run()
    except Gone:
        logging.info("the run has ended")
    except SkyscaleError as error:
        logging.error("%s (%s) %s", error.detail, error.code, error.hint)
        return 1
    return 0


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
