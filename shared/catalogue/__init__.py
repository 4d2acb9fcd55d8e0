"""Every model, route, price and provider account, as data: `models.toml`, `providers.toml` and an
operator's overlay, read once and checked whole. A wrong row stops the start and is named.

In the files, `[family.NAME]` gives defaults to the models of that family, and an overlay's row
changes the fields it has of the row with the same id (a route's: the same provider) or adds one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.catalogue.rows import Model, Provider, Route
from shared.errors import ModelRetired, NotFound
from shared.providers.registry import ADAPTERS

HERE = Path(__file__).parent
T = TypeVar("T", Model, Provider)


class BadCatalogue(Exception):
    """A row cannot be used: the message names the file, the row and the reason."""


@dataclass(frozen=True)
class Catalogue:
    """All rows, by id."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    aliases: Mapping[str, str]

    def find(self, name: str) -> Model:
        """The row of an id or alias, retired or not. Raises NotFound."""
        model = self.models.get(self.aliases.get(name, name))
        if model is None:
            raise NotFound(
                f"There is no model named {name!r}. GET /models lists them.", param="model"
            )
        return model

    def resolve(self, name: str, today: date) -> Model:
        """The model to use for an id or alias: an alias follows its line's successors, an id does
        not. Raises NotFound, or ModelRetired naming the successor."""
        model = self.find(name)
        heir = self.heir(model, today)
        if model.live(today):
            return model
        if name in self.aliases and heir is not None:
            return heir
        raise ModelRetired(
            f"The model {model.id} is retired." + (f" Use {heir.id}." if heir else ""),
            param="model",
            details={"successor": heir.id if heir else None},
        )

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
    files = [HERE / "models.toml", HERE / "providers.toml", *([overlay] if overlay else [])]
    models: dict[str, dict[str, Any]] = {}
    providers: dict[str, dict[str, Any]] = {}
    families: dict[str, dict[str, Any]] = {}
    origin: dict[str, str] = {}
    for file in files:
        rows = _read(file)
        families |= rows.get("family", {})
        for kind, known in (("model", models), ("provider", providers)):
            for row in _unique(rows.get(kind, []), file, kind):
                known[row["id"]] = _merged(known.get(row["id"], {}), row)
                origin[row["id"]] = f"{file.name}: {kind} {row['id']}"
    return _checked(
        {i: _model(families, row, origin[i]) for i, row in models.items()},
        {i: _row(Provider, row, origin[i]) for i, row in providers.items()},
        origin,
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        rows = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCatalogue(f"{file.name}: {error}") from error
    unknown = sorted(set(rows) - {"family", "model", "provider"})
    if unknown:
        raise BadCatalogue(f"{file.name}: unknown table {unknown[0]!r}")
    return rows


def _unique(rows: list[dict[str, Any]], file: Path, kind: str) -> Iterable[dict[str, Any]]:
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("id"), str):
            raise BadCatalogue(f"{file.name}: {kind} number {number} has no id")
        if row["id"] in seen:
            raise BadCatalogue(f"{file.name}: {kind} {row['id']} is there twice")
        seen.add(row["id"])
        yield row


def _merged(base: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    routes = {route.get("provider"): route for route in base.get("routes", [])}
    for route in row.get("routes", []):
        routes[route.get("provider")] = {**routes.get(route.get("provider"), {}), **route}
    merged = {**base, **row}
    return {**merged, "routes": list(routes.values())} if routes else merged


def _model(families: Mapping[str, dict[str, Any]], row: dict[str, Any], where: str) -> Model:
    full = {**families.get(row.get("family", ""), {}), **row}
    model = _row(Model, full, where)
    return model.model_copy(
        update={"routes": tuple(r.model_copy(update={"model": model.id}) for r in model.routes)}
    )


def _row(kind: type[T], row: dict[str, Any], where: str) -> T:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadCatalogue(f"{where}: {field or 'row'}: {first['msg']}") from error


def _checked(
    models: dict[str, Model], providers: dict[str, Provider], origin: Mapping[str, str]
) -> Catalogue:
    aliases: dict[str, str] = {}
    for model in models.values():
        where = origin[model.id]
        if model.successor and model.successor not in models:
            raise BadCatalogue(f"{where}: successor: no model {model.successor!r}")
        for route in model.routes:
            _check_route(route, providers, where)
        for alias in model.aliases:
            if alias in models or alias in aliases:
                raise BadCatalogue(f"{where}: aliases: {alias!r} is taken")
            aliases[alias] = model.id
    return Catalogue(models, providers, aliases)


def _check_route(route: Route, providers: Mapping[str, Provider], where: str) -> None:
    if route.provider not in providers:
        raise BadCatalogue(f"{where}: routes: no provider {route.provider!r}")
    if route.wire not in ADAPTERS:
        raise BadCatalogue(f"{where}: routes: no adapter {route.wire!r}")
