"""Request × routes → Quote, pure. All amounts are integer micro-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import ImageRequest, Quote


def resolution_of(request: ImageRequest, model: Model) -> str:
    """The resolution that will be made: the one asked for, else the model's default."""
    return request.resolution or model.resolutions[0]


def unit_micros(request: ImageRequest, route: Route, model: Model) -> int:
    """What one picture of this request costs by a route."""
    micros = route.price.micros(resolution_of(request, model))
    if micros is None:
        raise ValueError(f"{route.key} has no price for {resolution_of(request, model)}")
    return micros


def lowest_micros(model: Model, today: date) -> int:
    """The least a picture at the model's default resolution costs, by its live routes if any."""
    live = [route for route in model.routes if route.live(today)] or model.routes
    prices = (route.price.micros(model.resolutions[0]) for route in live)
    return min(price for price in prices if price is not None)


def batch_unit_micros(request: ImageRequest, route: Route, model: Model) -> int | None:
    """What one picture costs in a batch by a route; None where it has no batch price."""
    price = route.batch_price
    return None if price is None else price.micros(resolution_of(request, model))


def quote(
    request: ImageRequest, routes: Sequence[Route], catalogue: Catalogue, *, test: bool
) -> Quote:
    """Hold the dearest route that may serve it, and estimate the first. A test key's pictures
    cost nothing."""
    units = {r.key: unit_micros(request, r, catalogue.models[r.model]) for r in routes}
    listed = units[routes[0].key] * request.n
    if test:
        return Quote(dict.fromkeys(units, 0), 0, listed)
    return Quote(units, max(units.values()) * request.n, listed)


def usd(micros: int) -> str:
    """Micro-dollars as the contract writes them: 134000 → "0.134000"."""
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // 1_000_000}.{abs(micros) % 1_000_000:06d}"
