"""The shape of a catalogue row, checked when it is read. Prices are written as decimal strings of
US dollars and held as integer micro-dollars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.domain import Operation

Lifecycle = Literal["live", "preview", "deprecated", "retired"]
OptionKind = Literal["number", "integer", "string", "boolean", "list", "object"]


def _micros(value: object) -> int:
    """ "0.134" → 134000. A price must be a string, so that no float ever holds it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError('a price is a decimal string of US dollars, such as "0.039"')
    micros = Decimal(value) * 1_000_000
    if micros < 0 or micros != micros.to_integral_value():
        raise ValueError("a price is at least 0 and has at most six decimals")
    return int(micros)


def _size(value: object) -> object:
    """ "1024x768" → (1024, 768)."""
    return tuple(int(side) for side in value.split("x")) if isinstance(value, str) else value


Micros = Annotated[int, BeforeValidator(_micros)]
Size = Annotated[tuple[int, int], BeforeValidator(_size)]


class Row(BaseModel):
    """A row refuses fields it does not know and never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(Row):
    """An account at a provider. `env` prefixes its variables (GEMINI → GEMINI_API_KEY,
    GEMINI_BASE_URL); `sandbox` is its path in the sandbox; `timeout_s` how long one call may
    take; `hosts` where its answers may point to."""

    id: str
    name: str
    base_url: str
    version: str = ""
    env: str
    sandbox: str
    timeout_s: float = Field(gt=0)
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
    released: date | None = None
    deprecated: date | None = None
    shutdown: date | None = None
    images_per_call: int = Field(1, ge=1)
    price: Price
    batch_price: Price | None = None
    free_tier: str | None = None
    source: str = Field(min_length=1)
    checked: date
    model: str = ""
    """The model's id, filled in by the loader."""

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
    """What one entry of `options` may be. `values` are the ones allowed; `fields`, for a list of
    objects, maps each field to its allowed values."""

    kind: OptionKind
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Model(Row):
    """A model and what it can do. `sizes` maps ratio → resolution → pixels. `resolutions` has the
    default first, and a model with a single one takes no choice on the wire; `output_formats` has
    the provider's own first, the others are converted here."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    family: str
    successor: str | None = None
    operations: tuple[Operation, ...]
    aspect_ratios: tuple[str, ...]
    resolutions: tuple[str, ...]
    sizes: Mapping[str, Mapping[str, Size]]
    max_images: int = Field(ge=1)
    max_sources: int = Field(ge=0)
    max_source_bytes: int = Field(ge=0)
    mask: bool
    seed: bool
    multi_turn: bool
    streaming: bool
    output_formats: tuple[Literal["png", "jpeg", "webp"], ...]
    qualities: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    options: Mapping[str, Option] = Field(default_factory=dict)
    image_tokens: Mapping[str, int] = Field(default_factory=dict)
    source_tokens: int = 0
    prompt_limit: int = Field(ge=1)
    """In characters: a token limit of the provider times four."""
    typical_seconds: float = Field(gt=0)
    routes: tuple[Route, ...] = Field(min_length=1)

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
        return self

    def lifecycle(self, today: date) -> Lifecycle:
        """The best status of its routes on that day."""
        order: tuple[Lifecycle, ...] = ("live", "preview", "deprecated", "retired")
        return min((route.lifecycle(today) for route in self.routes), key=order.index)

    def live(self, today: date) -> bool:
        """Whether any route of it answers on that day."""
        return any(route.live(today) for route in self.routes)
