"""`python -m shared.cli providers`: the accounts at providers, whether they are open, and what is
left of their limits."""

from __future__ import annotations

import click

from shared import view
from shared.app import App
from shared.cli_app import with_app
from shared.cli_options import json_option
from shared.cli_output import show_list
from shared.errors import DarkroomError
from shared.pricing import usd


class ProviderView(view.View):
    """An account at a provider. `opened_by` is the variable that opens it; of the limits, null is
    none. `balance` is what the provider says is left of its credits, or why it does not say."""

    id: str
    name: str
    open: bool
    opened_by: str
    rpm: int | None
    free_rpd: int | None
    free_used_today: int | None
    daily_usd: str | None
    spent_today_usd: str | None
    balance: str | None


@click.group()
def providers() -> None:
    """The accounts at providers."""


@providers.command("list")
@json_option
@with_app
async def list_providers(app: App, as_json: bool) -> None:
    """Every account: its limits, what is used of them today, and the provider's own balance."""
    open_to = app.transport.open_to(test=False)
    views = [await _shown(app, name, name in open_to) for name in app.catalogue.providers]
    columns = ("id", "open", "opened_by", "rpm", "free_rpd", "free_used_today")
    show_list(
        view.ListView(data=views), (*columns, "daily_usd", "spent_today_usd", "balance"), as_json
    )


async def _shown(app: App, provider_id: str, opened: bool) -> ProviderView:
    account = app.catalogue.providers[provider_id]
    today = (await app.records.meter(provider_id)).today(account, app.clock())
    cap = account.daily_usd
    return ProviderView(
        id=account.id,
        name=account.name,
        open=opened,
        opened_by=account.opened_by,
        rpm=account.rpm,
        free_rpd=account.free.rpd if account.free else None,
        free_used_today=today.free_calls if account.free else None,
        daily_usd=None if cap is None else usd(cap),
        spent_today_usd=None if cap is None else usd(today.spent_micros),
        balance=await _balance(app, provider_id) if opened else None,
    )


async def _balance(app: App, provider_id: str) -> str | None:
    try:
        balance = await app.transport.balance(provider_id)
    except DarkroomError as error:
        return error.message
    return None if balance is None else f"{balance} credits"
