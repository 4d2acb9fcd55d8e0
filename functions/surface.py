"""What the functions share that speak a vendor's API: which model, how the pictures are to come,
whether a conversation can be gone on from, and the headers of ours that every answer has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from starlette.requests import Request

from functions import http, query
from shared import names, pricing, routing
from shared.catalogue.rows import Model
from shared.domain import Caller, Record
from shared.surfaces import listed

DELIVERY = "x-darkroom-delivery"
T = TypeVar("T")


def model(name: str) -> Model | None:
    """The model asked for; None where any will do. Raises NotFound, ModelRetired."""
    app = http.app()
    return None if name == routing.AUTO else app.catalogue.resolve(name, app.today())


def delivery(request: Request, ways: tuple[T, ...]) -> T:
    """How the pictures are to come, by a header or in the query; the first way unless it says
    otherwise. Raises InvalidRequest."""
    said = request.headers.get(DELIVERY) or request.query_params.get("delivery")
    return query.one_of(said, ways, DELIVERY) or ways[0]


def repeated(request: Request) -> bool:
    """Whether its SDK says that it sends this again."""
    retries = request.headers.get("x-stainless-retry-count", "")
    return retries.isdecimal() and retries.strip("0") != ""


async def goes_on(caller: Caller, earlier: str, wanted: Model | None) -> bool:
    """Whether an earlier request can be gone on from with a model: both have to keep turns, and
    that one's has to be there still."""
    if wanted is not None and not wanted.multi_turn:
        return False
    app = http.app()
    record = await app.records.request(caller.account_id, earlier)
    if record is None or record.status != "succeeded" or record.sandbox != caller.test:
        return False
    made_by = app.catalogue.models.get(record.model)
    kept = made_by is not None and made_by.multi_turn
    if not kept or record.turn is not None:
        return kept
    return bool(await app.storage.list(names.turn(record.id)))


def headers(record: Record, ignored: Sequence[str], *, replayed: bool) -> dict[str, str]:
    """The request behind an answer, who made its pictures, their real size, what they cost, and
    what was passed over."""
    sizes = dict.fromkeys(f"{image.width}x{image.height}" for image in record.images)
    return {
        "x-request-id": record.id,
        **({"x-darkroom-size": ", ".join(sizes)} if sizes else {}),
        **({"x-darkroom-provider": record.provider} if record.provider else {}),
        **({} if record.open else {"x-darkroom-cost-usd": pricing.usd(record.charged_micros)}),
        **passed_over(ignored),
        **({"idempotent-replayed": "true"} if replayed else {}),
    }


def passed_over(ignored: Sequence[str]) -> dict[str, str]:
    """What was ignored, if anything was."""
    return {"x-darkroom-ignored": listed(tuple(ignored))} if ignored else {}
