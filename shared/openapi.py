"""The OpenAPI 3.1 description of the API, built from the bodies and views themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared import body, errors, openapi_webhooks, view
from shared.batch_body import NOT_OF_DEFAULTS, BatchBody
from shared.batch_lines import MAX_ID, NOT_OF_ITEMS
from shared.domain import IMAGE_TYPES
from shared.errors import DarkroomError
from shared.openapi_endpoints import (
    ENDPOINTS,
    HEADERS,
    IDEMPOTENCY_KEY,
    IDS,
    JSON,
    JSONL,
    PREFER,
    TAGS,
    WITH_KEY,
    Endpoint,
)
from shared.surfaces import openapi as surfaces
from shared.webhooks import NoticeView

_TAGS = {**TAGS, "webhooks": "What is told to a `webhook_url`", **surfaces.TAGS}
_OF_STATUS = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
"""Fields of a request that somebody waits for, or that stands alone."""


def document(public_url: str) -> dict[str, Any]:
    """The description, with `public_url` as its server."""
    paths: dict[str, dict[str, Any]] = {}
    schemas, components = _schemas()
    notice = components.pop(NoticeView.__name__)
    components |= _items(components)
    for endpoint in ENDPOINTS:
        operation = _operation(endpoint, schemas, components["EditBody"])
        paths.setdefault(endpoint.path, {})[endpoint.method] = operation
    paths |= surfaces.paths(WITH_KEY)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Darkroom", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": public_url}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "webhooks": openapi_webhooks.webhooks(notice, schemas),
        "components": {
            "schemas": components | surfaces.schemas(),
            "headers": {
                name: {"description": text, "schema": {"type": kind}}
                for name, (kind, text) in HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "googApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
            },
        },
    }


class _Schema(GenerateJsonSchema):
    """Answers carry all of their fields, and no field needs a title that repeats its name."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


Schemas = dict[type[BaseModel], dict[str, Any]]
"""Bodies and views → the reference to their component."""


def _schemas() -> tuple[Schemas, dict[str, Any]]:
    """References to the bodies and views, and every component by name."""
    ends: dict[type[BaseModel], Literal["validation", "serialization"]]
    ends = dict.fromkeys((view.ErrorView, NoticeView), "serialization")
    for endpoint in ENDPOINTS:
        if isinstance(endpoint.takes, type):
            ends[endpoint.takes] = "validation"
        if isinstance(endpoint.returns, type):
            ends[endpoint.returns] = "serialization"
    found, definitions = models_json_schema(
        list(ends.items()),
        ref_template="#/components/schemas/{model}",
        schema_generator=_Schema,
    )
    components: dict[str, Any] = definitions["$defs"]
    codes = dict.fromkeys(error.code for error in errors.every())
    # The code that stands in a request which succeeded with fewer pictures is no error's.
    components["ErrorBody"]["properties"]["code"]["enum"] = [*codes, "partially_blocked"]
    return {model: found[model, mode] for model, mode in ends.items()}, components


def _items(components: Mapping[str, Any]) -> dict[str, Any]:
    """Batches' items, which are bodies of /generate or /edit with a name, and the defaults of
    those; the body of a batch says so."""
    edit, batch = components["EditBody"], components[BatchBody.__name__]
    common = {k: v for k, v in edit["properties"].items() if k not in NOT_OF_ITEMS}
    custom_id = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
    shared = {k: v for k, v in common.items() if k not in NOT_OF_DEFAULTS}
    defaults = {"type": "object", "properties": shared, "additionalProperties": False}
    item = {
        **defaults,
        "description": "A body of /generate, or of /edit where it has images; a line of a JSONL.",
        "properties": {"custom_id": custom_id, **common},
        "required": ["custom_id"],
    }
    named = {"BatchItemBody": item, "BatchDefaultsBody": defaults}
    fields = batch["properties"]
    items = {**_listed(fields["items"]), "items": _reference("BatchItemBody")}
    changed = {
        "defaults": {
            **_reference("BatchDefaultsBody"),
            "description": fields["defaults"]["description"],
        },
        "items": {"anyOf": [items, {"type": "null"}], "default": None},
    }
    return {**named, BatchBody.__name__: {**batch, "properties": {**fields, **changed}}}


