"""The accelerators of this host, as NVIDIA's driver tells them; none where there is no driver."""

import re
import subprocess
from collections import Counter

from skyscale.jobs.gpus import MEMORY_GB
from skyscale.jobs.provider import Offer

QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]
QUERY_S = 10.0
IDLE_MB = 512
"""An accelerator with less memory in use is free."""


def inventory() -> list[Offer]:
    """One offer for each model that is here."""
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(answer)


def parse(answer: str) -> list[Offer]:
    """The driver's table (name, MiB, MiB used; one line each) as offers."""
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.count(",") == 2]
    total, free = Counter(row[0] for row in rows), Counter(row[0] for row in rows if _number(row[2]) < IDLE_MB)
    memory = {row[0]: round(_number(row[1]) / 1024) for row in rows}
    return [
        Offer(
            gpu_model=our_name(name, memory[name]), name=name, memory_gb=memory[name], usd_per_hour=None,
            total=count, available=free[name],
        )
        for name, count in sorted(total.items())
    ]  # fmt: skip


def our_name(name: str, memory_gb: int) -> str:
    """Our word for the driver's: `NVIDIA A100-SXM4-80GB` is `a100-80`; an unknown one keeps its own."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if "a100" in plain:
        return "a100-80" if memory_gb > 60 else "a100-40"
    if "a10" in plain.split("-") or "a10g" in plain:
        return "a10g"
    squeezed = plain.replace("-", "")
    known = [model for model in MEMORY_GB if model.replace("-", "") in squeezed]
    return max(known, key=len) if known else plain


def _number(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0
