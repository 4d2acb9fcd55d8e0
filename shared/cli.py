"""`python -m shared.cli`: accounts, keys, credit, requests, batches, events, webhooks, the
ledger and the catalogue, for operators. It works on the backends that the environment names,
through the same App as the functions, and while they serve. Data goes to stdout, talk to stderr.
A group's module is imported when it is asked for: pressing Tab starts this program, too."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping

import click
from click.shell_completion import CompletionItem

from shared.cli_options import COMPLETE, INTERRUPTED

PROGRAM = "python -m shared.cli"
GROUPS = {
    "accounts": ("cli_accounts", "Who may use it, and how much."),
    "batches": ("cli_batches", "Many requests as one job."),
    "completion": ("cli_completion", "Print a script that makes `darkroom` this program."),
    "credit": ("cli_accounts", "What accounts pay with."),
    "events": ("cli_events", "What makes requests and batches go on."),
    "keys": ("cli_keys", "What accounts are opened with."),
    "ledger": ("cli_ledger", "Where the money went."),
    "models": ("cli_models", "What can be asked for."),
    "providers": ("cli_providers", "The accounts at providers."),
    "requests": ("cli_requests", "What was asked for, made and charged."),
    "templates": ("cli_templates", "Prompts to fill in."),
    "webhooks": ("cli_events", "What tells callers' servers of the end of requests and batches."),
}
"""By name: the module in this package, and what is said of it."""


class _Groups(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is looked up."""

    def __getitem__(self, name: str) -> click.Command:
        found: click.Command = getattr(importlib.import_module(f"shared.{GROUPS[name][0]}"), name)
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError("GROUPS has them all")

    def __delitem__(self, name: str) -> None:
        raise TypeError("GROUPS has them all")

    def __iter__(self) -> Iterator[str]:
        return iter(GROUPS)

    def __len__(self) -> int:
        return len(GROUPS)


class _Program(click.Group):
    """Lists its groups without importing them, and says errors in a line each."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            from shared.cli_errors import line

            text = line(error)
            if text is None:
                raise
            raise click.ClickException(text) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in GROUPS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[object]]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=said)
            for name, (_, said) in GROUPS.items()
            if name.startswith(incomplete)
        ]


@click.group(cls=_Program, commands=_Groups())
def cli() -> None:
    """Run Darkroom: accounts, keys, credit, requests, batches, events, the ledger, the models."""


if __name__ == "__main__":
    cli(prog_name=PROGRAM, complete_var=COMPLETE)
