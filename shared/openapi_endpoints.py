"""Every operation of the API: what it takes, gives and can refuse. `openapi` puts it into OpenAPI's
words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from shared import batch_view, body, errors, uploads, view
from shared.batch_body import BatchBody
from shared.catalogue.rows import Lifecycle
from shared.catalogue_view import ModelView
from shared.domain import IMAGE_TYPES, Operation, Status
from shared.errors import DarkroomError
from shared.estimate import EstimateView
from shared.glb import GLB_TYPE
from shared.template_view import TemplateView

JSON = "application/json"
JSONL = "application/jsonl"
WITH_KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"googApiKey": []}]
_PUBLIC: list[dict[str, list[str]]] = []
_WITH_KEY_OR_LINK: list[dict[str, list[str]]] = [{}, *WITH_KEY]

Errors = tuple[type[DarkroomError], ...]
_LOOK_UP: Errors = (errors.NotFound,)
_LISTING: Errors = (errors.InvalidRequest,)
_JSON_BODY: Errors = (errors.InvalidRequest, errors.PayloadTooLarge)
_MODEL: Errors = (errors.NotFound, errors.ModelRetired)
_ADMISSION: Errors = (
    errors.InsufficientCredit,
    errors.IdempotencyConflict,
    errors.RateLimited,
    errors.QuotaExceeded,
    errors.ProviderUnavailable,
)
_PROVIDER: Errors = (
    errors.ContentBlocked,
    errors.NoImage,
    errors.ProviderError,
    errors.OutcomeUnknown,
)
_LATER: Errors = (*_JSON_BODY, *_MODEL, *_ADMISSION, *_PROVIDER)
"""Of work that is not waited for. A provider's are those of a request that was found again."""
_WORK: Errors = (*_LATER, errors.InProgress)

IDEMPOTENCY_KEY = Annotated[str, Field(min_length=1, max_length=255)]
PREFER = Annotated[
    str,
    Field(
        description="respond-async: answer 202 at once, and make it later",
        examples=["respond-async"],
    ),
]
_Limit = Annotated[int, Field(default=20, ge=1, le=100)]
_Cursor = Annotated[str, Field(max_length=255, description="next_cursor of the page before")]
_Expires = Annotated[int, Field(ge=0, description="Of a signed link: its end, in Unix seconds")]
_Signature = Annotated[str, Field(max_length=64, description="Of a signed link")]
_Announced = Annotated[str, Field(description="Of the link, as it was announced")]

_PAGE: dict[str, Any] = {"limit": _Limit, "cursor": _Cursor}
_LINK: dict[str, Any] = {"expires": _Expires, "signature": _Signature}

TAGS = {
    "generate": "Text to images",
    "edit": "Images and an instruction to images",
    "batch": "Many requests as one job",
    "three_d": "An image or a text to a 3D model; at /three-d on Cloud Functions",
    "account": "The caller's requests, images, usage, balance and uploads",
    "models": "The catalogue, templates, price estimates and this description; public",
}
IDS = {
    "batch": "bat_…",
    "requests": "req_…",
    "images": "img_…",
    "uploads": "upl_…",
    "models": "An id or an alias",
}
"""What {id} is after each of these."""

HEADERS = {
    "Retry-After": ("integer", "Whole seconds to wait before asking again, where that helps"),
    "WWW-Authenticate": ("string", "Bearer"),
    "x-request-id": ("string", "The request that keeps this answer, where there is one"),
    "Idempotent-Replayed": ("string", "true when the idempotency key had this answer already"),
    "Location": ("string", "Where to look for it: a path below the server's"),
    "Preference-Applied": ("string", "respond-async"),
}
_OF_REQUESTS = ("x-request-id", "Idempotent-Replayed")
_OF_QUEUED = ("Location", "Preference-Applied")


@dataclass(frozen=True)
class Endpoint:
    """One operation. `returns` is a view, or content types; one of JSONL is a line of it. `query`
    maps names to their types, `raises` lists its errors beside Unauthenticated, where a key is
    asked for, and Internal. `answers` are the statuses it succeeds with, each with the headers of
    its own, `tells` the headers of every answer. `keyed` takes an idempotency key, and one that
    `defers` is told in a header not to wait."""

    method: str
    path: str
    summary: str
    returns: type[BaseModel] | tuple[str, ...]
    raises: Errors = ()
    takes: type[BaseModel] | tuple[str, ...] = ()
    query: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: {200: ()})
    security: list[dict[str, list[str]]] = field(default_factory=lambda: WITH_KEY)
    description: str = ""
    returns_as: str = JSON
    tells: tuple[str, ...] = ()
    keyed: bool = False
    defers: bool = False
    query_required: bool = False


