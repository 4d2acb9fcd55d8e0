"""The compatible surfaces in the OpenAPI description: which paths there are and how they refuse.
What goes in and out is the vendors' own, and described by them; functions/README.md says which of
their fields count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_snake

from shared.surfaces.table import SURFACES, endpoints

TAGS = {
    "openai": "OpenAI's API: base URL /openai/v1",
    "gemini": "Google's Gemini API: base URL /gemini",
}
DOCS = {
    "openai": "https://platform.openai.com/docs/api-reference",
    "gemini": "https://ai.google.dev/api",
}
_STATUSES = {
    "openai": (400, 401, 404, 409, 413, 422, 429, 500, 502, 503, 504),
    "gemini": (400, 403, 404, 409, 429, 500, 503, 504),
}
_TEXT, _MAYBE_TEXT = {"type": "string"}, {"type": ["string", "null"]}
_ERRORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "openai": (
        "OpenAIError",
        {"message": _TEXT, "type": _TEXT, "param": _MAYBE_TEXT, "code": _MAYBE_TEXT},
    ),
    "gemini": ("GoogleError", {"code": {"type": "integer"}, "message": _TEXT, "status": _TEXT}),
}
_JSON, _FORM = "application/json", "multipart/form-data"
_KINDS: Mapping[str, tuple[str, ...]] = {
    "/openai/v1/images/edits": (_JSON, _FORM),
    "/openai/v1/files": (_FORM,),
}
"""Path → what its body may be, where that is not only JSON."""


def schemas() -> dict[str, Any]:
    """The vendors' errors, by the name of their component."""
    return {
        name: {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": list(properties),
                    "properties": dict(properties),
                }
            },
        }
        for name, properties in _ERRORS.values()
    }


def paths(security: list[dict[str, list[str]]]) -> dict[str, dict[str, Any]]:
    """Every endpoint by path and method."""
    found: dict[str, dict[str, Any]] = {}
    for surface in SURFACES:
        for method, path, fields in endpoints(surface):
            operation = _operation(method, path, security, takes=bool(fields))
            found.setdefault(path, {})[method.lower()] = operation
    return found


def _operation(
    method: str, path: str, security: list[dict[str, list[str]]], *, takes: bool
) -> dict[str, Any]:
    tag = path.split("/")[1]
    words = re.findall("[A-Za-z]{2,}", path.replace("{version}", ""))
    name, _ = _ERRORS[tag]
    error = {_JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    wait = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": f"In the vendor's shapes: {' '.join(words[1:])}",
        "operationId": "_".join([method.lower(), *map(to_snake, words)]),
        "externalDocs": {"url": DOCS[tag]},
        "security": security,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _TEXT}
            for name in re.findall(r"\{(\w+)\}", path)
        ],
        "responses": {
            "200": {"description": "As the vendor answers"},
            **{
                str(status): {
                    "description": "As the vendor refuses",
                    "content": error,
                    **({"headers": wait} if status in (409, 429, 503) else {}),
                }
                for status in _STATUSES[tag]
            },
        },
    }
    if method == "POST" and takes:
        kinds = _KINDS.get(path, (_JSON,))
        content = {kind: {"schema": {"type": "object"}} for kind in kinds}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
