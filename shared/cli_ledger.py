"""`python -m shared.cli ledger`: where the money went, and whether it adds up."""

from __future__ import annotations

import click

from shared import audit, view
from shared.app import App
from shared.cli_app import known, with_app
from shared.cli_options import json_option, page_options
from shared.cli_output import counting, show_found, show_list
from shared.cli_views import of_audit
from shared.records import Page


@click.group()
def ledger() -> None:
    """Where the money went."""


@ledger.command("list")
@click.argument("account_id", metavar="ACCOUNT")
@page_options
@json_option
@with_app
async def list_entries(
    app: App, account_id: str, limit: int, cursor: str | None, as_json: bool
) -> None:
    """An account's ledger, newest first."""
    await known(app, account_id)
    page = await app.records.entries(account_id, limit, cursor)
    views = tuple(view.of_entry(entry) for entry in page.items)
    columns = ("at", "id", "kind", "usd", "request_id", "grant_id", "expires_at")
    show_list(view.list_of(Page(views, page.cursor)), columns, as_json)


@ledger.command("check")
@json_option
@with_app
async def check_ledger(app: App, as_json: bool) -> None:
    """Whether every account adds up: exit 1 and a line for each thing that does not."""
    found, parts = await app.records.accounts(), list[audit.Audit]()
    with counting("Accounts", len(found), app.clock) as one_more:
        for account in found:
            parts.append(await audit.check_account(app.records, account.id))
            one_more()
    checked = audit.whole(parts)
    shown = of_audit(checked)
    show_found(shown, shown.findings, as_json)
    if shown.findings:
        raise click.exceptions.Exit(1)
