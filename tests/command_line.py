"""The operator's command line in this process, on a data folder of its own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shared.cli import cli
from shared.records import Records
from shared.records.sqlite import Sqlite

CHOSEN = ("BUCKET", "FIRESTORE_DATABASE", "TOPIC_PREFIX", "CATALOGUE", "TEST_KEY", "SIGNING_SECRET")


def fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that the environment names, and nothing else."""
    for name in CHOSEN:
        monkeypatch.delenv(f"DARKROOM_{name}", raising=False)
    monkeypatch.setenv("DARKROOM_DATA", str(folder / "data"))
    return folder / "data"


def ran(*args: str, code: int = 0, stdin: str = "") -> Result:
    """A command line that ends with the given exit code."""
    result = CliRunner().invoke(cli, args, input=stdin)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def on_terminal(
    monkeypatch: pytest.MonkeyPatch, *args: str, columns: int = 200, code: int = 0, stdin: str = ""
) -> Result:
    """A command line that somebody types, on a terminal so wide."""
    with monkeypatch.context() as patch:
        for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", str(columns))
        patch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
        result = CliRunner().invoke(cli, args, input=stdin, color=True)
    assert result.exit_code == code, result.output
    return result


def shown(*args: str, code: int = 0) -> Any:
    """What a command line prints with --json."""
    return json.loads(ran(*args, "--json", code=code).stdout)


def table(result: Result) -> list[list[str]]:
    """The cells of what was printed as text."""
    return [re.split(r"  +", row) for row in result.stdout.splitlines()]


def write(data: Path, work: Callable[[Records], Awaitable[object]]) -> None:
    """Have something written into the data folder's records."""

    async def opened() -> None:
        records = Sqlite(data / "darkroom.db")
        try:
            await work(records)
        finally:
            await records.close()

    asyncio.run(opened())
