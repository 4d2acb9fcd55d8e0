"""docs/templates.md: its commands work, its table is the catalogue's, and its rows can be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.catalogue import load
from shared.catalogue.templates import Template, render
from tests.test_readme import blocks, pasted, served

DOC = Path("docs/templates.md").read_text()


def row(template: Template) -> str:
    """What the table says of a template."""
    needs = [f"`{n}`" for n, v in template.variables.items() if v.default is None]
    takes = [f"`{n}`" for n, v in template.variables.items() if v.default is not None]
    least, most = template.min_sources, template.max_sources
    cells = (
        f"`{template.name}`",
        ", ".join(needs),
        ", ".join(takes),
        "" if most == 0 else str(most) if least == most else f"{least} to {most}",
        f"`{template.model}`",
        ", ".join(map(str, template.fields.given.values())),
    )
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


@pytest.mark.process
def test_every_command_works_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (home, port):
        printed = pasted(blocks("sh", DOC), home, port)
    assert printed.count('"status": "succeeded"') == 2
    assert '"prompt": "A photorealistic studio photograph of a ceramic mug, ' in printed
    assert '"part": "the mug"' in printed
    assert (home / "mug.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_every_one_of_ours_is_listed() -> None:
    listed = re.findall(r"^\| `.*$", DOC, re.M)
    assert listed == [row(template) for template in load().templates.values()]


@pytest.mark.thorough
def test_the_rows_shown_can_be_used(tmp_path: Path) -> None:
    overlay = tmp_path / "own.toml"
    overlay.write_text("".join(blocks("toml", DOC)))
    templates = load(overlay).templates
    card = render(templates["winter-card"], {"scene": "a sledge"})
    assert card.startswith("A card in linocut: a sledge, small and low")
    assert (templates["product-photo"].version, templates["product-photo"].avoid[1]) == (
        2,
        "plastic",
    )
