"""What the command line prints: one thing as two columns, many as a table, or either as JSON; and
how far something is. On a terminal in colour and as wide as it is; elsewhere plain text, a row a
line, with nothing cut off. rich does it, and is loaded by whoever prints."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import click

from shared import view

if TYPE_CHECKING:
    from rich import progress as bars
    from rich.console import Console
    from rich.text import Text

SAID_EVERY = timedelta(seconds=30)
"""How often a line says how far something is, where lines stay."""
_STYLES = {
    **dict.fromkeys(("succeeded", "delivered", "live"), "green"),
    **dict.fromkeys(("queued", "accepted", "running", "collecting", "due", "preview"), "cyan"),
    **dict.fromkeys(("cancelled", "deprecated"), "yellow"),
    **dict.fromkeys(("failed", "dead", "expired", "retired"), "red"),
}
_WORDS = ("status", "state", "outcome")
"""Columns whose words are coloured."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TIME = re.compile(r"\b([0-9-]{10})T([0-9:]{8})\.[0-9]{3}Z")
_LONGEST_WHOLE = 60
"""Characters: what is longer is folded, if it has no space either."""
_LONGEST_WORD = 30
"""Characters: so wide is a column that is folded at least, if it has such words."""
_GAP = 2
_ENDLESS = 1 << 20


def show(shown: view.View, as_json: bool, fields: Mapping[str, object] | None = None) -> None:
    """One thing: JSON, or a row a field, where `fields` may stand for the thing's own."""
    data = shown.model_dump(mode="json")
    if as_json:
        click.echo(_json(data))
    else:
        show_fields(data if fields is None else fields)


def show_list(listed: view.ListView[Any], columns: Sequence[str], as_json: bool) -> None:
    """A list: JSON, or a table of some columns."""
    data = listed.model_dump(mode="json")
    if as_json:
        click.echo(_json(data))
        return
    show_table(data["data"], columns)
    if listed.has_more:
        on = f"--cursor {listed.next_cursor}" if listed.next_cursor else "--limit says how much"
        click.echo(f"There is more: {on}", err=True)


def show_found(shown: view.View, found: Sequence[view.View], as_json: bool) -> None:
    """What a check found, as a table; the whole of it where that is nothing, or as JSON."""
    if as_json or not found:
        show(shown, as_json)
        return
    things = [one.model_dump(mode="json") for one in found]
    show_table(things, list(things[0]))


def show_fields(fields: Mapping[str, object]) -> None:
    """Nested data, a row for each dotted name."""
    click.echo(_pairs(_flat(fields)))


def show_table(things: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """A row for each thing; a block of rows for each, where a terminal is too narrow for that."""
    flat = [_flat(one) for one in things]
    rows = [[one.get(column, "-") for column in columns] for one in flat]
    if sys.stdout.isatty() and _least(rows, columns) > _terminal():
        blocks = [_pairs(dict(zip(columns, row, strict=True))) for row in rows]
        click.echo("\n\n".join(blocks))
    else:
        click.echo(_grid(rows, columns))


class Progress:
    """How far something is, on stderr, for whoever waits: a bar on a terminal, else a line for each
    new state, and now and then. What was `said` at the beginning counts as a line, and its bar is
    gone at the end."""

    def __init__(self, said: tuple[str, datetime] | None = None) -> None:
        self._said = said
        self._bar = _bar(passes=said is not None) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, state: str, count: tuple[int, int], text: str, now: datetime) -> None:
        """Say it, if it is time to; `count` is how many of how many are done."""
        done, total = count
        if self._bar:
            (task,) = self._bar.task_ids
            self._bar.update(task, description=state, completed=done, total=total, text=text)
            self._bar.start()
        elif self._said is None or state != self._said[0] or now - self._said[1] >= SAID_EVERY:
            self._said = state, now
            click.echo(f"{state:<10} {done}/{total}  {text}".rstrip(), err=True)


@contextmanager
def counting(what: str, total: int, clock: Callable[[], datetime]) -> Iterator[Callable[[], None]]:
    """Progress of so many things, by a function to be called after each. What is soon done is told
    on a terminal only."""
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress.show(what, (done, total), "", clock())

    with Progress(said=(what, clock())) as progress:
        progress.show(what, (0, total), "", clock())
        yield one_more


