"""`/account`: the caller's requests, images, usage, balance and uploads."""

from __future__ import annotations

from datetime import date, datetime
from typing import get_args

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http, query
from shared import body, deletion, names, queued, sources, uploads, view
from shared.domain import Operation, Record, Status
from shared.errors import InvalidRequest, NotFound
from shared.records import Page, RequestFilter

MAX_LISTED = 100


async def show_account(request: Request) -> Response:
    """Balance, limits, and what of them is in use."""
    caller = await http.caller(request)
    standing = await http.app().records.look(caller.account_id, None)
    secret = http.app().links.webhook_secret(caller.account_id)
    return http.show(view.of_account(standing, secret, http.app().clock()))


async def list_requests(request: Request) -> Response:
    """The caller's requests, newest first."""
    caller = await http.caller(request)
    query.only(request, "status", "operation", "model", "idempotency_key", "limit", "cursor")
    sent = request.query_params
    model, catalogue = sent.get("model"), http.app().catalogue
    where = RequestFilter(
        status=query.one_of(sent.get("status"), get_args(Status), "status"),
        operation=query.one_of(sent.get("operation"), get_args(Operation), "operation"),
        model=catalogue.named(model, http.app().today()).id if model else None,
        idempotency_key=sent.get("idempotency_key"),
    )
    limit = query.whole_number(request, "limit", 20, MAX_LISTED)
    app = http.app()
    page = await app.records.requests(caller.account_id, where, limit, sent.get("cursor"))
    now = app.clock()
    views = tuple(view.of_request(record, app.links, now) for record in page.items)
    return http.show(view.list_of(Page(views, page.cursor)))


async def show_request(request: Request) -> Response:
    """One request."""
    app, record = http.app(), await _own(request)
    return http.show(view.of_request(record, app.links, app.clock()))


async def cancel_request(request: Request) -> Response:
    """End a request that nobody waits for, before or while it is made."""
    app, record = http.app(), await _own(request)
    ended = await queued.cancel(app, record)
    return http.show(view.of_request(ended, app.links, app.clock()))


async def delete_request(request: Request) -> Response:
    """Forget a request and its images. Its charge stays in the ledger."""
    app, record = http.app(), await _own(request)
    await deletion.delete(app, record)
    return http.show(view.DeletedView(id=record.id))


async def get_image(request: Request) -> Response:
    """A picture's bytes, for whoever holds its signed link or its account's key."""
    app, image_id = http.app(), request.path_params["id"]
    name, request_id = names.picture(image_id), names.request_of(image_id)
    if name is None or request_id is None:
        raise NotFound("There is no such image.")
    if "signature" in request.query_params:
        path = f"/account/images/{image_id}"
        app.links.check("GET", path, dict(request.query_params), app.clock())
    else:
        caller = await http.caller(request)
        if not await sources.owns(app.records, caller.account_id, image_id):
            raise NotFound("There is no such image.")
    blob = await app.storage.get(name)
    if blob is None:
        raise NotFound("This image has been deleted.")
    headers = {
        "cache-control": "private, max-age=86400, immutable",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
    }
    return Response(blob.data, media_type=blob.content_type, headers=headers)


async def show_usage(request: Request) -> Response:
    """What was made and spent between two days, by day, model or provider."""
    caller = await http.caller(request)
    query.only(request, "from", "to", "group_by")
    app, sent = http.app(), request.query_params
    last = _day(sent.get("to"), app.today(), "to")
    month_before = date.fromordinal(max(last.toordinal() - 30, 1))
    first = _day(sent.get("from"), month_before, "from")
    if not 0 <= (last - first).days <= 366:
        raise InvalidRequest("from comes before to, by at most a year.", param="from")
    group_by = query.one_of(sent.get("group_by", "day"), ("day", "model", "provider"), "group_by")
    rows = await app.records.usage(caller.account_id, first.isoformat(), last.isoformat())
    groups = view.of_usage(rows, group_by or "day")
    return http.show(view.list_of(Page(tuple(groups))))


async def list_ledger(request: Request) -> Response:
    """Every grant, charge and expiry, newest first."""
    caller = await http.caller(request)
    query.only(request, "limit", "cursor")
    limit = query.whole_number(request, "limit", 20, MAX_LISTED)
    cursor = request.query_params.get("cursor")
    page = await http.app().records.entries(caller.account_id, limit, cursor)
    return http.show(view.list_of(Page(tuple(map(view.of_entry, page.items)), page.cursor)))


async def create_upload(request: Request) -> Response:
    """Leave to send one file straight to storage."""
    caller = await http.caller(request)
    wanted = body.validated(
        uploads.UploadBody, await http.fields(request, http.MAX_PUBLIC_BODY_BYTES)
    )
    return http.show(await uploads.create(http.app(), caller, wanted), status=201)


async def put_upload(request: Request) -> Response:
    """Where an upload goes when storage cannot take it itself."""
    app, path = http.app(), f"/account/uploads/{request.path_params['id']}"
    claims = dict(request.query_params)
    app.links.check("PUT", path, claims, app.clock())
    content_type = request.headers.get("content-type", "")
    await uploads.receive(app, claims, request.stream(), content_type)
    return Response(status_code=204)


async def _own(request: Request) -> Record:
    """The caller's request of that id. Raises NotFound."""
    caller = await http.caller(request)
    found = await http.app().records.request(caller.account_id, request.path_params["id"])
    if found is None:
        raise NotFound("There is no such request.", param="id")
    return found


def _day(text: str | None, default: date, param: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else default  # a day
    except ValueError as error:
        raise InvalidRequest(f"{param} is a day such as 2026-11-21.", param=param) from error


APP = http.routes(
    "account",
    [
        ("GET", "", show_account),
        ("GET", "/requests", list_requests),
        ("GET", "/requests/{id}", show_request),
        ("DELETE", "/requests/{id}", delete_request),
        ("POST", "/requests/{id}/cancel", cancel_request),
        ("GET", "/images/{id}", get_image),
        ("GET", "/usage", show_usage),
        ("GET", "/ledger", list_ledger),
        ("POST", "/uploads", create_upload),
        ("PUT", "/uploads/{id}", put_upload),
    ],
)


@functions_framework.aio.http
async def account(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
