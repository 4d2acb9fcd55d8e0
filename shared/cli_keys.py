"""`python -m shared.cli keys`: what accounts are opened with."""

from __future__ import annotations

import click

from shared import view
from shared.accounts import key_hash, new_key
from shared.app import App
from shared.cli_app import known, with_app
from shared.cli_options import confirm, json_option, yes_option
from shared.cli_output import show, show_list
from shared.cli_views import NewKeyView, RevokedView, of_key
from shared.domain import ApiKey
from shared.errors import NotFound

_ID = "key_"
"""How the id of a key begins, and no key."""


@click.group()
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
    kept = ApiKey(f"{_ID}{app.new_id()}", key_hash(key), account_id, test, app.clock())
    await app.records.create_key(kept)
    show(NewKeyView(id=kept.id, key=key, account=account_id, test=test), as_json)
    click.echo("Keep the key: it is not shown again.", err=True)


@keys.command("list")
@click.argument("account_id", metavar="ACCOUNT")
@json_option
@with_app
async def list_keys(app: App, account_id: str, as_json: bool) -> None:
    """An account's keys, revoked ones too."""
    await known(app, account_id)
    views = [of_key(key) for key in await app.records.keys(account_id)]
    columns = ("id", "test", "created_at", "revoked_at")
    show_list(view.ListView(data=views), columns, as_json)


@keys.command("show")
@click.argument("named", metavar="KEY")
@json_option
@with_app
async def show_key(app: App, named: str, as_json: bool) -> None:
    """Whose a key is: KEY is its id, or the key itself, as it was found somewhere."""
    show(of_key(await _found(app, named)), as_json)


@keys.command("revoke")
@click.argument("named", metavar="KEY")
@yes_option
@json_option
@with_app
async def revoke_key(app: App, named: str, yes: bool, as_json: bool) -> None:
    """End a key for good: KEY is its id, or the key itself, as it was found somewhere."""
    key_id = named if _is_id(named) else (await _found(app, named)).id
    confirm(f"Revoke {key_id} for good?", yes)
    await app.records.revoke_key(key_id, app.clock())
    show(RevokedView(id=key_id), as_json)
    click.echo("It is refused everywhere within fifteen seconds.", err=True)


def _is_id(named: str) -> bool:
    return named.startswith(_ID)


async def _found(app: App, named: str) -> ApiKey:
    """A key by its id, or by itself, which is not repeated. Raises NotFound."""
    if not _is_id(named):
        found = await app.records.key(key_hash(named))
        if found is None:
            raise NotFound("No account has this key.")
        return found
    for account in await app.records.accounts():
        for key in await app.records.keys(account.id):
            if key.id == named:
                return key
    raise NotFound(f"There is no key {named}.")
