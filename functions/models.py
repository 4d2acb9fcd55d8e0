"""`/models`: the catalogue, its prompt templates, price estimates and the API's description;
public."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import get_args

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions import http, query
from shared import body, pricing, view
from shared.catalogue import Catalogue
from shared.catalogue.rows import Lifecycle, Model, Route
from shared.catalogue_view import of_model
from shared.domain import Operation
from shared.errors import InvalidRequest
from shared.estimate import estimate
from shared.records import Page
from shared.template_view import of_template

_CACHED = {"cache-control": "public, max-age=60"}


async def list_models(request: Request) -> Response:
    """Models that can do what the query says, in the catalogue's order or by price or speed."""
    query.only(
        request, "operation", "provider", "resolution", "seed", "mask", "batch", "status", "sort"
    )
    app, sent = http.app(), request.query_params
    today = app.today()
    query.one_of(sent.get("operation"), get_args(Operation), "operation")
    query.one_of(sent.get("status"), get_args(Lifecycle), "status")
    query.one_of(sent.get("provider"), tuple(app.catalogue.providers), "provider")
    tests: dict[str, Callable[[Model, Route, str], bool]] = {
        "operation": lambda offer, _, v: v in offer.operations,
        "provider": lambda _, route, v: route.provider == v,
        "resolution": lambda offer, _, v: v in offer.resolutions,
        "seed": lambda offer, _, v: offer.seed == _flag(v, "seed"),
        "mask": lambda offer, _, v: offer.mask == _flag(v, "mask"),
        "batch": lambda _, route, v: bool(route.batch_price) == _flag(v, "batch"),
    }
    asked = [(test, sent[name]) for name, test in tests.items() if name in sent]
    status = sent.get("status")
    models = [
        model
        for model in app.catalogue.models.values()
        if status in (None, model.lifecycle(today))
        and any(
            # What one provider makes of it if that is asked, else what the best does.
            all(
                test(app.catalogue.offer(route) if "provider" in sent else model, route, value)
                for test, value in asked
            )
            for route in model.routes
        )
    ]
    if "sort" in sent:
        models.sort(key=_sorting(sent["sort"], app.catalogue, today))
    views = tuple(of_model(model, today) for model in models)
    return http.show(view.list_of(Page(views)), headers=_CACHED)


async def show_model(request: Request) -> Response:
    """One model, by id or alias, retired or not."""
    app = http.app()
    model = app.catalogue.find(request.path_params["id"])
    return http.show(of_model(model, app.today()), headers=_CACHED)


async def list_templates(request: Request) -> Response:
    """The prompt templates, in the catalogue's order."""
    query.only(request)
    app = http.app()
    templates = app.catalogue.templates.values()
    views = tuple(of_template(row, app.catalogue, app.today()) for row in templates)
    return http.show(view.list_of(Page(views)), headers=_CACHED)


async def estimate_cost(request: Request) -> Response:
    """Every route that can do a request, with its price, every other with its reason, and which to
    choose: of what test keys reach, for a caller who sends one."""
    app = http.app()
    test = (http.key_of(request) or "").startswith("dk_test_")
    fields = await http.fields(request, http.MAX_PUBLIC_BODY_BYTES)
    parsed = body.estimate(fields, app.catalogue.templates)
    # Where no provider is open there is the sandbox, which plays them all.
    open_to = app.transport.open_to(test=test) or app.transport.open_to(test=True)
    return http.show(estimate(parsed, app.catalogue, open_to, app.today()))


async def show_openapi(request: Request) -> Response:
    """The OpenAPI 3.1 description of the whole API."""
    # Imported here because hardly anybody asks for it, and every function would pay for it.
    from shared import openapi

    return JSONResponse(openapi.document(http.app().settings.public_url), headers=_CACHED)


def _flag(text: str, param: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidRequest(f"{param} is true or false.", param=param)
    return text == "true"


def _sorting(by: str, catalogue: Catalogue, today: date) -> Callable[[Model], tuple[bool, float]]:
    """Retired models come last: what they cost or how fast they were helps nobody choose."""
    if by == "speed":
        return lambda model: (not model.live(today), model.typical_seconds)
    if by == "price":
        return lambda model: (not model.live(today), pricing.lowest_micros(model, catalogue, today))
    raise InvalidRequest("sort is price or speed.", param="sort")


APP = http.routes(
    "models",
    [
        ("GET", "", list_models),
        ("POST", "/estimate", estimate_cost),
        ("GET", "/openapi.json", show_openapi),
        ("GET", "/templates", list_templates),
        ("GET", "/{id}", show_model),
    ],
)


@functions_framework.aio.http
async def models(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
