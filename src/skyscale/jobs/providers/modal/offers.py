"""What Modal sells and how it calls it. Pure."""

from collections.abc import Mapping

from skyscale.errors import Invalid
from skyscale.jobs.gpus import NONE, Sold, offered, parse
from skyscale.jobs.provider import JobLaunch

SOLD: Mapping[str, Sold] = {
    "t4": Sold("T4", 0.59), "l4": Sold("L4", 0.80), "a10g": Sold("A10", 1.10), "l40s": Sold("L40S", 1.95),
    "a100": Sold("A100-40GB", 2.10), "a100-40": Sold("A100-40GB", 2.10), "a100-80": Sold("A100-80GB", 2.50),
    "h100": Sold("H100!", 3.95), "h200": Sold("H200", 4.54), "b200": Sold("B200", 6.25),
    "rtx-pro-6000": Sold("RTX-PRO-6000", 3.03),
}  # fmt: skip
"""Price list of 2026-06. `H100!` is an H100, where `H100` may be an H200 too."""
MOST_GPUS = {"a10g": 4}


def gpu_of(launch: JobLaunch) -> str | None:
    """Modal's words for what is asked. Raises Invalid, with what there is, when it is not sold."""
    gpu = parse(launch.gpu_model)
    if gpu.model == NONE:
        return None
    sold = offered(gpu, SOLD, "modal")
    assert sold is not None
    most = MOST_GPUS.get(gpu.model, 8)
    if gpu.count > most:
        raise Invalid(f"gpu_model: modal gives at most {most} {gpu.model} to a job, not {gpu.count}", code="gpu_count")
    return sold.name if gpu.count == 1 else f"{sold.name}:{gpu.count}"
