"""`python -m shared.cli`: accounts, keys, credit, requests, batches, events, webhooks, the
ledger and the catalogue, for operators. It works on the backends that the environment names,
through the same App as the functions, and while they serve. Data goes to stdout, talk to stderr."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar, get_args

import click

from shared import audit, catalogue_view, view
from shared.accounts import key_hash, new_key
from shared.app import App, utc_now
from shared.cli_app import catalogue, json_option, with_app
from shared.cli_batches import batches
from shared.cli_events import events, webhooks
from shared.cli_output import (
    NewKeyView,
    OperatorsAccountView,
    RevokedView,
    of_account,
    of_audit,
    of_catalogue,
    of_key,
    of_request,
    show,
    show_found,
    show_list,
    somebody_there,
)
from shared.cli_providers import providers
from shared.domain import Account, ApiKey, Entry, Limits, Status
from shared.errors import NotFound
from shared.ledger import CREDIT_LIFE
from shared.records import Page, RequestFilter

Command = TypeVar("Command", bound=Callable[..., None])

NO_LIMIT = "none"


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
        click.option("--concurrency", type=number, metavar="N|none", help="Requests at once."),
        click.option("--rpd", type=number, metavar="N|none", help="Requests a day."),
        click.option("--rpm", type=number, metavar="N|none", help="Requests a minute."),
    ):
        command = option(command)
    return command


def _limits(before: Limits, given: Mapping[str, int | str | None]) -> Limits:
    """The limits with those that were given: None was not, "none" lifts one."""
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(before, **{n: v if isinstance(v, int) else None for n, v in changes.items()})


def _page_options(command: Command) -> Command:
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
    return limit(click.option("--cursor", help="Go on where the last page ended.")(command))


async def _known(app: App, account_id: str) -> Account:
    account = await app.records.account(account_id)
    if account is None:
        raise NotFound(f"There is no account {account_id}.")
    return account


async def _account_view(app: App, account_id: str) -> OperatorsAccountView:
    return of_account(await app.records.look(account_id, None), app.clock())


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
def cli() -> None:
    """Run Darkroom: accounts, keys, credit, requests, batches, events, the ledger, the models."""


@cli.group()
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
    show(await _account_view(app, account.id), as_json)
    click.echo(f"Next, a key: python -m shared.cli keys create {account.id}", err=True)


@accounts.command("show")
@click.argument("account_id", metavar="ID")
@json_option
@with_app
async def show_account(app: App, account_id: str, as_json: bool) -> None:
    """Balance, limits and what of them is in use."""
    show(await _account_view(app, account_id), as_json)


@accounts.command("list")
@json_option
@with_app
async def list_accounts(app: App, as_json: bool) -> None:
    """Every account, by name."""
    found = await app.records.accounts()
    views = await asyncio.gather(*(_account_view(app, account.id) for account in found))
    columns = ("id", "name", "balance_usd", "held_usd", "usage.running", "created_at")
    show_list(view.ListView(data=list(views)), columns, as_json)


@accounts.command("limit")
@click.argument("account_id", metavar="ID")
@_limit_options
@json_option
@with_app
async def limit_account(
    app: App, /, account_id: str, as_json: bool, **limits: int | str | None
) -> None:
    """Change limits; `none` lifts one, and those not named stay."""
    if all(given is None for given in limits.values()):
        raise click.UsageError("Give at least one limit to change.")
    account = await _known(app, account_id)
    await app.records.set_limits(account_id, _limits(account.limits, limits))
    show(await _account_view(app, account_id), as_json)


@cli.group()
def keys() -> None:
    """What accounts are opened with."""


@keys.command("create")
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--test", is_flag=True, help="For the sandbox only: costs nothing.")
@json_option
@with_app
async def create_key(app: App, account_id: str, test: bool, as_json: bool) -> None:
    """Make a key; it is shown this once."""
    key = new_key(test=test)
    kept = ApiKey(f"key_{app.new_id()}", key_hash(key), account_id, test, app.clock())
    await app.records.create_key(kept)
    show(NewKeyView(id=kept.id, key=key, account=account_id, test=test), as_json)
    click.echo("Keep the key: it is not shown again.", err=True)


@keys.command("list")
@click.argument("account_id", metavar="ACCOUNT")
@json_option
@with_app
async def list_keys(app: App, account_id: str, as_json: bool) -> None:
    """An account's keys, revoked ones too."""
    await _known(app, account_id)
    views = [of_key(key) for key in await app.records.keys(account_id)]
    columns = ("id", "test", "created_at", "revoked_at")
    show_list(view.ListView(data=views), columns, as_json)


