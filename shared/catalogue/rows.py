"""The shape of a catalogue row, checked when it is read. Prices are held as integer millionths of
their unit: micro-dollars, where they are dollars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from shared.catalogue.values import (
    Count,
    Day,
    Grade,
    Micros,
    Name,
    Number,
    Pixels,
    Positive,
    Ratio,
    Zone,
)
from shared.domain import Auth, Json, Operation, Size

Lifecycle = Literal["live", "preview", "deprecated", "retired"]
OptionKind = Literal["number", "integer", "string", "boolean", "list", "object", "size", "url"]
Unit = Literal["image", "credit", "million_tokens"]
Format = Literal["png", "jpeg", "webp", "glb"]

MODALITIES = ("text_in", "image_in", "text_out", "image_out")
"""What a price by tokens is split into."""


class Row(BaseModel):
    """A row refuses fields it does not know and never changes once read."""

    # All are built with the Model or the Provider that they are part of.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Allowance(Row):
    """Requests a provider serves for nothing: a day's count, which starts anew at midnight in
    `zone`, and a minute's. `then` says what follows once it is used up."""

    rpd: Positive
    rpm: Positive | None = None
    zone: Zone = "America/Los_Angeles"
    then: Literal["paid", "refused"] = "paid"

    def __str__(self) -> str:
        """In words, for whoever compares prices."""
        minute = f", {self.rpm} a minute" if self.rpm else ""
        return f"{self.rpd} requests a day{minute}, then {self.then}"


class Provider(Row):
    """An account at a provider. `env` prefixes its variables (GEMINI → GEMINI_API_KEY,
    GEMINI_BASE_URL); `sandbox` is its path in the sandbox; `timeout_s` how long one call may take.

    `rpm` calls a minute are made of all instances together, `in_flight` at once of each. `free` is
    used before anything is paid, and no more than `daily_usd` is spent in a UTC day. `credit_usd`
    is what the account pays for one of the provider's credits. With the auth "service-account"
    there is no key: GEMINI_LOCATION opens it, and stands where an address says {location}."""

    id: Name
    name: str
    base_url: str = Field(pattern=r"^https?://[^\s/]+(/[^\s/]+)*$")
    regional_base_url: str = ""
    version: str = ""
    auth: Auth = "bearer"
    env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    sandbox: Name
    timeout_s: Number = Field(gt=0)
    rpm: Positive | None = None
    in_flight: Positive = 1000
    free: Allowance | None = None
    daily_usd: Micros | None = None
    credit_usd: Micros | None = None

    @model_validator(mode="after")
    def _addresses_are_complete(self) -> Provider:
        try:
            self.version.format(project="p", location="l")
            self.regional_base_url.format(location="l")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                "an address has {project} and {location} to fill in, no more"
            ) from error
        return self

    @property
    def opened_by(self) -> str:
        """The variable that makes it reachable."""
        return f"{self.env}_{'LOCATION' if self.auth == 'service-account' else 'API_KEY'}"


class Price(Row):
    """What one unit costs: `usd` is flat, `by` and `by_options` depend. Exactly one is given, in
    millionths.

    A price an "image" or in "credit"s goes by "quality@WIDTHxHEIGHT", quality or resolution, the
    first of these that `by` has; one per "million_tokens" by MODALITIES. A 3D model's goes by the
    options that `goes_by` names: their values joined by "/", a true one's name and no false one,
    as many of them as `by_options` has, else "any". `extras` are added for options that are true.
    """

    unit: Unit
    usd: Micros | None = None
    by: Mapping[str, Micros] | None = None
    by_options: Mapping[str, Micros] | None = None
    goes_by: tuple[str, ...] = ()
    extras: Mapping[str, Micros] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of(self) -> Price:
        if sum(given is not None for given in (self.usd, self.by, self.by_options)) != 1:
            raise ValueError("a price has either usd or by or by_options")
        if self.usd is not None and self.unit != "image":
            raise ValueError(f"a price per {self.unit} is written with by")
        if self.unit == "million_tokens" and set(self.by or ()) != set(MODALITIES):
            raise ValueError(f"a price per million tokens has {', '.join(MODALITIES)}")
        return self

    def at(self, keys: tuple[str, ...]) -> int | None:
        """The price of one image under the first key it has; None where it has none."""
        by = self.by or self.by_options or {}
        return next((by[k] for k in keys if k in by), None) if self.usd is None else self.usd

    def option_keys(
        self, said: Mapping[str, Json], options: Mapping[str, Option]
    ) -> tuple[str, ...]:
        """What `by_options` may have for the options said, the most exact first."""
        values = {name: said.get(name, options[name].default) for name in self.goes_by}
        words = [n if v is True else str(v) for n, v in values.items() if v]
        return (*("/".join(words[:n]) for n in range(len(words), 0, -1)), "any")

    def of_options(self, said: Mapping[str, Json], options: Mapping[str, Option]) -> int | None:
        """The price of a 3D model made with these options; None where it has none."""
        amount = self.at(self.option_keys(said, options))
        extras = sum(more for name, more in self.extras.items() if said.get(name) is True)
        return None if amount is None else amount + extras


