"""The OpenAPI 3.1 description of the API, built from the bodies and views themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared import body, errors, uploads, view
from shared.catalogue_view import ModelView
from shared.estimate import EstimateView

_SECURE: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]


@dataclass(frozen=True)
class Path:
    """One operation: what goes in and comes out, and the parameters it takes."""

    method: str
    path: str
    summary: str
    returns: type[BaseModel] | str
    takes: type[BaseModel] | None = None
    status: int = 200
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    public: bool = False
    multipart: bool = False


PATHS = (
    Path("post", "/generate", "Text to images", view.RequestView, body.GenerateBody,
         headers=("Idempotency-Key",)),
    Path("post", "/edit", "Images and an instruction to images", view.RequestView, body.EditBody,
         headers=("Idempotency-Key",), multipart=True),
    Path("get", "/account", "Balance, limits and their use", view.AccountView),
    Path("get", "/account/requests", "Requests, newest first", view.ListView[view.RequestView],
         query=("status", "operation", "model", "idempotency_key", "limit", "cursor")),
    Path("get", "/account/requests/{id}", "One request", view.RequestView),
    Path("delete", "/account/requests/{id}", "Delete a request and its images", view.DeletedView),
    Path("post", "/account/requests/{id}/cancel", "Cancel a queued request", view.RequestView),
    Path("get", "/account/images/{id}", "A picture's bytes; a signed link needs no key", "image/*",
         query=("expires", "signature")),
    Path("get", "/account/usage", "Pictures and spending", view.ListView[view.UsageGroupView],
         query=("from", "to", "group_by")),
    Path("get", "/account/ledger", "Grants, charges, expiries", view.ListView[view.EntryView],
         query=("limit", "cursor")),
    Path("post", "/account/uploads", "Leave to upload a file", view.UploadView, uploads.UploadBody,
         status=201),
    Path("get", "/models", "The catalogue", view.ListView[ModelView], public=True,
         query=("operation", "provider", "resolution", "seed", "mask", "batch", "status", "sort")),
    Path("get", "/models/{id}", "One model, by id or alias", ModelView, public=True),
    Path("post", "/models/estimate", "What a request would cost by every route",
         EstimateView, body.EstimateBody, public=True),
)  # fmt: skip


def document(public_url: str) -> dict[str, Any]:
    """The description, with `public_url` as its server."""
    models = {p.takes: "validation" for p in PATHS if p.takes}
    models |= {p.returns: "serialization" for p in PATHS if not isinstance(p.returns, str)}
    models[view.ErrorView] = "serialization"
    refs, definitions = models_json_schema(
        [(model, mode) for model, mode in models.items()],  # type: ignore[misc] # modes are literals
        ref_template="#/components/schemas/{model}",
    )
    schemas = {model: schema for (model, _), schema in refs.items()}
    paths: dict[str, dict[str, Any]] = {}
    for path in PATHS:
        paths.setdefault(path.path, {})[path.method] = _operation(path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Darkroom", "version": "1", "license": {"name": "Apache-2.0"}},
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(path: Path, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": path.summary,
        "operationId": _operation_id(path),
        "security": [] if path.public else _SECURE,
        "parameters": _parameters(path),
        "responses": _responses(path, schemas),
    }
    if path.takes is not None:
        content: dict[str, Any] = {"application/json": {"schema": schemas[path.takes]}}
        if path.multipart:
            content["multipart/form-data"] = {"schema": {"type": "object"}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(path: Path) -> str:
    words = [w.strip("{}") for w in path.path.strip("/").split("/")]
    return "_".join([path.method, *words])


def _parameters(path: Path) -> list[dict[str, Any]]:
    def parameter(name: str, where: str) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer"} if name == "limit" else {"type": "string"}
        return {"name": name, "in": where, "required": where == "path", "schema": schema}

    inside = ["id"] if "{id}" in path.path else []
    return [
        *(parameter(name, "path") for name in inside),
        *(parameter(name, "query") for name in path.query),
        *(parameter(name, "header") for name in path.headers),
    ]


def _responses(path: Path, schemas: dict[Any, Any]) -> dict[str, Any]:
    if isinstance(path.returns, str):
        content: dict[str, Any] = {path.returns: {}}
    else:
        content = {"application/json": {"schema": schemas[path.returns]}}
    problem = {"application/json": {"schema": schemas[view.ErrorView]}}
    refusals: dict[int, list[str]] = {}
    for error in errors.every():
        refusals.setdefault(error.status, []).append(error.code)
    return {
        str(path.status): {"description": path.summary, "content": content},
        **{
            str(status): {"description": ", ".join(dict.fromkeys(codes)), "content": problem}
            for status, codes in sorted(refusals.items())
        },
    }
