"""docs/cli.md: its commands work, in order, and its table has every command there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from shared.cli import cli
from shared.cli_requests import ADVICE
from tests.test_readme import blocks, pasted, served

PAGE = Path("docs/cli.md").read_text()


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    """Every command there is, as it is typed."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from commands(found, f"{path}{name} ")
        else:
            yield f"{path}{name}"


@pytest.mark.process
def test_every_command_of_the_page_works_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (home, port):
        printed = pasted(blocks("sh", PAGE), home, port)
    assert "dk_live_" in printed
    assert re.search(r"^rpd +0 of 1000$", printed, re.M)
    assert re.search(r"^error.code +content_blocked$", printed, re.M)
    assert ADVICE["content_blocked"] in printed
    assert re.search(r"^balance_usd +10.000000$", printed.rpartition("HELD_USD")[2], re.M)


def test_the_table_has_every_command_there_is() -> None:
    cells = re.findall(r"^\| (`[a-z].*?) \|", PAGE, re.M)
    named = {re.sub(r" [A-Z].*", "", one) for cell in cells for one in re.findall(r"`(.+?)`", cell)}
    # The shorter name of another.
    assert named == set(commands(cli)) - {"events replay"}


def test_it_stays_short() -> None:
    assert len(PAGE.splitlines()) <= 120
