"""`/batch`: many requests as one job: create, watch, cancel, read the results."""

from __future__ import annotations

from collections.abc import AsyncIterator

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from functions import http, query
from shared import batch_body, batch_view, batches, view
from shared.batch_domain import Batch
from shared.errors import NotFound
from shared.records import Page

MAX_LISTED = 100
MAX_VALUES = 1_000_000
"""Of JSON in a body: a hundred thousand items, each of some."""
_NO_LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
"""What JSON lets stand and many readers take for the end of a line."""


async def create(request: Request) -> Response:
    """Check and price every item, hold the money, and have them made."""
    app, caller = http.app(), await http.caller(request)
    key = http.idempotency_key(request)
    fields = await http.fields(request, values=MAX_VALUES)
    ask = await batch_body.read(app, caller, fields, key)
    earlier = await batches.earlier_of(app, ask)
    batch = earlier or await batches.create(app, ask)
    headers = {"location": f"/batch/{batch.id}"}
    replayed = {"idempotent-replayed": "true"} if earlier else {}
    return http.show(batch_view.of_batch(batch), status=202, headers={**headers, **replayed})


async def list_batches(request: Request) -> Response:
    """The caller's batches, newest first."""
    caller = await http.caller(request)
    query.only(request, "limit", "cursor")
    limit = query.whole_number(request, "limit", 20, MAX_LISTED)
    cursor = request.query_params.get("cursor")
    page = await batches.listed(http.app(), caller.account_id, None, limit, cursor)
    return http.show(view.list_of(Page(tuple(map(batch_view.of_batch, page.items)), page.cursor)))


async def show_batch(request: Request) -> Response:
    """One batch: its counts move as items end."""
    return http.show(batch_view.of_batch(await _own(request)))


async def cancel_batch(request: Request) -> Response:
    """Begin no item any more."""
    batch = await batches.cancel(http.app(), await _own(request))
    return http.show(batch_view.of_batch(batch))


async def show_results(request: Request) -> Response:
    """A line for every item that has ended so far."""
    batch = await _own(request)
    return StreamingResponse(_lines(batch), media_type="application/jsonl")


async def _lines(batch: Batch) -> AsyncIterator[str]:
    app = http.app()
    async for result in batches.results(app, batch):
        line = batch_view.of_item(result, app.links, app.clock()).model_dump_json()
        yield line.translate(_NO_LINE_ENDS) + "\n"


async def _own(request: Request) -> Batch:
    """The caller's batch of that id. Raises NotFound."""
    caller = await http.caller(request)
    found = await batches.find(http.app(), caller.account_id, request.path_params["id"])
    if found is None:
        raise NotFound("There is no such batch.", param="id")
    return found


APP = http.routes(
    "batch",
    [
        ("POST", "", create),
        ("GET", "", list_batches),
        ("GET", "/{id}", show_batch),
        ("POST", "/{id}/cancel", cancel_batch),
        ("GET", "/{id}/results", show_results),
    ],
)


@functions_framework.aio.http
async def batch(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
