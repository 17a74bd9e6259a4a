"""The OpenAPI document: complete, also for operations that read their body themselves; see scripts/openapi.py."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from skyscale import wire
from skyscale.wire.base import Request

DESCRIPTION = (
    "Reinforcement learning as a service, on compute you own. One call starts a run: policy server, rollout workers, "
    "experience buffer and trainer. Errors have one shape, `application/problem+json`."
)
REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Serve the complete document at /openapi.json."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi


def document(app: FastAPI) -> dict[str, Any]:
    """What the app's routes say of themselves, with the schemas of the bodies that they read themselves."""
    text = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    schemas = text.setdefault("components", {}).setdefault("schemas", {})
    _, requests = models_json_schema([(model, "validation") for model in request_models()], ref_template=REFERENCE)
    for name, schema in requests.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operation in _operations(text):
        _errors_in_our_shape(operation)
    text["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, the dashboard's token, or a job's."}
    }
    text["security"] = [{"bearer": []}, {}]
    text["components"]["schemas"] = dict(sorted(schemas.items()))
    return text


def request_models() -> list[type[BaseModel]]:
    """Every request body of `wire`, by name."""
    modules = [import_module(f"{wire.__name__}.{module.name}") for module in iter_modules(wire.__path__)]
    found = {value for module in modules for value in vars(module).values() if _is_request(value)}
    return sorted(found, key=lambda model: model.__name__)


def _is_request(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Request) and value is not Request


def _operations(text: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in text["paths"].values() for operation in path.values()]


def _errors_in_our_shape(operation: dict[str, Any]) -> None:
    shape = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    for status, response in operation["responses"].items():
        if status == "422" or (status.startswith("4") and "application/json" in response.get("content", {})):
            response["description"] = response["description"].replace("Validation Error", "A value is refused")
            response["content"] = {"application/problem+json": shape}
