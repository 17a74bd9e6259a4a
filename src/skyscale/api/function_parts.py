"""The parts of functions, built and joined."""

from collections.abc import Callable, Mapping

from skyscale.functions.calls.dispatched import Dispatched
from skyscale.functions.calls.service import ExecutionService
from skyscale.functions.endpoints.service import EndpointService
from skyscale.functions.layers import Layers
from skyscale.functions.pool import Pool
from skyscale.functions.service import FunctionService
from skyscale.jobs.provider import Abilities
from skyscale.jobs.service import JobService
from skyscale.sandboxes.loading import load_workspaces
from skyscale.settings import Settings
from skyscale.store.engine import Database
from skyscale.telemetry.metrics import Metrics


def build(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    jobs: JobService,
    providers: Mapping[str, Abilities],
    *,
    base_url: Callable[[], str],
    label: str,
) -> tuple[FunctionService, ExecutionService, EndpointService]:
    """Registry, calls and endpoints; nothing is started. `label` marks the processes of their sandboxes."""
    pool = Pool(load_workspaces("process", label=f"{label}f"), max_warm=settings.function_max_warm)
    functions = FunctionService(
        database, Layers(settings.data_dir / "function-layers"), pool,
        providers=providers, gpu_calls=settings.function_gpu_calls,
    )  # fmt: skip
    executions = ExecutionService(
        database, functions, pool, Dispatched(jobs), metrics,
        slots=settings.function_slots, gpu_calls=settings.function_gpu_calls,
    )  # fmt: skip
    metrics.function_calls_open.set_function(lambda: executions.num_open)
    metrics.function_sandboxes_ready.set_function(lambda: pool.num_all_ready)
    return functions, executions, EndpointService(database, functions, executions, base_url)
