"""infra/README.md says only what is there: its table, commands, variables and outputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from shared.cli import cli
from shared.records.firestore import INDEXES
from tests.infra import costs

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
GUIDE = (INFRA / "README.md").read_text()


def declared(kind: str, file: str) -> set[str]:
    """The names of a file's blocks of one kind."""
    return set(re.findall(rf'^{kind} "(\w+)"', (INFRA / file).read_text(), re.M))


def test_the_costs_are_those_of_the_arithmetic() -> None:
    assert costs.table() in GUIDE


def test_every_resource_of_the_bill_costs_more_with_more_pictures() -> None:
    for line in costs.LINES:
        few, many = line.usd(1_000), line.usd(1_000_000)
        assert 0 <= few <= many, line.item


@pytest.mark.parametrize("file", ["README.md", "monitoring.tf"])
def test_every_command_of_the_command_line_exists(file: str) -> None:
    known = {
        f"{group} {command}"
        for group, found in cli.commands.items()
        if isinstance(found, click.Group)
        for command in found.commands
    }
    named = re.findall(r"shared\.cli (\w+ [a-z]+)", (INFRA / file).read_text())
    named += re.findall(r"`(events \w+|accounts \w+|keys \w+)", (INFRA / file).read_text())
    assert named
    assert set(named) <= known, set(named) - known


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = {a or b for a, b in re.findall(r"\bmake (\w+) PROJECT|`make (\w+)`", GUIDE)}
    assert named and named <= targets, named - targets


def test_every_variable_and_output_exists() -> None:
    (example,) = re.findall(r"```hcl\n(.*?)```", GUIDE, re.S)
    named = set(re.findall(r"^(\w+) +=", example, re.M))
    assert named and named <= declared("variable", "variables.tf")
    outputs = set(re.findall(r"terraform (?:-chdir=infra )?output (?:-raw )?(\w+)", GUIDE))
    assert outputs and outputs <= declared("output", "outputs.tf")


def test_restored_indexes_are_imported_as_terraform_names_them() -> None:
    (program,) = re.findall(r"python3 -c '\n(.*?)' \| sh", GUIDE, re.S)
    listed = [
        {
            "name": f"projects/p/databases/d/collectionGroups/{collection}/indexes/{number}",
            "fields": [
                {"fieldPath": name, "order": "DESCENDING" if desc else "ASCENDING"}
                for name, _, desc in (field.partition(" ") for field in (*fields, "__name__"))
            ],
        }
        for collection, several in INDEXES.items()
        for number, fields in enumerate(several)
    ]
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(listed),
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"'google_firestore_index\.query\[\"(.*)\"\]' ", done.stdout)
    keys = {f"{c}: {', '.join(fields)}" for c, several in INDEXES.items() for fields in several}
    assert set(found) == keys
