"""How a command of the command line gets at the App and the catalogue of the environment."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

import click

from shared import local
from shared.app import App, build
from shared.catalogue import BadCatalogue, Catalogue, load
from shared.errors import DarkroomError
from shared.settings import BadSettings, Settings

P = ParamSpec("P")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _opened() -> App:
    """The App of the environment, or one line that says why there is none."""
    try:
        return build(local.completed(Settings.from_env()), signs=False)
    except (BadSettings, BadCatalogue, OSError) as error:
        raise click.ClickException(str(error)) from error


def catalogue() -> Catalogue:
    """The catalogue of the environment, or one line that says what is wrong with it."""
    try:
        return load(Settings.from_env().catalogue_overlay)
    except (BadSettings, BadCatalogue) as error:
        raise click.ClickException(str(error)) from error


def with_app(
    command: Callable[Concatenate[App, P], Coroutine[Any, Any, None]],
) -> Callable[P, None]:
    """Run an async command on an App; an error of ours becomes one line."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def opened() -> None:
            app = _opened()
            try:
                await command(app, *args, **kwargs)
            except DarkroomError as error:
                raise click.ClickException(error.message) from error
            finally:
                await app.close()

        asyncio.run(opened())

    return run
