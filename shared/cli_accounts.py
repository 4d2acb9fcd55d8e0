"""`python -m shared.cli accounts` and `credit`: who may use it, how much, and what they spent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import click

from shared import view
from shared.app import App
from shared.cli_app import known, with_app
from shared.cli_options import confirm, json_option, yes_option
from shared.cli_output import counting, show, show_list
from shared.cli_views import OperatorsAccountView, of_account
from shared.domain import Account, Entry, Limits
from shared.ledger import CREDIT_LIFE
from shared.pricing import usd

Command = TypeVar("Command", bound=Callable[..., None])

NO_LIMIT = "none"
LONGEST = timedelta(days=366)
"""Of the days whose usage is asked for at once."""
_MONTH = timedelta(days=30)


def _micros(text: str) -> int:
    """Dollars as an operator writes them, "10" or "0.25", in micro-dollars."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or not Decimal(text):
        raise click.BadParameter(f"{text!r} is no amount above 0 with at most six decimals.")
    return int(Decimal(text) * 1_000_000)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise click.BadParameter(f"{text!r} is no whole number.")
    return int(text)


def _or_no_limit(read: Callable[[str], int]) -> Callable[[str], int | str]:
    return lambda text: NO_LIMIT if text == NO_LIMIT else read(text)


def _limit_options(command: Command) -> Command:
    number, micros = _or_no_limit(_number), _or_no_limit(_micros)
    for option in (
        click.option(
            "--monthly-usd",
            "monthly_micros",
            type=micros,
            metavar="USD|none",
            help="Most that can be spent in a month.",
        ),
        click.option(
            "--concurrency",
            type=number,
            metavar="N|none",
            help="Requests at once; batches do not count.",
        ),
        click.option("--rpd", type=number, metavar="N|none", help="Requests a day."),
        click.option("--rpm", type=number, metavar="N|none", help="Requests a minute; 0 stops it."),
    ):
        command = option(command)
    return command


