"""docs/choosing.md: its commands work, and its table is what they are answered."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from shared import body
from shared.catalogue import load
from shared.estimate import estimate
from tests.test_readme import blocks, pasted, served

DOC = Path("docs/choosing.md").read_text()
ASKED = re.findall(r"## ([^\n]+)\n(?:(?!## ).)*?-d '([^']+)'", DOC, re.S)


def test_its_table_is_what_the_rows_say_on_its_day() -> None:
    catalogue = load()
    (day,) = re.findall(r"Of ([0-9-]{10}), with every provider's key", DOC)
    rows = []
    for question, asked in ASKED:
        parsed = body.estimate(json.loads(asked), {})
        found = estimate(
            parsed, catalogue, frozenset(catalogue.providers), date.fromisoformat(day)
        ).choice
        assert found is not None
        batch = " in a batch" if found.mode == "batch" else ""
        rows.append(
            f"| {question} | `{found.model}` at `{found.provider}`{batch} | {found.reason} |"
        )
    assert len(rows) == 6
    (table,) = re.findall(r"\| question \|.*?\n\n", DOC, re.S)
    assert table.strip().splitlines()[2:] == rows


@pytest.mark.process
def test_its_commands_work_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (home, port):
        printed = pasted(blocks("sh", DOC), home, port)
    choices = re.findall(r'"choice":\{"model":"[^"]+".*?"mode":"(\w+)".*?"reason":"[^"]+"', printed)
    assert choices == ["now"] * 5 + ["batch"]
