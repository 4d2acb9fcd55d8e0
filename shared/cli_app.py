"""How a command of the command line gets at the App and the catalogue of the environment."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

from shared import local
from shared.app import App, build
from shared.catalogue import Catalogue, load
from shared.domain import Account
from shared.errors import NotFound
from shared.settings import Settings

P = ParamSpec("P")


def catalogue() -> Catalogue:
    """The catalogue of the environment. Raises BadCatalogue, BadSettings."""
    return load(Settings.from_env().catalogue_overlay)


async def known(app: App, account_id: str) -> Account:
    """An account. Raises NotFound."""
    account = await app.records.account(account_id)
    if account is None:
        raise NotFound(f"There is no account {account_id}.")
    return account


def with_app(
    command: Callable[Concatenate[App, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Run an async command on an App."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def opened() -> None:
            app = build(local.completed(Settings.from_env()), signs=False)
            try:
                await command(app, *args, **kwargs)
            finally:
                await app.close()

        asyncio.run(opened())

    return run
