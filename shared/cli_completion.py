"""`python -m shared.cli completion`: a script for a shell that makes `darkroom` this program, from
any folder, and completes its commands, options and choices."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from shared.cli_options import COMPLETE

NAME = "darkroom"
_FOLDER = Path(__file__).absolute().parent.parent
_CALLS = {"bash": "$1)", "zsh": f"{NAME})", "fish": f"(commandline -t) {NAME})"}
"""How click's scripts end their call of the program, which they take for one on the PATH."""
_LOOK = f"    (( ! $+commands[{NAME}] )) && return 1\n"
_FUNCTIONS = {
    "bash": '{name}() {{ {program} "$@"; }}\n',
    "zsh": '{name}() {{ {program} "$@"; }}\n',
    "fish": "function {name}; {program} $argv; end\n",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_FUNCTIONS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes `darkroom` this program.

    From any folder, with completion of commands, options and choices.

    In ~/.bashrc: eval "$(cd FOLDER && .venv/bin/python -m shared.cli completion bash)"
    """
    click.echo(script(context.find_root().command, shell), nl=False)


def script(program: click.Command, shell: str) -> str:
    """The function and click's script around it. The program runs in its own folder, so that what
    is local is the same from everywhere."""
    run = f'cd {shlex.quote(str(_FOLDER))} && exec {shlex.quote(sys.executable)} -m shared.cli "$@"'
    call = f"sh -c {shlex.quote(run)} {NAME}"
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"click completes nothing in {shell}.")
    source = found(program, {}, NAME, COMPLETE).source().replace(_LOOK, "")
    end = _CALLS[shell]
    return _FUNCTIONS[shell].format(name=NAME, program=call) + source.replace(
        end, end.replace("$1" if shell == "bash" else NAME, call)
    )