class Narrowing(Row):
    """What a route does where that is less than its model does: each field stands for the model's
    own. `options` are the names of those it takes."""

    operations: tuple[Operation, ...] | None = None
    aspect_ratios: tuple[Ratio, ...] | None = None
    resolutions: tuple[str, ...] | None = Field(None, min_length=1)
    qualities: tuple[str, ...] | None = None
    backgrounds: tuple[str, ...] | None = None
    output_formats: tuple[Format, ...] | None = None
    options: tuple[str, ...] | None = None
    max_images: Positive | None = None
    max_sources: Count | None = None
    prompt_limit: Positive | None = None
    mask: Literal[False] | None = None
    seed: Literal[False] | None = None
    multi_turn: Literal[False] | None = None
    streaming: Literal[False] | None = None


class Route(Row):
    """A model at one provider. `wire` names the adapter in `providers/` and `dialect` the variant
    of it, `wire_model` the model's name there, `version` that of the API where it is not the
    provider's usual one, `images_per_call` how many pictures one call may ask for. `makes` are the
    formats the provider encodes itself, at the quality asked for; `size_names`, ratio → resolution
    → name, are given where it names sizes instead of measuring them. `billed` are the tokens a
    provider charges us where `price` is a picture's, and `bills_refusals` says that it charges for
    answers without one. Lifecycle is the route's own: from `shutdown` on, it is retired whatever
    `status` says."""

    provider: str
    wire: str
    dialect: str = ""
    version: str | None = None
    wire_model: str = Field(pattern=r"^[\w./:@-]+$")
    status: Lifecycle = "live"
    released: Day | None = None
    deprecated: Day | None = None
    shutdown: Day | None = None
    images_per_call: Positive = 1
    makes: tuple[Format, ...] = ()
    size_names: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    only: Narrowing = Narrowing()
    typical_seconds: Number | None = Field(None, gt=0)
    price: Price
    batch_price: Price | None = None
    billed: Price | None = None
    bills_refusals: StrictBool = False
    free_tier: str | None = None
    source: str = Field(min_length=1)
    checked: Day
    model: str = ""
    """The model's id, filled in by the loader."""

    @model_validator(mode="after")
    def _tokens_are_billed(self) -> Route:
        if self.billed is not None and self.billed.unit != "million_tokens":
            raise ValueError("billed is a price per million_tokens")
        return self

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
    allowed values. A "size" is WIDTHxHEIGHT: `min` and `max` bound its pixels, `longest` its sides
    and `widest` their ratio, and both sides divide by `step`; a "url" begins with https://.

    `default` is what the provider takes where it is left out, written where something goes by it.
    `only_with` are other options and the values one of which each has to have then; under "prompt"
    and "images" stand none: they have to be there."""

    kind: OptionKind
    min: Number | None = None
    max: Number | None = None
    values: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    step: Positive = 1
    longest: Positive | None = None
    widest: Number | None = None
    default: str = ""
    required: StrictBool = False
    only_with: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Model(Row):
    """A model and what it can do by its best route. `sizes` maps ratio → resolution → pixels.
    `aspect_ratios`, `resolutions` and `qualities` have the default first, and a model with a single
    resolution takes no choice on the wire; `output_formats` has the provider's own first, the
    others are converted here. `image_tokens` are those of one picture, by what prices go by;
    `token_grid` is, by quality, the side in patches of a square one, from which they follow;
    `source_tokens` are those of an image that goes in, as a rule and at most.

    `grade` is how good its pictures are taken to be, up to 5: the operator's opinion, by which the
    best is chosen.

    One that makes 3D models makes one at a time and nothing else, of a prompt or of images; of both
    with the options and values in `together`, and of several images where `several` is true."""

    id: Name
    name: str
    aliases: tuple[Name, ...] = ()
    family: str
    grade: Grade = 3
    successor: str | None = None
    operations: tuple[Operation, ...] = Field(min_length=1)
    aspect_ratios: tuple[Ratio, ...] = ()
    resolutions: tuple[str, ...] = ()
    sizes: Mapping[str, Mapping[str, Pixels]] = Field(default_factory=dict)
    max_images: Positive
    max_sources: Count
    mask: StrictBool
    seed: StrictBool
    multi_turn: StrictBool
    streaming: StrictBool
    output_formats: tuple[Format, ...] = Field(min_length=1)
    qualities: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    options: Mapping[str, Option] = Field(default_factory=dict)
    image_tokens: Mapping[str, Count] = Field(default_factory=dict)
    token_grid: Mapping[str, Positive] = Field(default_factory=dict)
    source_tokens: Count = 0
    source_tokens_most: Count = 0
    together: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    several: str = ""
    prompt_limit: Count
    """In characters: a token limit of the provider times four."""
    typical_seconds: Number = Field(gt=0)
    routes: tuple[Route, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _pictures_or_models(self) -> Model:
        shaped = self.aspect_ratios and self.resolutions and self.prompt_limit
        if not self.three_d and not (shaped and "glb" not in self.output_formats):
            raise ValueError("pictures have ratios, resolutions, formats of theirs and a prompt")
        flat = self.aspect_ratios or self.resolutions or self.sizes or self.qualities
        if self.three_d and (flat or self.output_formats != ("glb",)):
            raise ValueError("3D models are glb and have no ratios, resolutions or qualities")
        if self.three_d and (len(self.operations), self.max_images) != (1, 1):
            raise ValueError("a model that makes 3D models makes one at a time and nothing else")
        return self

    @model_validator(mode="after")
    def _edits_have_sources(self) -> Model:
        if not self.three_d and ("edit" in self.operations) != (self.max_sources > 0):
            raise ValueError("a model that can edit takes sources, and only such a model does")
        return self

    @model_validator(mode="after")
    def _sizes_are_complete(self) -> Model:
        for ratio in self.aspect_ratios:
            for resolution in self.resolutions:
                if resolution not in self.sizes.get(ratio, {}):
                    raise ValueError(f"sizes has no {ratio} at {resolution}")
        return self

    @property
    def three_d(self) -> bool:
        """Whether it makes 3D models."""
        return "three_d" in self.operations

    @property
    def released(self) -> date | None:
        """The day the first of its routes came out."""
        return min((route.released for route in self.routes if route.released), default=None)

    def by(self, route: Route) -> Model:
        """The model as one of its routes offers it."""
        less = {k: v for k, v in route.only if v is not None}
        if route.only.options is not None:
            less["options"] = {k: v for k, v in self.options.items() if k in route.only.options}
        if route.typical_seconds is not None:
            less["typical_seconds"] = route.typical_seconds
        return self.model_copy(update=less)

    def price_keys(
        self, quality: str | None, resolution: str, size: Size | None
    ) -> tuple[str, ...]:
        """What a price or a count of tokens may be listed under, the most exact first."""
        chosen = quality or (self.qualities[0] if self.qualities else "")
        exact = (f"{chosen}@{size[0]}x{size[1]}",) if size else ()
        return (*exact, chosen, resolution)

    def tokens(self, quality: str | None, resolution: str, size: Size) -> int | None:
        """The tokens of one picture: as listed, else by the formula of OpenAI's own calculator
        (community.openai.com/t/1382699, 2026); None where neither is known."""
        keys = self.price_keys(quality, resolution, size)
        listed = next((self.image_tokens[key] for key in keys if key in self.image_tokens), None)
        side = self.token_grid.get(keys[-2])
        if listed is not None or side is None:
            return listed
        short, long = min(size), max(size)
        other = (2 * side * short + long) // (2 * long)
        return -(-side * other * (2_000_000 + short * long) // 4_000_000)

    def lifecycle(self, today: date) -> Lifecycle:
        """The best status of its routes on that day."""
        order: tuple[Lifecycle, ...] = ("live", "preview", "deprecated", "retired")
        return min((route.lifecycle(today) for route in self.routes), key=order.index)

    def live(self, today: date) -> bool:
        """Whether any route of it answers on that day."""
        return any(route.live(today) for route in self.routes)