@keys.command("revoke")
@click.argument("key_id", metavar="KEY_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_app
async def revoke_key(app: App, key_id: str, yes: bool, as_json: bool) -> None:
    """End a key for good."""
    if not yes and somebody_there():
        click.confirm(f"Revoke {key_id} for good?", abort=True, err=True)
    await app.records.revoke_key(key_id, app.clock())
    show(RevokedView(id=key_id), as_json)
    click.echo("It is refused everywhere within fifteen seconds.", err=True)


@cli.group()
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


@cli.group()
def requests() -> None:
    """What was asked for, made and charged."""


@requests.command("list")
@click.option("--account", "account_id", help="Of this account only; --cursor wants it.")
@click.option("--status", type=click.Choice(get_args(Status)))
@click.option("--model", help="A model's id.")
@_page_options
@json_option
@with_app
async def list_requests(
    app: App, /, account_id: str | None, as_json: bool, limit: int, cursor: str | None, **where: Any
) -> None:
    """Requests, newest first."""
    known = [await _known(app, account_id)] if account_id else await app.records.accounts()
    if cursor and not account_id:
        raise click.UsageError("--cursor goes on with the list of one --account.")
    asked = (RequestFilter(**where), limit, cursor)
    pages = [await app.records.requests(one.id, *asked) for one in known]
    records = sorted((r for p in pages for r in p.items), key=lambda r: r.created_at, reverse=True)
    views = tuple(view.of_request(r, app.links, app.clock()) for r in records[:limit])
    columns = ("created_at", "id", "status", "operation", "model", "cost.usd", "error.code")
    show_list(view.list_of(Page(views, pages[0].cursor if account_id else None)), columns, as_json)


@requests.command("show")
@click.argument("request_id", metavar="REQUEST_ID")
@json_option
@with_app
async def show_request(app: App, request_id: str, as_json: bool) -> None:
    """One request, with links to its pictures and what it cost us."""
    for account in await app.records.accounts():
        if record := await app.records.request(account.id, request_id):
            show(of_request(record, app.links, app.clock()), as_json)
            return
    raise NotFound(f"There is no request {request_id}.")


@cli.group()
def ledger() -> None:
    """Where the money went."""


@ledger.command("list")
@click.argument("account_id", metavar="ACCOUNT")
@_page_options
@json_option
@with_app
async def list_entries(
    app: App, account_id: str, limit: int, cursor: str | None, as_json: bool
) -> None:
    """An account's ledger, newest first."""
    await _known(app, account_id)
    page = await app.records.entries(account_id, limit, cursor)
    views = tuple(view.of_entry(entry) for entry in page.items)
    columns = ("at", "id", "kind", "usd", "request_id", "grant_id", "expires_at")
    show_list(view.list_of(Page(views, page.cursor)), columns, as_json)


@ledger.command("check")
@json_option
@with_app
async def check_ledger(app: App, as_json: bool) -> None:
    """Whether every account adds up: exit 1 and a line for each thing that does not."""
    shown = of_audit(await audit.check(app.records))
    show_found(shown, shown.findings, as_json)
    if shown.findings:
        raise click.exceptions.Exit(1)


@cli.group()
def models() -> None:
    """What can be asked for."""


@models.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Every model of the catalogue, the overlay's too."""
    today = utc_now().date()
    views = [catalogue_view.of_model(model, today) for model in catalogue().models.values()]
    columns = ("id", "status", "operations", "resolutions", "aliases", "shutdown", "successor")
    show_list(view.ListView(data=views), columns, as_json)


@models.command("show")
@click.argument("name", metavar="ID")
@json_option
def show_model(name: str, as_json: bool) -> None:
    """A model, by its id or an alias."""
    try:
        model = catalogue().find(name)
    except NotFound as error:
        raise click.ClickException(f"There is no model named {name!r}.") from error
    show(catalogue_view.of_model(model, utc_now().date()), as_json)


@models.command("check")
@json_option
def check_models(as_json: bool) -> None:
    """Whether the catalogue is sound: exit 1 if not; and what in it is old or about to end."""
    shown = of_catalogue(catalogue(), utc_now().date())
    show_found(shown, shown.notes, as_json)


for group in (batches, events, webhooks, providers):
    cli.add_command(group)


if __name__ == "__main__":
    cli(prog_name="python -m shared.cli")
