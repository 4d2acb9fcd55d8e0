"""Whether a route's row fits its model's: what it narrows is there to be narrowed, every size it
can be asked for has a name where the provider names sizes, and every picture has a price."""

from __future__ import annotations

from collections.abc import Iterator

from shared.catalogue.rows import Model, Price, Provider, Route


def misfits(model: Model, route: Route, provider: Provider) -> Iterator[str]:
    """What is wrong with the route, in words."""
    yield from _not_narrower(model, route)
    offer = model.by(route)
    if len(offer.resolutions) == 1 and offer.resolutions[0] != model.resolutions[0]:
        # A single one is not sent, so what comes is the default.
        yield f"only.resolutions: the one it keeps has to be {model.resolutions[0]}"
    if route.size_names:
        for ratio in offer.aspect_ratios:
            for resolution in offer.resolutions:
                if resolution not in route.size_names.get(ratio, {}):
                    yield f"size_names has no {ratio} at {resolution}"
    for price in filter(None, (route.price, route.batch_price)):
        yield from _unpriced(offer, price)
        if price.unit == "credit" and provider.credit_usd is None:
            yield "a price in credits, and the provider's row has no credit_usd"


def _not_narrower(model: Model, route: Route) -> Iterator[str]:
    for field, less in route.only:
        whole = getattr(model, field)
        if isinstance(less, tuple):
            strange = [item for item in less if item not in whole]
            if strange:
                yield f"only.{field}: {model.id} itself has no {strange[0]}"
        elif less is not None and less is not False and less > whole:
            yield f"only.{field}: {model.id} itself has {whole}"


def _unpriced(offer: Model, price: Price) -> Iterator[str]:
    known = {*offer.resolutions, *offer.qualities}
    for ratio in offer.aspect_ratios or tuple(offer.sizes):
        for resolution in offer.resolutions:
            size = offer.sizes[ratio][resolution]
            for quality in offer.qualities or (None,):
                keys = offer.price_keys(quality, resolution, size)
                known |= set(keys)
                if price.unit == "million_tokens":
                    if offer.tokens(quality, resolution, size) is None:
                        yield f"no image_tokens for {keys[0]}"
                elif price.at(keys) is None:
                    yield f"no price for {resolution if quality is None else keys[0]}"
    if price.unit != "million_tokens":
        strange = sorted(set(price.by or ()) - known)
        if strange:
            yield f"a price for unknown {strange[0]}"
