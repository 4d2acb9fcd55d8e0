"""What a request would cost by every route, cheapest first, and why others cannot do it; pure."""

from __future__ import annotations

from collections.abc import Container
from datetime import date
from typing import Literal

from shared import pricing, routing, sizes
from shared.body import Parsed
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import ImageRequest
from shared.pricing import usd
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


class EstimateView(View):
    """Every route that can do a request, cheapest first, and every other with its reason."""

    object: Literal["estimate"] = "estimate"
    routes: list[EstimateRouteView]
    excluded: list[ExclusionView]


def estimate(
    parsed: Parsed, catalogue: Catalogue, open_: Container[str], today: date
) -> EstimateView:
    """Prices for `parsed.count` such requests by the providers that are open. Raises NotFound and
    ModelRetired for the model, InvalidRequest for a provider that there is not."""
    request = parsed.request
    if request.model == routing.AUTO:
        models = list(catalogue.models.values())
    else:
        models = [catalogue.resolve(request.model, today)]
    plan = routing.consider(request, catalogue, models, open_, today)
    pictures = request.n * parsed.count

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

    def cost(route: Route) -> int:
        return pricing.unit_micros(request, route, catalogue)

    return EstimateView(
        routes=[shown(route) for route in sorted(plan.routes, key=cost)],
        excluded=[
            ExclusionView(model=e.model, provider=e.provider, reason=e.reason)
            for e in plan.excluded
        ],
    )


def _priced_at(request: ImageRequest, offer: Model) -> str:
    return "its options" if offer.three_d else sizes.resolution_of(request, offer)


def _why(route: Route, priced_at: str, today: date) -> str:
    status = route.lifecycle(today)
    ends = f", shuts down on {route.shutdown}" if route.shutdown else ""
    return f"{status}{ends}; priced at {priced_at}, {route.source} ({route.checked})"
