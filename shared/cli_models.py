"""`python -m shared.cli models`: what can be asked for, and whether the catalogue is sound."""

from __future__ import annotations

import click

from shared import catalogue_view, view
from shared.app import utc_now
from shared.cli_app import catalogue
from shared.cli_options import json_option
from shared.cli_output import show, show_found, show_list
from shared.cli_views import of_catalogue
from shared.errors import NotFound


@click.group()
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
