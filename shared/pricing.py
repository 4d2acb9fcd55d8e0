"""Request × routes → Quote, and what a call came to, pure. All amounts are integer micro-dollars.

A price by tokens is estimated from what the catalogue knows of a picture, and charged by what the
provider counted; any other is charged as listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from shared import sizes
from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Price, Provider, Route
from shared.domain import ImageRequest, Quote, Size, Usage

PARTIAL_TOKENS = 100
"""Of image output, for each sketch of a picture on the way (OpenAI's guide "Image generation",
"Partial images cost", 2026)."""
_MILLION = 1_000_000
_CHARACTERS_PER_TOKEN = 4


def unit_micros(request: ImageRequest, route: Route, catalogue: Catalogue) -> int:
    """What one picture of this request costs by a route: the most it may, where its size is not
    known yet, an estimate where the price is by tokens, and nothing where nothing is ever paid."""
    if _gratis(route, catalogue):
        return 0
    return _unit_micros(request, route.price, route, catalogue)


def batch_unit_micros(request: ImageRequest, route: Route, catalogue: Catalogue) -> int | None:
    """What one picture costs in a batch by a route; None where it has no batch price. Nobody sees
    sketches there."""
    if route.batch_price is None:
        return None
    return _unit_micros(replace(request, partial_images=0), route.batch_price, route, catalogue)


def discounted(route: Route) -> Route:
    """The route at its batch price. Raises ValueError where it has none."""
    if route.batch_price is None:
        raise ValueError(f"{route.key} has no batch price")
    return route.model_copy(update={"price": route.batch_price, "billed": None})


def lowest_micros(model: Model, catalogue: Catalogue, today: date) -> int:
    """The least a picture costs with every field left out, by the model's live routes if any."""
    request = ImageRequest("generate", model.id, "")
    live = [route for route in model.routes if route.live(today)] or model.routes
    return min(unit_micros(request, route, catalogue) for route in live)


def most_micros(request: ImageRequest, route: Route, catalogue: Catalogue) -> int:
    """What one picture is held at. Tokens are held at the most a text may have, one a byte, the
    most an image may, and a quarter more of what comes out."""
    unit, price = unit_micros(request, route, catalogue), route.price
    if price.unit != "million_tokens" or price.by is None or not unit:
        return unit
    offer = catalogue.offer(route)
    out = unit - _input_micros(request, price, offer)
    text = len(request.prompt.encode(errors="surrogatepass")) * price.by["text_in"]
    each = max(offer.source_tokens, offer.source_tokens_most)
    return _up(out * 5, 4) + _up(text + _images(request) * each * price.by["image_in"], _MILLION)


def affordable(
    request: ImageRequest, routes: tuple[Route, ...], catalogue: Catalogue, credit: int
) -> tuple[Route, ...]:
    """The routes that a credit covers, so that a dear last resort stands in nobody's way; the
    first one in any case."""
    covered = (r for r in routes if most_micros(request, r, catalogue) * request.n <= credit)
    return tuple(covered) or routes[:1]


def quote(
    request: ImageRequest, routes: Sequence[Route], catalogue: Catalogue, *, test: bool
) -> Quote:
    """Hold the dearest route that may serve it, and estimate the first. A test key's pictures
    cost nothing."""
    units = {r.key: unit_micros(request, r, catalogue) for r in routes}
    listed = units[routes[0].key] * request.n
    if test:
        return Quote(dict.fromkeys(units, 0), 0, listed)
    most = max(most_micros(request, r, catalogue) for r in routes)
    return Quote(units, most * request.n, listed)


def metered(route: Route) -> bool:
    """Whether its price follows what the provider counts."""
    return route.price.unit == "million_tokens"


