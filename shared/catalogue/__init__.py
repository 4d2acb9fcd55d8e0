"""Every model, route, price, provider account and prompt template, as data: `providers.toml`, a
file in `models/` for each provider, `templates.toml` and an operator's overlay, read once and
checked whole. A wrong row stops the start and is named.

In the files, `[family.NAME]` gives defaults to the models of that family. A row with an id that an
earlier file has (a route's: the same provider) changes the fields it names of that row, else it
adds one: so each file in `models/` adds its provider's routes to the models of those before it.
Tables such as `options` are merged entry by entry; a field set to "" is taken away. `sizes` may
hold more than a model offers: it keeps those of its own ratios and resolutions. A template is known
by its name, and a row that changes one raises its version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, product
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.catalogue import offers as fitting
from shared.catalogue import templates as fitted
from shared.catalogue.rows import Model, Provider, Route
from shared.catalogue.templates import Template
from shared.catalogue.values import FROM_FILE
from shared.errors import ModelRetired, NotFound
from shared.providers.registry import WIRES

HERE = Path(__file__).parent
PROVIDERS = ("google", "vertex", "openai", "ark", "laozhang", "openrouter", "threedaistudio")
"""The files in `models/`, in the order in which a model's routes are tried."""
KINDS = ("family", "provider", "model", "template")
RESERVED = "auto"
"""What a caller writes for "any model": no model can be called so."""
FAMILY_FIELDS = frozenset(Model.model_fields) - {"id", "family", "routes"}
T = TypeVar("T", Model, Provider, Template)
Table: TypeAlias = dict[str, Any]


class BadCatalogue(Exception):
    """A row cannot be used: the message names the file, the row and the reason."""


@dataclass(frozen=True)
class Catalogue:
    """All rows, by id."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    aliases: Mapping[str, str]
    offers: Mapping[str, Model] = field(default_factory=dict)
    """What each route offers, by its key."""
    templates: Mapping[str, Template] = field(default_factory=dict)

    def offer(self, route: Route) -> Model:
        """The model as this route offers it."""
        return self.offers[route.key]

    def route(self, key: str) -> Route:
        """The route of that key. Raises KeyError."""
        provider, _, model = key.partition(":")
        return next(r for r in self.models[model].routes if r.provider == provider)

    def played_as(self, sandbox: str) -> list[tuple[Model, Route]]:
        """What the sandbox's provider of that name serves: every such route, and what it offers."""
        return [
            (self.offer(route), route)
            for model in self.models.values()
            for route in model.routes
            if self.providers[route.provider].sandbox == sandbox
        ]

    def find(self, name: str) -> Model:
        """The row of an id or alias, retired or not. Raises NotFound."""
        model = self.models.get(self.aliases.get(name, name))
        if model is None:
            raise NotFound(
                f"There is no model named {name!r}. GET /models lists them.", param="model"
            )
        return model

    def named(self, name: str, today: date) -> Model:
        """The row a name stands for: an alias for the live heir of its line, an id for itself.
        Raises NotFound."""
        model = self.find(name)
        heir = None if model.live(today) or name not in self.aliases else self.heir(model, today)
        return heir or model

    def resolve(self, name: str, today: date) -> Model:
        """The model to use for an id or alias: an alias follows its line's successors, an id does
        not. Raises NotFound, or ModelRetired naming the successor."""
        model = self.named(name, today)
        if model.live(today):
            return model
        heir = self.heir(model, today)
        raise ModelRetired(
            f"The model {model.id} is retired." + (f" Use {heir.id}." if heir else ""),
            param="model",
            details={"successor": heir.id if heir else None},
        )

    def standing(self, name: str, today: date) -> Model | None:
        """The live row of an id or alias, or of the end of its line; None where there is none."""
        model = self.models.get(self.aliases.get(name, name))
        return model if model is None or model.live(today) else self.heir(model, today)

    def heir(self, model: Model, today: date) -> Model | None:
        """The first live model along the line of successors, the model itself excepted."""
        seen = {model.id}
        while model.successor and model.successor not in seen:
            model = self.models[model.successor]
            seen.add(model.id)
            if model.live(today):
                return model
        return None


def load(overlay: Path | None = None) -> Catalogue:
    """Read and check every row. Raises BadCatalogue."""
    rows: dict[str, dict[str, Table]] = {kind: {} for kind in KINDS}
    origin: dict[tuple[str, str], str] = {}
    files = [HERE / "providers.toml", *(HERE / "models" / f"{name}.toml" for name in PROVIDERS)]
    for file in (*files, HERE / "templates.toml", *([overlay] if overlay else [])):
        last = _read(file)
        for kind, changes in last.items():
            for name, row in changes.items():
                before, where = rows[kind].get(name, {}), f"{file.name}: {kind} {name}"
                rows[kind][name] = _merged(before, row)
                origin[kind, name] = where
                if kind == "template" and before:
                    _check_version(before, rows[kind][name], where)
    for name, family in rows["family"].items():
        _check_family(family, origin["family", name])
    found = _checked(
        {i: _model(row, rows["family"], origin["model", i]) for i, row in rows["model"].items()},
        {i: _row(Provider, row, origin["provider", i]) for i, row in rows["provider"].items()},
        {i: origin["model", i] for i in rows["model"]},
    )
    templates = {
        name: _template(row, found, origin["template", name], lenient=name not in last["template"])
        for name, row in rows["template"].items()
    }
    return replace(found, templates=templates)


