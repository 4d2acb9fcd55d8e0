"""The tour: it still finds its way through the page, and docs/ has what it makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.browser import tour
from tests.browser.house import House

pytestmark = pytest.mark.browser
DOCS = Path("docs")
HEAVIEST = {tour.PICTURE: 200_000, tour.ANIMATION: 900_000} | {
    f"tour/{step}.jpg": 120_000 for step in tour.STEPS
}
"""File → bytes at most."""


def check(folder: Path) -> None:
    """All pictures are there, as large as they should be."""
    for name, heaviest in HEAVIEST.items():
        assert (folder / name).stat().st_size <= heaviest, name
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.size == ((1280, 800) if name == tour.PICTURE else (960, 600)), name
    with Image.open(folder / tour.ANIMATION) as animation:
        assert (animation.format, animation.info["loop"]) == ("WEBP", 0)
        shown_ms = list[int]()
        for frame in range(getattr(animation, "n_frames", 1)):
            animation.seek(frame)
            animation.load()
            shown_ms.append(animation.info["duration"])
    assert 10 <= len(shown_ms) <= 14
    assert all(1500 <= ms <= 2500 for ms in shown_ms)


def test_it_makes_every_picture(browser: Browser, house: House, tmp_path: Path) -> None:
    tour.make(browser, house, tmp_path)
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == HEAVIEST.keys()
    check(tmp_path)


def test_docs_have_and_show_every_picture() -> None:
    check(DOCS)
    assert {f"tour/{path.name}" for path in (DOCS / "tour").iterdir()} < HEAVIEST.keys()
    shown = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (DOCS / "studio.md").read_text()))
    assert shown == HEAVIEST.keys()
