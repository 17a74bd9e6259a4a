"""Requests and answers held against an OpenAPI description; a field that it does not name is refused."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

DATA = Path(__file__).parent.parent / "data"


class Description:
    """One description."""

    def __init__(self, name: str) -> None:
        self._root = yaml.safe_load((DATA / name).read_text(encoding="utf-8"))

    def refusal(self, method: str, path: str, query: dict[str, str], body: Any) -> str | None:
        """Why the description has no place for a request; None when it has."""
        operation = self._operation(method, path)
        if operation is None:
            return f"{method} {path} is not described"
        known = {each["name"]: each["schema"] for each in operation.get("parameters", [])}
        if unknown := set(query) - set(known):
            return f"query: {sorted(unknown)} is not described"
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if (schema is None) != (body is None):
            return "body: " + ("none is described" if schema is None else "there must be one")
        try:
            for name, value in query.items():
                whole = known[name].get("type") == "integer" and value.isdecimal()
                jsonschema.validate(int(value) if whole else value, self._plain(known[name], closed=False))
            if schema is not None:
                jsonschema.validate(body, self._plain(schema, closed=True))
        except jsonschema.ValidationError as error:
            return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        return None

    def check_answer(self, method: str, path: str, status: int, body: Any) -> None:
        """Raise when the played server answers what the real one could not."""
        operation = self._operation(method, path)
        assert operation is not None
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(body, self._plain(schema, closed=False))

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for template, item in self._root["paths"].items():
            if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
                return item.get(method.lower())
        return None

    def _plain(self, schema: Any, *, closed: bool) -> Any:
        """As JSON Schema: references resolved, `nullable` a type, objects closed where they name their fields."""
        if isinstance(schema, list):
            return [self._plain(each, closed=closed) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            return self._plain(self._root["components"]["schemas"][schema["$ref"].rpartition("/")[2]], closed=closed)
        plain = {key: self._plain(value, closed=closed) for key, value in schema.items() if key != "nullable"}
        if schema.get("nullable"):
            plain["type"] = [plain["type"], "null"]
        if closed and "properties" in plain:
            plain.setdefault("additionalProperties", False)
        return plain