def _bar(*, passes: bool) -> bars.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=Console(stderr=True, force_terminal=True, emoji=False),
        transient=passes,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=None, text="")
    return bar


def _json(data: object) -> str:
    return json.dumps(data, indent=2)


def _terminal() -> int:
    return shutil.get_terminal_size().columns


def _console() -> tuple[Console, io.StringIO]:
    """Renders for stdout: with colour and folded on a terminal; elsewhere as wide as it needs."""
    from rich.console import Console

    there, file = sys.stdout.isatty(), io.StringIO()
    return Console(file=file, force_terminal=there, width=_terminal() if there else _ENDLESS), file


def _text_of(file: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _grid(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """A table with heads, its numbers to the right."""
    from rich import box
    from rich.table import Table

    there = sys.stdout.isatty()
    table = Table(
        box=box.SIMPLE_HEAD if there else None,
        padding=(0, 1 if there else _GAP, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column, cells in _by_column(rows, columns):
        table.add_column(
            column.upper(),
            justify="right" if _numbers(cells) else "left",
            min_width=_narrowest(cells),
            no_wrap=_whole(cells),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(_text, row, columns))
    console, file = _console()
    console.print(table)
    return _text_of(file)


def _pairs(fields: Mapping[str, str]) -> str:
    """A name and a value a row. A link that is too long goes over the edge: folded, it could not be
    taken from the terminal."""
    from rich.table import Table
    from rich.text import Text

    console, file = _console()
    longest = max(map(len, fields), default=0)
    for name, cell in fields.items():
        if " " not in cell and longest + _GAP + len(cell) > console.width:
            whole = Text.assemble((f"{name:<{longest + _GAP}}", "bold"), cell)
            console.print(whole, soft_wrap=True)
            continue
        row = Table.grid(padding=(0, _GAP, 0, 0))
        row.add_column(style="bold", min_width=longest, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(name, _text(cell, name))
        console.print(row)
    return _text_of(file)


def _by_column(
    rows: Sequence[Sequence[str]], columns: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    for number, column in enumerate(columns):
        yield column, [row[number] for row in rows]


def _numbers(cells: Sequence[str]) -> bool:
    found = [cell for cell in cells if cell != "-"]
    return bool(found) and all(map(_NUMBER.fullmatch, found))


def _whole(cells: Sequence[str]) -> bool:
    """Whether a column is not folded: it has ids, numbers, words."""
    return all(" " not in cell and len(cell) <= _LONGEST_WHOLE for cell in cells)


def _narrowest(cells: Sequence[str]) -> int:
    """The least width of a column: that of its longest word, if it is one."""
    if _whole(cells):
        return max(map(len, cells), default=0)
    return min(_LONGEST_WORD, max(len(word) for cell in cells for word in cell.split()))


def _least(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> int:
    """The least width of a table."""
    each = _by_column(rows, columns)
    widths = [max(len(column), _narrowest(cells)) for column, cells in each]
    return sum(widths) + _GAP * (len(widths) - 1)


def _text(cell: str, name: str) -> Text:
    """A cell as it is: what looks like markup is none."""
    from rich.text import Text

    word = name.rpartition(".")[2] in _WORDS
    return Text(cell, style=_STYLES.get(cell, "") if word else "")


def _flat(data: Any, name: str = "") -> dict[str, str]:
    """Nested data as a text for each dotted name."""
    if isinstance(data, list) and any(isinstance(one, dict) for one in data):
        data = {str(index): one for index, one in enumerate(data)}
    if not isinstance(data, dict) or not data:
        return {name: _cell(data)}
    inner = (_flat(one, f"{name}.{key}" if name else key) for key, one in data.items())
    return {key: text for flat in inner for key, text in flat.items()}


def printable(text: str) -> str:
    """A text without what would steer a terminal: callers' texts may hold that."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _cell(value: object) -> str:
    """A plain value."""
    if value is None or value in ([], {}, ""):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if sys.stdout.isatty():
        text = _TIME.sub(r"\1 \2", text)
    return printable(text)
