"""The catalogue as callers see it, as pydantic models."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from shared.catalogue.rows import Lifecycle, Model, Price, Route
from shared.pricing import usd
from shared.view import View


class PriceView(View):
    """The price of one unit: in dollars an image or a million tokens, or in the provider's credits
    an image; flat, or by resolution, quality, quality and size, or kind of token. That of a 3D
    model goes by the values of options, joined by "/", or "any"; `extras` are added for each option
    that is true."""

    unit: str
    usd: str | None = None
    by: dict[str, str] | None = None
    extras: dict[str, str] | None = None


class RouteView(View):
    """A model at one provider; `only` has what it does less of than the model."""

    provider: str
    wire_model: str
    live: bool
    status: Lifecycle
    price: PriceView
    batch_price: PriceView | None
    free_tier: str | None
    source: str
    checked: date
    only: dict[str, Any]


class ModelView(View):
    """A model and what it can do. `grade`, 1 to 5, is how good its pictures are taken to be."""

    id: str
    object: Literal["model"] = "model"
    aliases: list[str]
    name: str
    family: str
    grade: int
    status: Lifecycle
    released: date | None
    shutdown: date | None
    successor: str | None
    operations: list[str]
    aspect_ratios: list[str]
    resolutions: list[str]
    sizes: dict[str, dict[str, str]]
    max_images: int
    max_sources: int
    mask: bool
    seed: bool
    multi_turn: bool
    streaming: bool
    output_formats: list[str]
    qualities: list[str]
    backgrounds: list[str]
    options: list[str]
    typical_seconds: float
    prompt_limit: int
    routes: list[RouteView]


def of_model(model: Model, today: date) -> ModelView:
    """A catalogue row."""
    return ModelView(
        id=model.id,
        aliases=list(model.aliases),
        name=model.name,
        family=model.family,
        grade=model.grade,
        status=model.lifecycle(today),
        released=model.released,
        shutdown=max((r.shutdown for r in model.routes if r.shutdown), default=None),
        successor=model.successor,
        operations=list(model.operations),
        aspect_ratios=list(model.aspect_ratios),
        resolutions=list(model.resolutions),
        sizes={
            ratio: {r: "{}x{}".format(*model.sizes[ratio][r]) for r in model.resolutions}
            for ratio in model.aspect_ratios
        },
        max_images=model.max_images,
        max_sources=model.max_sources,
        mask=model.mask,
        seed=model.seed,
        multi_turn=model.multi_turn,
        streaming=model.streaming,
        output_formats=list(model.output_formats),
        qualities=list(model.qualities),
        backgrounds=list(model.backgrounds),
        options=list(model.options),
        typical_seconds=model.typical_seconds,
        prompt_limit=model.prompt_limit,
        routes=[_route(route, today) for route in model.routes],
    )


def _route(route: Route, today: date) -> RouteView:
    return RouteView(
        provider=route.provider,
        wire_model=route.wire_model,
        live=route.live(today),
        status=route.lifecycle(today),
        price=_price(route.price),
        batch_price=_price(route.batch_price) if route.batch_price else None,
        free_tier=route.free_tier,
        source=route.source,
        checked=route.checked,
        only=route.only.model_dump(exclude_none=True),
    )


def _price(price: Price) -> PriceView:
    shown = _credits if price.unit == "credit" else usd
    by = price.by_options if price.by is None else price.by
    if by is None:
        return PriceView(unit=price.unit, usd=usd(price.usd or 0))
    extras = {name: shown(amount) for name, amount in price.extras.items()}
    return PriceView(
        unit=price.unit, by={k: shown(v) for k, v in by.items()}, extras=extras or None
    )


def _credits(millionths: int) -> str:
    """ "50" rather than "50.000000"."""
    return usd(millionths).rstrip("0").rstrip(".")
