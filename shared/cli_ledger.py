"""`python -m shared.cli ledger`: where the money went, and whether it adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import click

from shared import audit, view
from shared.app import App
from shared.cli_app import known, with_app
from shared.cli_options import json_option, page_options
from shared.cli_output import counting, show_found, show_list
from shared.cli_views import of_audit
from shared.domain import Account
from shared.records import Page, Records


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
    found = await app.records.accounts()
    with counting("Accounts", len(found), app.clock) as one_more:
        checked = await audit.check(cast(Records, _Read(app.records, found, one_more)))
    shown = of_audit(checked)
    show_found(shown, shown.findings, as_json)
    if shown.findings:
        raise click.exceptions.Exit(1)


class _Read:
    """Records whose accounts are gone through one by one, and tell when the next one's turn is."""

    def __init__(
        self, records: Records, found: Sequence[Account], one_more: Callable[[], None]
    ) -> None:
        self._records, self._found, self._one_more = records, found, one_more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def accounts(self) -> Iterator[Account]:
        return self._each()

    def _each(self) -> Iterator[Account]:
        for account in self._found:
            yield account
            self._one_more()