def _read(file: Path) -> dict[str, dict[str, Table]]:
    """The rows of a file: kind → id → row."""
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCatalogue(f"{file.name}: {error}") from error
    unknown = sorted(set(tables) - set(KINDS))
    if unknown:
        raise BadCatalogue(f"{file.name}: unknown table {unknown[0]!r}")
    return {
        "family": _families(tables.get("family", {}), file.name),
        "provider": _by_id(tables.get("provider", []), "provider", file.name),
        "model": _by_id(tables.get("model", []), "model", file.name),
        "template": _by_id(tables.get("template", []), "template", file.name, key="name"),
    }


def _families(families: object, file: str) -> dict[str, Table]:
    if not isinstance(families, dict):
        raise BadCatalogue(f"{file}: family: write it as [family.NAME]")
    for name, family in families.items():
        if not isinstance(family, dict):
            raise BadCatalogue(f"{file}: family {name}: write it as [family.{name}]")
        unknown = sorted(set(family) - FAMILY_FIELDS)
        if unknown:
            raise BadCatalogue(f"{file}: family {name}: {unknown[0]}: not a field of a family")
    return families


def _check_family(family: Table, where: str) -> None:
    """Check the fields it has: that others are missing is no fault of a family."""
    try:
        Model.model_validate(family, context=FROM_FILE)
    except ValidationError as error:
        for wrong in error.errors():
            if wrong["type"] != "missing" or len(wrong["loc"]) > 1:
                raise BadCatalogue(f"{where}: {_reason(wrong)}") from error


def _by_id(rows: object, kind: str, file: str, key: str = "id") -> dict[str, Table]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadCatalogue(f"{file}: {kind}: write each row as [[{kind}]]")
    found: dict[str, Table] = {}
    for number, row in enumerate(rows, 1):
        name = row.get(key)
        if not isinstance(name, str) or not name:
            raise BadCatalogue(f"{file}: {kind} number {number}: {key}: it must be a string")
        if name in found:
            raise BadCatalogue(f"{file}: {kind} {name}: it is there twice")
        _check_routes_shape(row.get("routes", []), f"{file}: {kind} {name}")
        found[name] = row
    return found


def _check_routes_shape(routes: object, where: str) -> None:
    """Routes are merged by provider before they are validated, so each must name its own."""
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise BadCatalogue(f"{where}: routes: write each one as [[model.routes]]")
    seen: set[str] = set()
    for number, route in enumerate(routes, 1):
        provider = route.get("provider")
        if not isinstance(provider, str) or not provider:
            raise BadCatalogue(f"{where}: routes: number {number} names no provider")
        if provider in seen:
            raise BadCatalogue(f"{where}: routes: {provider!r} is there twice")
        seen.add(provider)


def _merged(base: Table, row: Table) -> Table:
    """`row` over `base`: tables entry by entry, routes by provider, anything else replaced."""
    merged = base | row
    for name in base.keys() & row.keys():
        old, new = base[name], row[name]
        if isinstance(old, dict) and isinstance(new, dict):
            merged[name] = _merged(old, new)
        elif name == "routes":
            merged[name] = _merged_routes(old, new)
    return _without_empty(merged)


def _merged_routes(base: list[Table], routes: list[Table]) -> list[Table]:
    merged = {route["provider"]: route for route in base}
    for route in routes:
        merged[route["provider"]] = _without_empty(merged.get(route["provider"], {}) | route)
    return list(merged.values())


def _without_empty(row: Table) -> Table:
    """TOML has no null: an empty string says that a field is not there."""
    return {field: value for field, value in row.items() if value != ""}


def _model(row: Table, families: Mapping[str, Table], where: str) -> Model:
    family = row.get("family")
    if isinstance(family, str) and family not in families:
        raise BadCatalogue(f"{where}: family: there is no [family.{family}]")
    model = _row(Model, _merged(families[family], row) if isinstance(family, str) else row, where)
    sizes = {
        ratio: {resolution: model.sizes[ratio][resolution] for resolution in model.resolutions}
        for ratio in model.aspect_ratios
    }
    routes = tuple(route.model_copy(update={"model": model.id}) for route in model.routes)
    return model.model_copy(update={"sizes": sizes, "routes": routes})


def _check_version(before: Table, row: Table, where: str) -> None:
    """A record names the template and the version that it was made with, not the text."""
    old, new = before.get("version"), row.get("version")
    if row != before and isinstance(old, int) and isinstance(new, int) and new <= old:
        raise BadCatalogue(
            f"{where}: version: it changes version {old}, so it is {old + 1} or more"
        )


