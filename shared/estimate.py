"""What a request would cost by every route, cheapest first, why others cannot do it, and which to
choose; pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from datetime import date
from typing import Literal

from shared import choice, pricing, routing, sizes
from shared.body import Parsed
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.choice import Mode, Question, Weighed
from shared.domain import ImageRequest
from shared.pricing import usd
from shared.routing import Plan
from shared.view import View


class EstimateRouteView(View):
    """One way to do it, and its price."""

    model: str
    provider: str
    unit_usd: str
    total_usd: str
    batch_total_usd: str | None
    free_tier: str | None
    seconds: float
    why: str


class ExclusionView(View):
    """One way not to do it, and why."""

    model: str
    provider: str
    reason: str


class ChoiceView(View):
    """The way to choose, and why; there are no seconds to tell in a batch."""

    model: str
    provider: str
    mode: Mode
    unit_usd: str
    total_usd: str
    seconds: float | None
    reason: str


class EstimateView(View):
    """Every route that can do a request, cheapest first, and every other with its reason. `choice`
    is the cheapest, fastest or best of them; where there is none, `choice_reason` says why."""

    object: Literal["estimate"] = "estimate"
    choice: ChoiceView | None
    choice_reason: str | None
    routes: list[EstimateRouteView]
    excluded: list[ExclusionView]


def estimate(
    parsed: Parsed, catalogue: Catalogue, open_: Container[str], today: date
) -> EstimateView:
    """Prices for `parsed.count` such requests by the providers that are open. Raises NotFound and
    ModelRetired for the model, InvalidRequest for a provider that there is not."""
    request, plan = _planned(parsed.request, catalogue, open_, today)
    pictures = request.n * parsed.count
    question = Question(request, pictures, parsed.wish, today)
    weighed = choice.weigh(question, plan, catalogue)

    def shown(route: Route) -> EstimateRouteView:
        offer, free = catalogue.offer(route), catalogue.providers[route.provider].free
        unit = pricing.unit_micros(request, route, catalogue)
        batch = pricing.batch_unit_micros(request, route, catalogue)
        return EstimateRouteView(
            model=offer.id,
            provider=route.provider,
            unit_usd=usd(unit),
            total_usd=usd(unit * pictures),
            batch_total_usd=None if batch is None else usd(batch * pictures),
            free_tier=str(free) if free else route.free_tier,
            seconds=offer.typical_seconds,
            why=_why(route, _priced_at(request, offer), today),
        )

    return EstimateView(
        choice=_chosen(question, weighed, catalogue),
        choice_reason=None if weighed.ways else choice.why_none(question, weighed, catalogue),
        routes=[shown(route) for route in weighed.routes],
        excluded=[
            ExclusionView(model=e.model, provider=e.provider, reason=e.reason)
            for e in weighed.excluded
        ],
    )


def _planned(
    request: ImageRequest, catalogue: Catalogue, open_: Container[str], today: date
) -> tuple[ImageRequest, Plan]:
    """Every route of the model that the request would be made by, or of all for "auto"."""
    if plan := routing.recommended(request, catalogue, open_, today):
        return replace(request, model=plan.routes[0].model), plan
    if request.model == routing.AUTO:
        models = list(catalogue.models.values())
    else:
        models = [catalogue.resolve(request.model, today)]
    return request, routing.consider(request, catalogue, models, open_, today)


def _chosen(question: Question, weighed: Weighed, catalogue: Catalogue) -> ChoiceView | None:
    if not weighed.ways:
        return None
    way = weighed.ways[0]
    return ChoiceView(
        model=way.offer.id,
        provider=way.route.provider,
        mode=way.mode,
        unit_usd=usd(way.unit_micros),
        total_usd=usd(way.unit_micros * question.pictures),
        seconds=way.seconds,
        reason=choice.why(question, weighed, catalogue),
    )


def _priced_at(request: ImageRequest, offer: Model) -> str:
    return "its options" if offer.three_d else sizes.resolution_of(request, offer)


def _why(route: Route, priced_at: str, today: date) -> str:
    status = route.lifecycle(today)
    ends = f", shuts down on {route.shutdown}" if route.shutdown else ""
    return f"{status}{ends}; priced at {priced_at}, {route.source} ({route.checked})"
