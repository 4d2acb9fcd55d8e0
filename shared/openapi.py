"""The OpenAPI 3.1 description of the API, built from the bodies and views themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared import body, errors, uploads, view
from shared.catalogue.rows import Lifecycle
from shared.catalogue_view import ModelView
from shared.domain import IMAGE_TYPES, Operation, Status
from shared.errors import DarkroomError
from shared.estimate import EstimateView
from shared.surfaces import openapi as surfaces

_JSON = "application/json"
_WITH_KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"googApiKey": []}]
_PUBLIC: list[dict[str, list[str]]] = []
_WITH_KEY_OR_LINK: list[dict[str, list[str]]] = [{}, *_WITH_KEY]

Errors = tuple[type[DarkroomError], ...]
_LOOK_UP: Errors = (errors.NotFound,)
_LISTING: Errors = (errors.InvalidRequest,)
_JSON_BODY: Errors = (errors.InvalidRequest, errors.PayloadTooLarge)
_MODEL: Errors = (errors.NotFound, errors.ModelRetired)
_ADMISSION: Errors = (
    errors.InsufficientCredit,
    errors.InProgress,
    errors.IdempotencyConflict,
    errors.RateLimited,
    errors.QuotaExceeded,
)
_PROVIDER: Errors = (
    errors.ContentBlocked,
    errors.NoImage,
    errors.ProviderError,
    errors.ProviderUnavailable,
    errors.OutcomeUnknown,
)
_WORK: Errors = (*_JSON_BODY, *_MODEL, *_ADMISSION, *_PROVIDER)

_Limit = Annotated[int, Field(default=20, ge=1, le=100)]
_Cursor = Annotated[str, Field(max_length=255, description="next_cursor of the page before")]
_IdempotencyKey = Annotated[str, Field(min_length=1, max_length=255)]
_Expires = Annotated[int, Field(ge=0, description="Of a signed link: its end, in Unix seconds")]
_Signature = Annotated[str, Field(max_length=64, description="Of a signed link")]
_Announced = Annotated[str, Field(description="Of the link, as it was announced")]

_PAGE: dict[str, Any] = {"limit": _Limit, "cursor": _Cursor}
_LINK: dict[str, Any] = {"expires": _Expires, "signature": _Signature}

_TAGS = {
    "generate": "Text to images",
    "edit": "Images and an instruction to images",
    "account": "The caller's requests, images, usage, balance and uploads",
    "models": "The catalogue, price estimates and this description; public",
    **surfaces.TAGS,
}
_IDS = {
    "requests": "req_…",
    "images": "img_…",
    "uploads": "upl_…",
    "models": "An id or an alias",
}
"""What {id} is after each of these."""

_HEADERS = {
    "Retry-After": ("integer", "Whole seconds to wait before asking again, where that helps"),
    "WWW-Authenticate": ("string", "Bearer"),
    "x-request-id": ("string", "The request that keeps this answer, where there is one"),
    "Idempotent-Replayed": ("string", "true when the idempotency key had this answer already"),
}
_OF_IDEMPOTENT = ("x-request-id", "Idempotent-Replayed")
_OF_STATUS = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


@dataclass(frozen=True)
class Endpoint:
    """One operation. `returns` is a view, or content types; `query` maps names to their types,
    `raises` lists its errors beside Unauthenticated, where a key is asked for, and Internal."""

    method: str
    path: str
    summary: str
    returns: type[BaseModel] | tuple[str, ...]
    raises: Errors = ()
    takes: type[BaseModel] | tuple[str, ...] = ()
    query: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    security: list[dict[str, list[str]]] = field(default_factory=lambda: _WITH_KEY)
    idempotent: bool = False
    query_required: bool = False


ENDPOINTS = (
    Endpoint(
        "post", "/generate", "Text to images", view.RequestView,
        _WORK, body.GenerateBody, idempotent=True,
    ),
    Endpoint(
        "post", "/edit", "Images and an instruction to images", view.RequestView,
        (*_WORK, errors.UnsupportedImage), body.EditBody, idempotent=True,
    ),
    Endpoint("get", "/account", "Balance, limits and their use", view.AccountView),
    Endpoint(
        "get", "/account/requests", "Requests, newest first", view.ListView[view.RequestView],
        (*_LISTING, *_LOOK_UP),
        query={
            "status": Status,
            "operation": Operation,
            "model": Annotated[str, Field(description="An id or an alias")],
            "idempotency_key": _IdempotencyKey,
            **_PAGE,
        },
    ),
    Endpoint("get", "/account/requests/{id}", "One request", view.RequestView, _LOOK_UP),
    Endpoint(
        "delete", "/account/requests/{id}", "Delete a request and its images", view.DeletedView,
        (*_LOOK_UP, errors.InProgress),
    ),
    Endpoint(
        "post", "/account/requests/{id}/cancel", "Cancel a queued request", view.RequestView,
        (*_LOOK_UP, errors.InvalidRequest),
    ),
    Endpoint(
        "get", "/account/images/{id}", "A picture's bytes, by key or by signed link",
        tuple(IMAGE_TYPES.values()), (*_LOOK_UP, errors.Forbidden, errors.Unauthenticated),
        query=_LINK, security=_WITH_KEY_OR_LINK,
    ),
    Endpoint(
        "get", "/account/usage", "Pictures and spending", view.ListView[view.UsageGroupView],
        _LISTING,
        query={
            "from": Annotated[date, Field(description="Its first day; 30 days before `to`")],
            "to": Annotated[date, Field(description="Its last day; today")],
            "group_by": Annotated[Literal["day", "model", "provider"], Field(default="day")],
        },
    ),
    Endpoint(
        "get", "/account/ledger", "Grants, charges and expiries, newest first",
        view.ListView[view.EntryView], _LISTING, query=_PAGE,
    ),
    Endpoint(
        "post", "/account/uploads", "Leave to upload a file", view.UploadView,
        _JSON_BODY, uploads.UploadBody, status=201,
    ),
    Endpoint(
        "put", "/account/uploads/{id}", "Where an upload's link leads; it needs no key", (),
        (*_JSON_BODY, errors.Forbidden), ("*/*",), status=204, security=_PUBLIC,
        query={"name": _Announced, "type": _Announced, "bytes": _Announced, "labels": _Announced,
               **_LINK},
        query_required=True,
    ),
    Endpoint(
        "get", "/models", "The catalogue", view.ListView[ModelView], _LISTING, security=_PUBLIC,
        query={
            "operation": Operation,
            "provider": str,
            "resolution": str,
            "seed": bool,
            "mask": bool,
            "batch": bool,
            "status": Lifecycle,
            "sort": Literal["price", "speed"],
        },
    ),
    Endpoint(
        "get", "/models/{id}", "One model, retired or not", ModelView, _LOOK_UP, security=_PUBLIC
    ),
    Endpoint(
        "post", "/models/estimate", "What a request would cost by every route", EstimateView,
        (*_JSON_BODY, *_MODEL), body.EstimateBody, security=_PUBLIC,
    ),
    Endpoint(
        "get", "/models/openapi.json", "This description", (_JSON,), security=_PUBLIC
    ),
)  # fmt: skip


def document(public_url: str) -> dict[str, Any]:
    """The description, with `public_url` as its server."""
    paths: dict[str, dict[str, Any]] = {}
    schemas, components = _schemas()
    for endpoint in ENDPOINTS:
        operation = _operation(endpoint, schemas, components["EditBody"])
        paths.setdefault(endpoint.path, {})[endpoint.method] = operation
    paths |= surfaces.paths(_WITH_KEY)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Darkroom", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": public_url}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": components | surfaces.schemas(),
            "headers": {
                name: {"description": text, "schema": {"type": kind}}
                for name, (kind, text) in _HEADERS.items()
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
    ends = {view.ErrorView: "serialization"}
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
    return {_JSON: {"schema": schemas[carried]}}


def _multipart(edit: dict[str, Any]) -> dict[str, Any]:
    """The fields of an edit as parts: images as files, anything that is no text as JSON."""
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file, "maxItems": body.MAX_IMAGES}
    in_json = {"type": "string", "contentMediaType": _JSON}
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
        named: Any = Annotated[str, Field(description=_IDS[before.rpartition("/")[2]])]
        parameters.append(_parameter("id", "path", named, required=True))
    for name, kind in endpoint.query.items():
        parameters.append(_parameter(name, "query", kind, required=endpoint.query_required))
    if endpoint.idempotent:
        parameters.append(_parameter("Idempotency-Key", "header", _IdempotencyKey))
    return parameters


def _parameter(name: str, where: str, kind: Any, *, required: bool = False) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    schema = adapter.json_schema()
    description = schema.pop("description", None)
    parameter = {"name": name, "in": where, "required": required, "schema": schema}
    return {**parameter, "description": description} if description else parameter


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    raises: set[type[DarkroomError]] = {*endpoint.raises, errors.Internal}
    if endpoint.security is _WITH_KEY:
        raises.add(errors.Unauthenticated)
    codes: dict[int, list[str]] = {}
    for error in sorted(raises, key=lambda error: (error.status, error.code)):
        codes.setdefault(error.status, []).append(error.code)
    problem = {"content": _content(view.ErrorView, schemas)}
    success = {"content": _content(endpoint.returns, schemas)} if endpoint.returns else {}
    return {
        str(endpoint.status): _response(endpoint, endpoint.status, endpoint.summary, success),
        **{
            str(status): _response(endpoint, status, ", ".join(several), problem)
            for status, several in codes.items()
        },
    }


def _response(
    endpoint: Endpoint, status: int, description: str, content: dict[str, Any]
) -> dict[str, Any]:
    names = (*_OF_STATUS.get(status, ()), *(_OF_IDEMPOTENT if endpoint.idempotent else ()))
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    described = {"description": description, **content}
    return {**described, "headers": headers} if headers else described