def _limits(before: Limits, given: Mapping[str, int | str | None]) -> Limits:
    """The limits with those that were given: None was not, "none" lifts one."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(before, **{n: v if isinstance(v, int) else None for n, v in changes.items()})


async def _account_view(app: App, account_id: str) -> OperatorsAccountView:
    return of_account(await app.records.look(account_id, None), app.clock())


def _used(account: OperatorsAccountView) -> dict[str, tuple[int | str, int | str | None]]:
    """What is used of each limit, and the limit."""
    used, limits = account.usage, account.limits
    return {
        "rpm": (used.requests_this_minute, limits.rpm),
        "rpd": (used.requests_today, limits.rpd),
        "concurrency": (used.running, limits.concurrency),
        "monthly_usd": (used.spent_this_month_usd, limits.monthly_usd),
    }


def _show(account: OperatorsAccountView, as_json: bool) -> None:
    """An account, and its limits with what is used of them."""
    fields: dict[str, object] = {
        "id": account.id,
        "name": account.name,
        "balance_usd": account.balance_usd,
        "held_usd": account.held_usd,
        "available_usd": account.available_usd,
    }
    for name, (used, limit) in _used(account).items():
        fields[name] = f"{used}, no limit" if limit is None else f"{used} of {limit}"
    created_at = account.model_dump(mode="json")["created_at"]
    show(account, as_json, {**fields, "created_at": created_at})


async def _grant(app: App, account_id: str, micros: int) -> Entry:
    now = app.clock()
    entry = Entry(
        id=f"led_{app.new_id()}",
        account_id=account_id,
        kind="grant",
        micros=micros,
        at=now,
        grant_id=f"grt_{app.new_id()}",
        expires_at=now + CREDIT_LIFE,
    )
    await app.records.grant(entry)
    return entry


@click.group()
def accounts() -> None:
    """Who may use it, and how much."""


@accounts.command("create")
@click.argument("name")
@click.option("--credit-usd", "credit_micros", type=_micros, metavar="USD", help="First credit.")
@_limit_options
@json_option
@with_app
async def create_account(
    app: App, /, name: str, credit_micros: int | None, as_json: bool, **limits: int | str | None
) -> None:
    """Make an account called NAME."""
    if not name.strip():
        raise click.BadParameter("It must not be empty.", param_hint="NAME")
    account = Account(
        id=f"acc_{app.new_id()}",
        name=name,
        created_at=app.clock(),
        limits=_limits(Limits(), limits),
        shards=app.wallet_shards,
    )
    await app.records.create_account(account)
    if credit_micros:
        await _grant(app, account.id, credit_micros)
    _show(await _account_view(app, account.id), as_json)
    click.echo(f"Next, a key: python -m shared.cli keys create {account.id}", err=True)


@accounts.command("show")
@click.argument("account_id", metavar="ID")
@json_option
@with_app
async def show_account(app: App, account_id: str, as_json: bool) -> None:
    """Balance, limits and what of them is in use."""
    _show(await _account_view(app, account_id), as_json)


@accounts.command("list")
@json_option
@with_app
async def list_accounts(app: App, as_json: bool) -> None:
    """Every account, by name."""
    found = await app.records.accounts()
    with counting("Accounts", len(found), app.clock) as one_more:

        async def looked_at(account: Account) -> OperatorsAccountView:
            shown = await _account_view(app, account.id)
            one_more()
            return shown

        views = await asyncio.gather(*map(looked_at, found))
    columns = ("id", "name", "balance_usd", "held_usd", "usage.running", "created_at")
    show_list(view.ListView(data=list(views)), columns, as_json)


@accounts.command("limit")
@click.argument("account_id", metavar="ID")
@_limit_options
@yes_option
@json_option
@with_app
async def limit_account(
    app: App, /, account_id: str, yes: bool, as_json: bool, **limits: int | str | None
) -> None:
    """Change limits; `none` lifts one, and those not named stay."""
    if all(given is None for given in limits.values()):
        raise click.UsageError("Give at least one limit to change.")
    account = await known(app, account_id)
    new = _limits(account.limits, limits)
    standing = await app.records.look(account_id, None)
    would_be = of_account(replace(standing, account=replace(account, limits=new)), app.clock())
    if full := [name for name in limits if limits[name] is not None and _full(would_be, name)]:
        names = ", ".join(name.replace("_micros", "_usd") for name in full)
        confirm(f"{account_id} uses that much of {names} now: more is refused. Go on?", yes)
    await app.records.set_limits(account_id, new)
    _show(await _account_view(app, account_id), as_json)


def _full(account: OperatorsAccountView, name: str) -> bool:
    """Whether nothing is left of a limit."""
    used, limit = _used(account)[name.replace("_micros", "_usd")]
    return limit is not None and Decimal(used) >= Decimal(limit)


@accounts.command("usage")
@click.argument("account_id", metavar="ID")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY")
@click.option(
    "--by",
    type=click.Choice(["day", "model", "provider"]),
    default="day",
    show_default=True,
    help="What is added up.",
)
@json_option
@with_app
async def show_usage(
    app: App, account_id: str, first: datetime | None, last: datetime | None, by: str, as_json: bool
) -> None:
    """What was made and spent, in the month until today or between two days (UTC)."""
    until = last.date() if last else app.today()
    since = first.date() if first else until - _MONTH
    if not timedelta() <= until - since <= LONGEST:
        raise click.UsageError("--from comes before --to, by at most a year.")
    await known(app, account_id)
    rows = await app.records.usage(account_id, since.isoformat(), until.isoformat())
    columns = (by, "requests", "images", "usd")
    show_list(view.ListView(data=view.of_usage(rows, by)), columns, as_json)
    spent = usd(sum(row.micros for row in rows))
    click.echo(f"{spent} US dollars from {since} to {until}.", err=True)


@click.group()
def credit() -> None:
    """What accounts pay with."""


@credit.command("grant")
@click.argument("account_id", metavar="ACCOUNT")
@click.argument("micros", type=_micros, metavar="USD")
@json_option
@with_app
async def grant_credit(app: App, account_id: str, micros: int, as_json: bool) -> None:
    """Add credit, which lasts a year."""
    show(view.of_entry(await _grant(app, account_id, micros)), as_json)
