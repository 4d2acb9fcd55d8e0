"""`python -m shared.cli templates`: prompts to fill in, the operator's own too."""

from __future__ import annotations

import click

from shared import view
from shared.app import utc_now
from shared.cli_app import catalogue
from shared.cli_options import json_option
from shared.cli_output import show, show_fields, show_list, show_table
from shared.template_view import of_template


@click.group()
def templates() -> None:
    """Prompts to fill in."""


@templates.command("list")
@json_option
def list_templates(as_json: bool) -> None:
    """Every template of the catalogue, the overlay's too."""
    found, today = catalogue(), utc_now().date()
    views = [of_template(template, found, today) for template in found.templates.values()]
    columns = ("name", "version", "title", "operations", "min_sources", "max_sources", "model")
    show_list(view.ListView(data=views), columns, as_json)


@templates.command("show")
@click.argument("name", metavar="NAME")
@json_option
def show_template(name: str, as_json: bool) -> None:
    """A template: its prompt, and what goes into it."""
    found = catalogue()
    if name not in found.templates:
        raise click.ClickException(f"There is no template named {name!r}.")
    shown = of_template(found.templates[name], found, utc_now().date())
    if as_json:
        show(shown, as_json)
        return
    show_fields(shown.model_dump(mode="json", exclude={"object", "variables"}))
    if shown.variables:
        click.echo()
        variables = [one.model_dump(mode="json") for one in shown.variables]
        show_table(variables, ("name", "required", "default", "example", "values", "description"))