def _template(row: Table, catalogue: Catalogue, where: str, *, lenient: bool = False) -> Template:
    """A template whose model suits it. For one of ours that an overlay's models do not suit any
    more, any model will do: nothing is wrong with either row."""
    template = _row(Template, row, where)
    wrong = _unsuited(template, catalogue)
    if wrong and not lenient:
        raise BadCatalogue(f"{where}: model: {wrong}")
    return template.model_copy(update={"model": RESERVED}) if wrong else template


def _unsuited(template: Template, catalogue: Catalogue) -> str | None:
    """Why its model is none for it."""
    model = catalogue.models.get(catalogue.aliases.get(template.model, template.model))
    if model is None:
        return f"no model {template.model!r}"
    offers = [catalogue.offer(route) for route in model.routes]
    faults = [next(fitted.misfits(template, offer), None) for offer in offers]
    return f"{model.id} does not suit it: {faults[0]}" if all(faults) else None


def _row(kind: type[T], row: Table, where: str) -> T:
    try:
        return kind.model_validate(row, context=FROM_FILE)
    except ValidationError as error:
        raise BadCatalogue(f"{where}: {_reason(error.errors()[0])}") from error


def _reason(wrong: ErrorDetails) -> str:
    field = ".".join(str(part) for part in wrong["loc"]) or "row"
    return f"{field}: {wrong['msg'].removeprefix('Value error, ')}"


def _checked(
    models: dict[str, Model], providers: dict[str, Provider], origin: Mapping[str, str]
) -> Catalogue:
    aliases: dict[str, str] = {}
    for model in models.values():
        where = origin[model.id]
        if model.id == RESERVED:
            raise BadCatalogue(f"{where}: id: {RESERVED!r} stands for any model")
        if model.successor and (model.successor not in models or model.successor == model.id):
            raise BadCatalogue(f"{where}: successor: no other model {model.successor!r}")
        for option in sorted(_named_options(model) - set(model.options)):
            raise BadCatalogue(f"{where}: options: {option!r} is named and is none of them")
        for route in model.routes:
            _check_route(model, route, providers, where)
        for alias in model.aliases:
            if alias in models or alias in aliases or alias == RESERVED:
                raise BadCatalogue(f"{where}: aliases: {alias!r} is taken")
            aliases[alias] = model.id
    offers = {route.key: model.by(route) for model in models.values() for route in model.routes}
    return Catalogue(models, providers, aliases, offers)


def _named_options(model: Model) -> set[str]:
    """The options that its other fields, and its options, speak of."""
    tied = {name for option in model.options.values() for name in option.only_with}
    return {*model.together, *filter(None, [model.several]), *tied} - {"prompt", "images"}


def _check_route(model: Model, route: Route, providers: Mapping[str, Provider], where: str) -> None:
    if route.provider not in providers:
        raise BadCatalogue(f"{where}: routes: no provider {route.provider!r}")
    if route.wire not in WIRES:
        known = ", ".join(sorted(WIRES))
        raise BadCatalogue(f"{where}: routes: no adapter {route.wire!r}: there are {known}")
    dialects = ("", *sorted(WIRES[route.wire].dialects))
    if route.dialect not in dialects:
        known = ", ".join(map(repr, dialects))
        raise BadCatalogue(
            f"{where}: routes: {route.wire} has no dialect {route.dialect!r}: {known}"
        )
    if model.by(route).mask and route.dialect not in WIRES[route.wire].masked:
        raise BadCatalogue(f"{where}: routes: {route.provider}: no mask travels by {route.wire}")
    faults = chain(
        _mispriced(model, route), fitting.misfits(model, route, providers[route.provider])
    )
    if wrong := next(faults, None):
        raise BadCatalogue(f"{where}: routes: {route.provider}: {wrong}")


def _mispriced(model: Model, route: Route) -> Iterator[str]:
    """What is wrong with the price of a 3D model, or with that of a picture that has one of those:
    each choice of options has a price, and nothing else has."""
    price, offer = route.price, model.by(route)
    if (price.by_options is not None) != model.three_d or (route.batch_price and model.three_d):
        yield "3D models, and they alone, have a price by_options, and none in batches"
        return
    choices: dict[str, tuple[Any, ...]] = {}
    for name in (*price.goes_by, *price.extras):
        option = offer.options.get(name)
        switch = option is not None and option.kind == "boolean"
        choices[name] = (False, True) if switch or option is None else option.values
        if not choices[name] or option is None or (name in price.extras and not switch):
            yield f"a price goes by {name}, which is no option to choose"
            return
    known = {"any"}
    for values in product(*(choices[name] for name in price.goes_by)):
        said = dict(zip(price.goes_by, values, strict=True))
        keys = price.option_keys(said, offer.options)
        known |= set(keys)
        if model.three_d and price.at(keys) is None:
            yield f"no price for {keys[0]}"
    yield from (f"a price for unknown {key}" for key in sorted(set(price.by_options or ()) - known))
