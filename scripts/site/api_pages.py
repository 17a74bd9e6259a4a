"""The HTTP API as pages: one for each tag of openapi.json, one with every schema. Pure but for the files it writes."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


def write(openapi: Path, folder: Path) -> None:
    """Make `folder` out of the description."""
    described = json.loads(openapi.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    by_tag: dict[str, list[str]] = defaultdict(list)
    listed: dict[str, list[str]] = defaultdict(list)
    for path, calls in described["paths"].items():
        for method in METHODS:
            if (call := calls.get(method)) is not None:
                tag = (call.get("tags") or ["other"])[0].replace(" ", "-")
                by_tag[tag].append(_call(method, path, call))
                listed[tag].append(f"| `{method.upper()} {path}` | {call.get('summary', '')} |")
    index = ["# HTTP API", "", described["info"]["description"], "", "The machine-readable description is"]
    index += ["[openapi.json](../openapi.json); a control plane serves it with a console at `/docs`.", ""]
    for tag in sorted(by_tag):
        (folder / f"{tag}.md").write_text(f"# {tag.capitalize().replace('-', ' ')}\n\n" + "\n".join(by_tag[tag]))
        index += [f"## [{tag}]({tag}.md)", "", "| call | does |", "|---|---|", *listed[tag], ""]
    index += ["Every body is in [schemas](schemas.md)."]
    (folder / "index.md").write_text("\n".join(index) + "\n")
    (folder / "schemas.md").write_text(_schemas(described["components"]["schemas"]))


def _call(method: str, path: str, call: dict[str, Any]) -> str:
    lines = [f"## {method.upper()} {path}", "", f"**{call.get('summary', '')}**. {call.get('description', '')}", ""]
    if parameters := call.get("parameters"):
        lines += ["| parameter | in | type | |", "|---|---|---|---|"]
        for each in parameters:
            required = "required" if each.get("required") else ""
            lines.append(f"| `{each['name']}` | {each['in']} | {_type(each.get('schema', {}))} | {required} |")
        lines.append("")
    for media, content in call.get("requestBody", {}).get("content", {}).items():
        lines += [f"Body (`{media}`): {_type(content.get('schema', {}))}", ""]
    lines += ["| status | reply |", "|---|---|"]
    for status, reply in call.get("responses", {}).items():
        bodies = [_type(content.get("schema", {})) for content in reply.get("content", {}).values()]
        lines.append(f"| {status} | {reply.get('description', '')} {', '.join(dict.fromkeys(bodies))} |")
    return "\n".join(lines) + "\n"


def _schemas(schemas: dict[str, Any]) -> str:
    lines = ["# Schemas", ""]
    for name, schema in sorted(schemas.items()):
        lines += [f"## {name}", "", _cell(schema.get("description", "")), ""]
        if "enum" in schema:
            lines += [", ".join(f"`{value}`" for value in schema["enum"]), ""]
        if properties := schema.get("properties"):
            required = set(schema.get("required", []))
            lines += ["| field | type | | meaning |", "|---|---|---|---|"]
            for key, field in properties.items():
                default = (
                    "required" if key in required else f"`{json.dumps(field['default'])}`" if "default" in field else ""
                )
                meaning = _cell(field.get("description", ""))
                lines.append(f"| `{key}` | {_type(field, here=True)} | {_cell(default)} | {meaning} |")
            lines.append("")
    return "\n".join(lines)


def _type(schema: dict[str, Any], *, here: bool = False) -> str:
    """What a value is, with links to schemas; `here` on the page of the schemas themselves."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}]({'' if here else 'schemas.md'}#{name.lower()})"
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(each, here=here) for each in alternatives)
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), here=here)}"
    if schema.get("type") == "object" and isinstance(inner := schema.get("additionalProperties"), dict):
        return f"map to {_type(inner, here=here)}"
    return str(schema.get("type", "anything")) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    names = {
        "minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "minLength": "length ≥",
        "maxLength": "length ≤", "minItems": "items ≥", "maxItems": "items ≤",
    }  # fmt: skip
    said = [f"{sign} {schema[name]}" for name, sign in names.items() if name in schema]
    return f" ({', '.join(said)})" if said else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
