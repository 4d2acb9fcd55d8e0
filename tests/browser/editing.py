"""Editing pictures on the studio's page: its form, its turns, and the dialog for a mask."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.studio import Studio
from tests.darkroom import photo

MASKLESS = "seedream-4-5"
"""A model that takes neither a mask nor a further turn."""
CAMERA: FilePayload = {
    "name": "camera.jpg",
    "mimeType": "image/jpeg",
    "buffer": photo((400, 300), orientation=6),
}
"""Held upright: 300 x 400 as it is seen."""


def ready(studio: Studio, *files: FilePayload) -> Page:
    """Wait until the form has these files and knows what an edit costs."""
    studio.go("edit")
    page = studio.page
    expect(page.locator("#edit .estimate")).to_contain_text("About $")
    if files:
        page.get_by_label("Add pictures").set_input_files(list(files))
        expect(page.locator("#edit .sources > li")).to_have_count(len(files))
    return page


def names(page: Page) -> list[str]:
    """The sources, in their order."""
    shown = page.locator("#edit .sources .name").all_text_contents()
    return [name.split(". ", 1)[1] for name in shown]


def button(page: Page, name: str) -> Locator:
    """A button of the part, by its whole name."""
    return page.locator("#edit").get_by_role("button", name=name, exact=True)


def choose(page: Page, model: str) -> None:
    """Take a model by its card."""
    page.locator(f'#edit-fields input[value="{model}"]').check()


def sent(page: Page, prompt: str) -> Any:
    """Send the form: the body that left the browser."""
    page.get_by_label("What to change").fill(prompt)
    with page.expect_request(lambda it: it.url.endswith("/edit") and it.method == "POST") as asked:
        button(page, "Edit").click()
    return asked.value.post_data_json


def turn(page: Page, prompt: str) -> Locator:
    """The newest card of a prompt, once it has a picture."""
    card = page.locator("#edit").get_by_role("article", name=prompt).first
    expect(card.get_by_role("heading", name=re.compile("^Turn"))).to_be_visible()
    expect(card.locator("figure.picture")).to_have_count(1)
    return card


def opaque(packed: str) -> Image.Image:
    """The alpha of a mask in base64."""
    with Image.open(io.BytesIO(base64.b64decode(packed))) as mask:
        assert (mask.format, mask.mode) == ("PNG", "RGBA")
        alpha = mask.getchannel("A")
    assert {shade for _, shade in alpha.getcolors() or []} <= {0, 255}
    return alpha


class Easel:
    """The dialog in which a mask is painted. Places are parts of the picture's width and height."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialog = page.get_by_role("dialog", name="Paint where it may change")
        self.canvas = self.dialog.get_by_label("The mask")
        expect(self.canvas).to_be_focused()

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where that is on the screen."""
        box = self.canvas.bounding_box()
        assert box
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def stroke(self, *places: tuple[float, float]) -> None:
        """One stroke of the mouse."""
        for n, place in enumerate(places):
            self.page.mouse.move(*self.place(*place), steps=5)
            if n == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        """Keys, on the picture."""
        for key in keys:
            self.canvas.press(key)

    def click(self, name: str) -> None:
        """A button of the dialog."""
        self.dialog.get_by_role("button", name=name, exact=True).click()
