"""The shape of a catalogue row, checked when it is read. Prices are written as decimal strings of
US dollars and held as integer micro-dollars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictBool,
    StrictInt,
    ValidationInfo,
    model_validator,
)

from shared.domain import Operation

Lifecycle = Literal["live", "preview", "deprecated", "retired"]
OptionKind = Literal["number", "integer", "string", "boolean", "list", "object"]


FROM_FILE = "file"
"""Validation context of a row that was read from a file."""


def _micros(value: object, info: ValidationInfo) -> int:
    """ "0.134" → 134000. In a file a price is a string, so that no float ever holds it and a
    whole number of dollars is not taken for micro-dollars."""
    if isinstance(value, int) and not isinstance(value, bool) and info.context != FROM_FILE:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value):
        raise ValueError(
            'a price is a string of US dollars with at most six decimals, such as "0.039"'
        )
    return int(Decimal(value) * 1_000_000)


def _size(value: object) -> object:
    """ "1024x768" → (1024, 768)."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", value):
        raise ValueError('a size is width x height in pixels, such as "1024x768"')
    return tuple(int(side) for side in value.split("x"))


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""What may stand in a URL's path: an id or an alias."""
Ratio = Annotated[str, Field(pattern=r"^[1-9][0-9]*:[1-9][0-9]*$")]
Micros = Annotated[int, BeforeValidator(_micros)]
Size = Annotated[tuple[PositiveInt, PositiveInt], BeforeValidator(_size)]
Count = Annotated[StrictInt, Field(ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Day = Annotated[date, Field(strict=True)]


class Row(BaseModel):
    """A row refuses fields it does not know and never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(Row):
    """An account at a provider. `env` prefixes its variables (GEMINI → GEMINI_API_KEY,
    GEMINI_BASE_URL); `sandbox` is its path in the sandbox; `timeout_s` how long one call may
    take; `hosts` where its answers may point to."""

    id: Name
    name: str
    base_url: str = Field(pattern=r"^https?://[^\s/]+(/[^\s/]+)*$")
    version: str = ""
    env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    sandbox: Name
    timeout_s: Number = Field(gt=0)
    hosts: tuple[str, ...] = ()


class Price(Row):
    """What one unit costs. `unit` is mandatory; exactly one of `usd` (flat) and `by` (per
    resolution or quality) is given."""

    unit: Literal["image"]
    usd: Micros | None = None
    by: Mapping[str, Micros] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Price:
        if (self.usd is None) == (self.by is None):
            raise ValueError("a price has either usd or by")
        return self

    def micros(self, key: str | None) -> int | None:
        """The price of one unit at that resolution or quality; None where it has none."""
        return self.usd if self.by is None else self.by.get(key or "")


class Route(Row):
    """A model at one provider. `wire` names the adapter in `providers/`, `wire_model` the model's
    name there, `images_per_call` how many pictures one call may ask for. Lifecycle is the
    route's own: from `shutdown` on, it is retired whatever `status` says."""

    provider: str
    wire: str
    wire_model: str
    status: Lifecycle = "live"
    released: Day | None = None
    deprecated: Day | None = None
    shutdown: Day | None = None
    images_per_call: StrictInt = Field(1, ge=1)
    price: Price
    batch_price: Price | None = None
    free_tier: str | None = None
    source: str = Field(min_length=1)
    checked: Day
    model: str = ""
    """The model's id, filled in by the loader."""

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> Route:
        days = [d for d in (self.released, self.deprecated, self.shutdown) if d is not None]
        if days != sorted(days):
            raise ValueError("released, deprecated and shutdown are not in that order")
        return self

    @property
    def key(self) -> str:
        """The route's name in quotes and estimates: "google:gemini-3-pro-image"."""
        return f"{self.provider}:{self.model}"

    def lifecycle(self, today: date) -> Lifecycle:
        """Its status on that day."""
        return "retired" if self.shutdown and self.shutdown <= today else self.status

    def live(self, today: date) -> bool:
        """Whether it answers on that day."""
        return self.lifecycle(today) != "retired"


class Option(Row):
    """What one entry of `options` may be. `min` and `max` bound a number, `max` also the length of
    a list. `values` are the ones allowed; `fields`, for a list of objects, maps each field to its
    allowed values."""

    kind: OptionKind
    min: Number | None = None
    max: Number | None = None
    values: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Model(Row):
    """A model and what it can do. `sizes` maps ratio → resolution → pixels. `resolutions` has the
    default first, and a model with a single one takes no choice on the wire; `output_formats` has
    the provider's own first, the others are converted here."""

    id: Name
    name: str
    aliases: tuple[Name, ...] = ()
    family: str
    successor: str | None = None
    operations: tuple[Operation, ...] = Field(min_length=1)
    aspect_ratios: tuple[Ratio, ...] = Field(min_length=1)
    resolutions: tuple[str, ...] = Field(min_length=1)
    sizes: Mapping[str, Mapping[str, Size]]
    max_images: StrictInt = Field(ge=1)
    max_sources: Count
    mask: StrictBool
    seed: StrictBool
    multi_turn: StrictBool
    streaming: StrictBool
    output_formats: tuple[Literal["png", "jpeg", "webp"], ...] = Field(min_length=1)
    qualities: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    options: Mapping[str, Option] = Field(default_factory=dict)
    image_tokens: Mapping[str, Count] = Field(default_factory=dict)
    source_tokens: Count = 0
    prompt_limit: StrictInt = Field(ge=1)
    """In characters: a token limit of the provider times four."""
    typical_seconds: Number = Field(gt=0)
    routes: tuple[Route, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _edits_have_sources(self) -> Model:
        if ("edit" in self.operations) != (self.max_sources > 0):
            raise ValueError("a model that can edit takes sources, and only such a model does")
        return self

    @model_validator(mode="after")
    def _sizes_are_complete(self) -> Model:
        for ratio in self.aspect_ratios:
            for resolution in self.resolutions:
                if resolution not in self.sizes.get(ratio, {}):
                    raise ValueError(f"sizes has no {ratio} at {resolution}")
        return self

    @model_validator(mode="after")
    def _prices_are_complete(self) -> Model:
        for route in self.routes:
            for price in filter(None, (route.price, route.batch_price)):
                missing = [r for r in self.resolutions if price.micros(r) is None]
                if missing:
                    raise ValueError(f"no price at {route.provider} for {', '.join(missing)}")
                strange = set(price.by or ()) - {*self.resolutions, *self.qualities}
                if strange:
                    raise ValueError(f"a price at {route.provider} for unknown {min(strange)}")
        return self

    def lifecycle(self, today: date) -> Lifecycle:
        """The best status of its routes on that day."""
        order: tuple[Lifecycle, ...] = ("live", "preview", "deprecated", "retired")
        return min((route.lifecycle(today) for route in self.routes), key=order.index)

    def live(self, today: date) -> bool:
        """Whether any route of it answers on that day."""
        return any(route.live(today) for route in self.routes)
