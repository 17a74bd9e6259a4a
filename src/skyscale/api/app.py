"""The app: `create_app(settings)` builds every part, its lifespan starts and stops them.

Nothing is global: a process may hold several apps. Routes find the parts through `api.deps`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter, FastAPI

from skyscale import __version__
from skyscale.api import errors, openapi, pages, routes, services
from skyscale.api.direct import Direct
from skyscale.api.guard import Guard
from skyscale.api.middleware import Boundary
from skyscale.settings import Settings


def create_app(settings: Settings, parts: services.Services | None = None) -> FastAPI:
    """The control plane as an ASGI app; `parts` are built from the settings unless they are given."""
    parts = parts or services.build(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with services.running(parts):
            yield

    app = FastAPI(title="Skyscale", version=__version__, lifespan=lifespan, separate_input_output_schemas=False)
    app.state.services = parts
    errors.install(app)
    openapi.install(app)
    routers = all_routers()
    app.add_middleware(Direct, routers=routers, parts=parts)
    app.add_middleware(Guard, settings=settings, tokens=parts.tokens, keys=parts.keys)
    larger = {("POST", "/api/rl/problem-sets"): settings.problem_set_max_bytes}
    app.add_middleware(Boundary, metrics=parts.metrics, max_body_bytes=settings.max_body_bytes, larger=larger)
    for router in routers:
        app.include_router(router)
    pages.install(app)
    return app


def all_routers() -> list[APIRouter]:
    """The `router` of every module in `api/routes`, by name of the module."""
    names = sorted(module.name for module in iter_modules(routes.__path__))
    return [import_module(f"{routes.__name__}.{name}").router for name in names]
