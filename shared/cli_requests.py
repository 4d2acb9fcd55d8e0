"""`python -m shared.cli requests`: what was asked for, made and charged, and why one failed."""

from __future__ import annotations

from typing import Any, get_args

import click

from shared import view
from shared.app import App
from shared.cli_app import known, with_app
from shared.cli_options import json_option, page_options
from shared.cli_output import show, show_fields, show_list, show_table
from shared.cli_views import OperatorsRequestView, of_request
from shared.domain import Operation, Record, Status
from shared.errors import NotFound
from shared.pricing import usd
from shared.records import RequestFilter

ADVICE = {
    "content_blocked": "The caller changes the prompt or the images: another try ends the same.",
    "forbidden": "The caller names only what belongs to its own account.",
    "idempotency_conflict": "The caller takes a new Idempotency-Key for another body.",
    "in_progress": "The caller waits for the first request with its Idempotency-Key.",
    "insufficient_credit": "Give the account more: credit grant ACCOUNT USD.",
    "internal": "A fault of ours: the log has the traceback, under this request's id.",
    "invalid_request": "The caller corrects the field that error.param names.",
    "model_retired": "The caller takes the successor: models show ID.",
    "no_image": "The provider answered without a picture: the caller asks for one more plainly.",
    "not_found": "The caller names an image, an upload or a request that is still there.",
    "outcome_unknown": (
        "The provider may have made it and charge you for it; the caller is not charged, and may "
        "ask anew."
    ),
    "partially_blocked": "Only what came was charged; the caller changes the prompt for the rest.",
    "payload_too_large": "The caller sends smaller images.",
    "provider_error": (
        "The provider's answer could not be used. The caller may ask anew; if all fail alike, the "
        "provider has changed something."
    ),
    "provider_unavailable": (
        "No provider took it on: providers list says which are open, and what is left of them."
    ),
    "quota_exceeded": (
        "A day's or month's allowance is used up: accounts show ACCOUNT has the caller's, "
        "providers list yours."
    ),
    "rate_limited": (
        "Too many at once: accounts show ACCOUNT has the caller's limits, providers list yours."
    ),
    "unauthenticated": "The caller needs a key that is not revoked: keys list ACCOUNT.",
    "unsupported_image": "The caller sends whole PNG, JPEG or WebP images.",
}
"""What to do about an error, by its code."""


@click.group()
def requests() -> None:
    """What was asked for, made and charged."""


@requests.command("list")
@click.option("--account", "account_id", help="Of this account only; --cursor wants it.")
@click.option("--status", type=click.Choice(get_args(Status)))
@click.option("--operation", type=click.Choice(get_args(Operation)))
@click.option("--model", help="A model's id or alias.")
@click.option("--idempotency-key", help="As the caller sent it.")
@page_options
@json_option
@with_app
async def list_requests(
    app: App, /, account_id: str | None, as_json: bool, limit: int, cursor: str | None, **where: Any
) -> None:
    """Requests, newest first."""
    found = [await known(app, account_id)] if account_id else await app.records.accounts()
    if cursor and not account_id:
        raise click.UsageError("--cursor goes on with the list of one --account.")
    if where["model"] in app.catalogue.aliases:
        where["model"] = app.catalogue.named(where["model"], app.today()).id
    asked = (RequestFilter(**where), limit, cursor)
    pages = [await app.records.requests(one.id, *asked) for one in found]
    records = sorted((r for p in pages for r in p.items), key=lambda r: r.created_at, reverse=True)
    listed = view.ListView[OperatorsRequestView](
        data=[of_request(r, app.links, app.clock()) for r in records[:limit]],
        has_more=len(records) > limit or any(page.cursor for page in pages),
        next_cursor=pages[0].cursor if account_id else None,
    )
    whose = () if account_id else ("account",)
    columns = ("status", "operation", "model", "cost.usd", "error.code")
    show_list(listed, ("created_at", "id", *whose, *columns), as_json)


@requests.command("show")
@click.argument("request_id", metavar="REQUEST_ID")
@json_option
@with_app
async def show_request(app: App, request_id: str, as_json: bool) -> None:
    """One request: why it failed, what was tried, what it cost us, and links to its pictures."""
    for account in await app.records.accounts():
        if record := await app.records.request(account.id, request_id):
            shown = of_request(record, app.links, app.clock())
            if as_json:
                show(shown, as_json)
            else:
                _tell(shown, record)
            return
    raise NotFound(f"There is no request {request_id}.")


def _tell(shown: OperatorsRequestView, record: Record) -> None:
    """Why it ended as it did, what was tried, what it cost, and the rest of it."""
    data = shown.model_dump(mode="json")
    error, attempts = data.pop("error"), data.pop("attempts")
    for row, attempt in zip(attempts, record.attempts, strict=True):
        row["cost_usd"] = usd(attempt.cost_micros)
    first: dict[str, object] = {"id": data.pop("id"), "account": data.pop("account")}
    first["status"] = data.pop("status")
    if error is not None:
        told = ("code", "message", "provider", "param", "retryable", "details")
        first["error"] = {name: error[name] for name in told if error[name] not in (None, {})}
        first["advice"] = ADVICE.get(record.error.code if record.error else "", "")
    show_fields(first)
    click.echo()
    if attempts:
        show_table(attempts, ("provider", "outcome", "status", "latency_ms", "cost_usd"))
        click.echo()
    show_fields({name: data.pop(name) for name in ("cost", "provider_cost_usd")} | data)
