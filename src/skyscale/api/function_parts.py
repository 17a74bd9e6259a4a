"""The parts of functions, built and joined."""

from dataclasses import dataclass
from typing import Protocol

from skyscale.functions.calls.dispatched import Dispatched
from skyscale.functions.calls.service import ExecutionService
from skyscale.functions.endpoints.service import EndpointService
from skyscale.functions.layers import Layers
from skyscale.functions.pool import Pool
from skyscale.functions.service import FunctionService
from skyscale.jobs.service import JobService
from skyscale.sandboxes.loading import load_workspaces
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.telemetry.metrics import Metrics


class Reached(Protocol):
    """Where the control plane is reached, once that is known."""

    url: str


@dataclass(frozen=True, slots=True)
class FunctionParts:
    """Registry, calls and endpoints."""

    registry: FunctionService
    calls: ExecutionService
    endpoints: EndpointService


def build(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    jobs: JobService,
    address: Reached,
    label: str,
) -> FunctionParts:
    """Nothing is started. `label` marks the processes of this data folder's sandboxes."""
    pool = Pool(load_workspaces("process", label=f"{label}f"), max_warm=settings.function_max_warm)
    dispatched = Dispatched(jobs, at_once=settings.function_gpu_calls)
    registry = FunctionService(
        database, Layers(settings.data_dir / "function-layers"), pool, check_job=dispatched.check
    )
    calls = ExecutionService(database, registry, pool, dispatched, metrics, slots=settings.function_slots)
    metrics.function_calls_open.set_function(lambda: calls.num_open)
    metrics.function_sandboxes_ready.set_function(lambda: pool.num_all_ready)
    endpoints = EndpointService(database, registry, calls, lambda: settings.public_base or address.url)
    return FunctionParts(registry, calls, endpoints)
