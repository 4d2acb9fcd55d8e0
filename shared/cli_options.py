"""What the commands of the command line are asked alike: options, and a question before what cannot
be undone."""

from __future__ import annotations

import importlib.util
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., None])

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended: 128 and the signal's number, as in a shell."""
COMPLETE = "_DARKROOM_COMPLETE"
"""The variable by which a shell asks what a line may go on with."""
_NO_RICH = "This prints with rich: .venv/bin/python -m pip install -r requirements-operator.txt"


def _printable(_ctx: click.Context, _option: click.Parameter, as_json: bool) -> bool:
    """Without rich nothing is begun: what is done is to be seen."""
    if importlib.util.find_spec("rich") is None:
        raise click.ClickException(_NO_RICH)
    return as_json


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_printable, help="Print JSON."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def page_options(command: Command) -> Command:
    """How much of a list, and from where."""
    limit = click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
    return limit(click.option("--cursor", help="Go on where the last page ended.")(command))


def confirm(question: str, yes: bool) -> None:
    """Go on if whoever is there agrees. Where nobody is, a script has decided already."""
    if yes or not somebody_there():
        return
    # The handler of asyncio would let the question wait for its answer.
    before = signal.signal(signal.SIGINT, _leave)
    try:
        click.confirm(question, abort=True, err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def somebody_there() -> bool:
    """Whether a question can be answered: a script cannot."""
    return sys.stdin.isatty()


def _leave(*_: object) -> None:
    click.echo(err=True)
    raise click.exceptions.Exit(INTERRUPTED)
