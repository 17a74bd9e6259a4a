"""`python -m skyscale.trainer`: a run's trainer, started as a job. Arguments are read before torch is imported."""

import argparse
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from skyscale.telemetry import logs


def main(arguments: list[str]) -> int:
    """Train the run that this job belongs to; 0 when it ended in good order."""
    parser = argparse.ArgumentParser(
        prog="python -m skyscale.trainer",
        description="Trainer of one run. Reads SKYSCALE_URL, SKYSCALE_JOB_TOKEN and SKYSCALE_JOB_ID.",
    )
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="CPU threads of torch")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where the model lives")
    parser.add_argument("--follow", metavar="RANK/SIZE@PORT", help="help the trainer that started this process")
    options = parser.parse_args(arguments)
    logs.start()
    # Needed before CUDA starts, for matrix products that repeat bit for bit.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    from pydantic import ValidationError

    from skyscale.settings import JobSettings

    try:
        settings = JobSettings()  # pyright: ignore[reportCallIssue]
    except ValidationError as e:
        missing = ", ".join(str(error["loc"][0]) for error in e.errors())
        parser.error(f"this is started as a job: set {missing}")

    # An order to end is an exception, so that the scratch folder goes too; what was published needs no goodbye.
    signal.signal(signal.SIGTERM, _end)

    from skyscale.errors import Gone, SkyscaleError
    from skyscale.trainer.assembly import follow_job, train_job
    from skyscale.trainer.team import Place

    try:
        if options.follow:
            place = Place.parse(options.follow)
            follow_job(settings, device=options.device, threads=options.threads, place=place)
            return 0
        with tempfile.TemporaryDirectory(prefix="skyscale-trainer-") as scratch:
            train_job(settings, device=options.device, threads=options.threads, scratch=Path(scratch))
    except Gone:
        logging.info("the run has ended")
    except SkyscaleError as e:
        logging.error("%s (%s) %s", e, e.code, e.hint)
        return 1
    return 0


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
