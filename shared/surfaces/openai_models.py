"""The catalogue as OpenAI lists its models (openai 3.52, types/model.py): what a key can reach."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, date, datetime, time

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model
from shared.domain import Json
from shared.errors import NotFound
from shared.surfaces import Support, reachable_routes

LIST, ONE = "/v1/models", "/v1/models/{model}"
SUPPORT: Support = {
    f"GET {LIST}": {},
    f"GET {ONE}": {"model": ("honoured", "an id or alias")},
}


def listed(catalogue: Catalogue, open_: Container[str], today: date) -> dict[str, Json]:
    """Every live model that one of the open providers serves."""
    shown = (_shown(model, open_, today) for model in catalogue.models.values())
    return {"object": "list", "data": [model for model in shown if model]}


def one(catalogue: Catalogue, name: str, open_: Container[str], today: date) -> dict[str, Json]:
    """The model of an id or alias. Raises NotFound, ModelRetired."""
    shown = _shown(catalogue.resolve(name, today), open_, today)
    if shown is None:
        raise NotFound(f"No provider of {name!r} can be reached with this key.", param="model")
    return shown


def _shown(model: Model, open_: Container[str], today: date) -> dict[str, Json] | None:
    routes = reachable_routes(model, open_, today)
    if not routes:
        return None
    ends = [route.shutdown for route in routes]
    known = [day for day in ends if day is not None]
    began = datetime.combine(routes[0].released or routes[0].checked, time(), UTC)
    return {
        "id": model.id,
        "object": "model",
        "created": int(began.timestamp()),
        "owned_by": routes[0].provider,
        # It goes with its last route.
        "shutdown_date": max(known).isoformat() if len(known) == len(ends) else None,
    }
