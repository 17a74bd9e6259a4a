"""What is kept of closed deployments on our side, because Akash keeps nothing: one file each in the job's folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended and what it printed last."""

    attempt: int
    code: int
    lines: list[str]


def keep(root: Path, job_id: str, dseq: str, ended: Ended) -> None:
    """Write it down, whole or not at all."""
    folder = root / job_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"akash-{dseq}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(ended)))
    part.replace(path)


def kept(root: Path, job_id: str, dseq: str) -> Ended | None:
    """What was written down of one deployment."""
    try:
        return Ended(**json.loads((root / job_id / f"akash-{dseq}.json").read_text()))
    except FileNotFoundError:
        return None


def all_kept(root: Path, job_id: str) -> dict[str, Ended]:
    """What was written down of a job, by deployment."""
    paths = sorted((root / job_id).glob("akash-*.json"))
    return {path.stem.removeprefix("akash-"): Ended(**json.loads(path.read_text())) for path in paths}