def _listed(nullable: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an array that may also be null."""
    return next(dict(one) for one in nullable["anyOf"] if one["type"] == "array")


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(endpoint: Endpoint, schemas: Schemas, edit: dict[str, Any]) -> dict[str, Any]:
    words = endpoint.path.strip("/").replace(".", "_").split("/")
    operation: dict[str, Any] = {
        "tags": [words[0]],
        "summary": endpoint.summary,
        "operationId": "_".join([endpoint.method, *(word.strip("{}") for word in words)]),
        "security": endpoint.security,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.takes:
        content = _content(endpoint.takes, schemas)
        if endpoint.takes is body.EditBody:
            content["multipart/form-data"] = _multipart(edit)
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _content(carried: type[BaseModel] | tuple[str, ...], schemas: Schemas) -> dict[str, Any]:
    """A body or view as JSON, or bytes of these content types."""
    if isinstance(carried, tuple):
        return {content_type: {} for content_type in carried}
    return {JSON: {"schema": schemas[carried]}}


def _returned(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    if not endpoint.returns:
        return {}
    content = _content(endpoint.returns, schemas)
    if endpoint.returns_as == JSONL:
        [line] = content.values()
        lines = {"type": "string", "contentMediaType": JSONL, "contentSchema": line["schema"]}
        content = {JSONL: {"schema": lines}}
    return {"content": content}


def _multipart(edit: dict[str, Any]) -> dict[str, Any]:
    """The fields of an edit as parts: images as files, anything that is no text as JSON."""
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "maxItems": body.MAX_IMAGES}
    in_json = {"type": "string", "contentMediaType": JSON}
    parts = {
        **edit["properties"],
        # As an array it would be sent as many parts, and it is one.
        "images": {**in_json, "contentSchema": edit["properties"]["images"]},
        "image": files,
        "image[]": files,
        "mask": {**file, "description": edit["properties"]["mask"]["description"]},
    }
    kinds = ", ".join(IMAGE_TYPES.values())
    return {
        "schema": {"type": "object", "properties": parts, "additionalProperties": False},
        "encoding": {
            "image": {"contentType": kinds},
            "image[]": {"contentType": kinds},
            "mask": {"contentType": IMAGE_TYPES["png"]},
        },
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    before, found, _ = endpoint.path.partition("/{id}")
    if found:
        named: Any = Annotated[str, Field(description=IDS[before.rpartition("/")[2]])]
        parameters.append(_parameter("id", "path", named, required=True))
    for name, kind in endpoint.query.items():
        parameters.append(_parameter(name, "query", kind, required=endpoint.query_required))
    if endpoint.keyed:
        parameters.append(_parameter("Idempotency-Key", "header", IDEMPOTENCY_KEY))
    if endpoint.defers:
        parameters.append(_parameter("Prefer", "header", PREFER))
    return parameters


def _parameter(name: str, where: str, kind: Any, *, required: bool = False) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    schema = adapter.json_schema()
    description = schema.pop("description", None)
    parameter = {"name": name, "in": where, "required": required, "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    raises: set[type[DarkroomError]] = {*endpoint.raises, errors.Internal}
    if endpoint.security is WITH_KEY:
        raises.add(errors.Unauthenticated)
    codes: dict[int, list[str]] = {}
    for error in sorted(raises, key=lambda error: (error.status, error.code)):
        codes.setdefault(error.status, []).append(error.code)
    problem = {"content": _content(view.ErrorView, schemas)}
    success = _returned(endpoint, schemas)
    described = {
        **{status: (_words(endpoint, status), success) for status in endpoint.answers},
        **{status: (", ".join(several), problem) for status, several in codes.items()},
    }
    return {
        str(status): _response(endpoint, status, description, content)
        for status, (description, content) in described.items()
    }


def _words(endpoint: Endpoint, status: int) -> str:
    return "Accepted, to be made later" if status == 202 else endpoint.summary


def _response(
    endpoint: Endpoint, status: int, description: str, content: dict[str, Any]
) -> dict[str, Any]:
    names = (*_OF_STATUS.get(status, ()), *endpoint.tells, *endpoint.answers.get(status, ()))
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    described = {"description": description, **content}
    return {**described, "headers": headers} if headers else described