def charge_micros(usage: Usage, route: Route, unit: int) -> int:
    """What a caller pays for a call that made `usage.images` pictures: what the provider says or
    its tokens come to, where the price goes by them, else the unit price for each."""
    if not metered(route):
        return unit * usage.images
    if usage.cost_micros is not None:
        return usage.cost_micros
    return _counted(usage, route.price) if usage.output_tokens else unit * usage.images


def cost_micros(usage: Usage, route: Route, unit: int) -> int:
    """What we pay for it."""
    if route.billed is not None and usage.output_tokens:
        return _counted(usage, route.billed)
    return charge_micros(usage, route, unit)


def _counted(usage: Usage, price: Price) -> int:
    by = price.by or {}
    counts = {
        "text_in": usage.input_tokens - usage.source_tokens,
        "image_in": usage.source_tokens,
        "text_out": usage.output_tokens - usage.image_tokens,
        "image_out": usage.image_tokens,
    }
    return _up(sum(max(0, count) * by[kind] for kind, count in counts.items()), _MILLION)


def credits_of(micros: int, route: Route, provider: Provider) -> int | None:
    """An amount in the provider's credits; None where its price is not in them."""
    if route.price.unit != "credit" or not provider.credit_usd:
        return None
    return (micros + provider.credit_usd // 2) // provider.credit_usd


def usd(micros: int) -> str:
    """Micro-dollars as the contract writes them: 134000 → "0.134000"."""
    sign = "-" if micros < 0 else ""
    return f"{sign}{abs(micros) // _MILLION}.{abs(micros) % _MILLION:06d}"


def _gratis(route: Route, catalogue: Catalogue) -> bool:
    """Whether its provider serves it free or not at all."""
    free = catalogue.providers[route.provider].free
    return free is not None and free.then == "refused"


def _unit_micros(request: ImageRequest, price: Price, route: Route, catalogue: Catalogue) -> int:
    offer, provider = catalogue.offer(route), catalogue.providers[route.provider]
    if offer.three_d:
        return _listed_micros(price.of_options(request.options, offer.options), price, provider)
    resolution = sizes.resolution_of(request, offer)
    found = [
        _picture_micros(price, offer, provider, (request.quality, resolution, size))
        for size in sizes.sizes_of(request, offer)
    ]
    sketches = _sketches_micros(request, price, offer)
    return max(found) + sketches + _input_micros(request, price, offer)


def _picture_micros(
    price: Price, offer: Model, provider: Provider, chosen: tuple[str | None, str, Size]
) -> int:
    """One picture of that quality, resolution and size, without what goes in."""
    if price.unit == "million_tokens":
        return _up((offer.tokens(*chosen) or 0) * (price.by or {})["image_out"], _MILLION)
    return _listed_micros(price.at(offer.price_keys(*chosen)), price, provider)


def _listed_micros(amount: int | None, price: Price, provider: Provider) -> int:
    """An amount out of a price, in micro-dollars. The catalogue has one for every choice."""
    if amount is None:
        raise ValueError(f"no price by {price.unit} for what was asked")
    return _up(amount * (provider.credit_usd or 0), _MILLION) if price.unit == "credit" else amount


def _sketches_micros(request: ImageRequest, price: Price, offer: Model) -> int:
    """All the sketches of one picture that may come, where they are counted."""
    if price.unit != "million_tokens" or price.by is None or not offer.streaming:
        return 0
    return _up(request.partial_images * PARTIAL_TOKENS * price.by["image_out"], _MILLION)


def _input_micros(request: ImageRequest, price: Price, offer: Model) -> int:
    if price.unit != "million_tokens" or price.by is None:
        return 0
    text = _up(len(request.prompt), _CHARACTERS_PER_TOKEN) * price.by["text_in"]
    images = _images(request) * offer.source_tokens * price.by["image_in"]
    return _up(text + images, _MILLION)


def _images(request: ImageRequest) -> int:
    """How many images go in."""
    return len(request.refs) + (request.mask_ref is not None)


def _up(value: int, by: int) -> int:
    """Divided and rounded up."""
    return -(-value // by)