_PICTURES = (
    Endpoint(
        "post", "/generate", "Text to images", view.RequestView, _WORK, body.GenerateBody,
        answers={200: (), 202: _OF_QUEUED}, tells=_OF_REQUESTS, keyed=True, defers=True,
    ),
    Endpoint(
        "post", "/edit", "Images and an instruction to images", view.RequestView,
        (*_WORK, errors.UnsupportedImage), body.EditBody,
        answers={200: (), 202: _OF_QUEUED}, tells=_OF_REQUESTS, keyed=True, defers=True,
    ),
    Endpoint(
        "post", "/three_d", "An image or a text to a 3D model", view.RequestView,
        (*_LATER, errors.UnsupportedImage), body.ThreeDBody,
        answers={200: (), 202: _OF_QUEUED}, tells=_OF_REQUESTS, keyed=True,
        description="It takes minutes, so the answer is 202; 200 where the idempotency key's "
        "request has ended. The model, a GLB file, is in `assets`.",
    ),
)  # fmt: skip

_BATCHES = (
    Endpoint(
        "post", "/batch", "Many requests as one job", batch_view.BatchView,
        (*_JSON_BODY, *_LOOK_UP, *_ADMISSION), BatchBody,
        answers={202: ("Location",)}, keyed=True,
        description="Every item is checked and priced before the answer. If one cannot be done "
        "nothing is begun: the error's `details.lines` has the first hundred, by number.",
    ),
    Endpoint(
        "get", "/batch", "Batches, newest first", view.ListView[batch_view.BatchView], _LISTING,
        query=_PAGE,
    ),
    Endpoint("get", "/batch/{id}", "One batch as of now", batch_view.BatchView, _LOOK_UP),
    Endpoint(
        "post", "/batch/{id}/cancel", "Begin no item any more", batch_view.BatchView,
        (*_LOOK_UP, errors.InvalidRequest, errors.ProviderUnavailable),
        description="What a provider has made by then is delivered and charged.",
    ),
    Endpoint(
        "get", "/batch/{id}/results", "A line for every item that has ended so far",
        batch_view.ItemView, _LOOK_UP, returns_as=JSONL,
        description="In the order they ended: `custom_id` says which is which.",
    ),
)  # fmt: skip

_ACCOUNT = (
    Endpoint("get", "/account", "Balance, limits and their use", view.AccountView),
    Endpoint(
        "get", "/account/requests", "Requests, newest first", view.ListView[view.RequestView],
        (*_LISTING, *_LOOK_UP),
        query={
            "status": Status,
            "operation": Operation,
            "model": Annotated[str, Field(description="An id or an alias")],
            "idempotency_key": IDEMPOTENCY_KEY,
            **_PAGE,
        },
    ),
    Endpoint("get", "/account/requests/{id}", "One request", view.RequestView, _LOOK_UP),
    Endpoint(
        "delete", "/account/requests/{id}", "Delete a request and its images", view.DeletedView,
        (*_LOOK_UP, errors.InProgress),
    ),
    Endpoint(
        "post", "/account/requests/{id}/cancel", "Cancel a request that nobody waits for",
        view.RequestView, (*_LOOK_UP, errors.InvalidRequest),
        description="One that was answered 202, before it is made or meanwhile. A provider that is "
        "at it already is not called back: its picture is thrown away, and nothing is charged.",
    ),
    Endpoint(
        "get", "/account/images/{id}", "A picture's or 3D model's bytes, by key or by signed link",
        (*IMAGE_TYPES.values(), GLB_TYPE),
        (*_LOOK_UP, errors.Forbidden, errors.Unauthenticated),
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
        (*_JSON_BODY, errors.NotFound), uploads.UploadBody, answers={201: ()},
        description="With `metadata` the file sets off a job once it is there.",
    ),
    Endpoint(
        "put", "/account/uploads/{id}", "Where an upload's link leads; it needs no key", (),
        (*_JSON_BODY, errors.Forbidden, errors.RateLimited, errors.QuotaExceeded,
         errors.ProviderUnavailable),
        ("*/*",), answers={204: ()}, security=_PUBLIC,
        query={"name": _Announced, "type": _Announced, "bytes": _Announced, "labels": _Announced,
               **_LINK},
        query_required=True,
    ),
)  # fmt: skip

_MODELS = (
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
        "get", "/models/templates", "Prompt templates", view.ListView[TemplateView], _LISTING,
        security=_PUBLIC,
    ),
    Endpoint(
        "post", "/models/estimate", "What a request would cost by every route", EstimateView,
        (*_JSON_BODY, *_MODEL), body.EstimateBody, security=_PUBLIC,
    ),
    Endpoint(
        "get", "/models/openapi.json", "This description", (JSON,), security=_PUBLIC
    ),
)  # fmt: skip

ENDPOINTS = (*_PICTURES, *_BATCHES, *_ACCOUNT, *_MODELS)
