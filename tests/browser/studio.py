"""The studio as somebody sees it: opened on a desk or on a phone, with a key or without."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests.browser import accessibility
from tests.browser.watch import Watch, watched
from tests.darkroom import photo

Scheme = Literal["light", "dark"]
SLOT = "darkroom-key"
"""Where functions/studio/api.js keeps the key."""
PATIENCE_MS = 15_000
"""Of every click and expectation."""
expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Device:
    """A screen, in CSS pixels."""

    name: str
    width: int
    height: int
    touch: bool = False


DESKTOP = Device("desktop", 1280, 800)
PHONE = Device("phone", 390, 844, touch=True)
DEVICES = [DESKTOP, PHONE]
on_phone = pytest.mark.parametrize("studio", [PHONE], ids=["phone"], indirect=True)
"""The fixture `studio`, on a phone."""
on_both = pytest.mark.parametrize(
    "studio", [DESKTOP, PHONE], ids=["desktop", "phone"], indirect=True
)
"""The fixture `studio`, on each."""


@dataclass(frozen=True)
class Studio:
    """A page that shows the studio. `key` is what it was opened with; `pictures` is where
    screenshots go."""

    page: Page
    url: str
    key: str | None
    device: Device
    pictures: Path
    _watch: Watch = field(repr=False)

    def expects(self, *statuses: int) -> None:
        """Let the server refuse with these statuses, and demand that it does."""
        self._watch.expected |= set(statuses)

    def go(self, part: str) -> None:
        """Show a part of the page, by its fragment."""
        self.page.goto(f"{self.url}/studio#{part}")

    def picture(self, name: str, scheme: Scheme = "light") -> Path:
        """A screenshot of the whole page, for people to look at."""
        path = self.pictures / f"{name}-{self.device.name}-{scheme}.png"
        with accessibility.shown(self.page, scheme):
            self.page.screenshot(path=path, full_page=True)
        return path

    def accessible(self) -> None:
        """Fail if axe finds something serious in what is shown, in light or in dark."""
        accessibility.check(self.page)

    def drop(self, target: Locator, *files: FilePayload) -> None:
        """Drag files from outside over an element, and drop them there."""
        self._transfer(target, "drop", *files)

    def paste(self, target: Locator, *files: FilePayload) -> None:
        """Paste files with an element in focus."""
        self._transfer(target, "paste", *files)

    def _transfer(self, target: Locator, how: str, *files: FilePayload) -> None:
        packed = [[f["name"], f["mimeType"], base64.b64encode(f["buffer"]).decode()] for f in files]
        target.evaluate(TRANSFER, [how, packed])


TRANSFER = """(element, [how, files]) => {
  const data = new DataTransfer();
  for (const [name, type, packed] of files) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  const options = { bubbles: true, cancelable: true, composed: true };
  if (how === "paste") {
    element.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
    return;
  }
  for (const name of ["dragenter", "dragover", "drop"]) {
    element.dispatchEvent(new DragEvent(name, { ...options, dataTransfer: data }));
  }
}"""


def photo_file(name: str = "photo.png", side: tuple[int, int] = (640, 480)) -> FilePayload:
    """A PNG photo, as a file that a page is given."""
    return {"name": name, "mimeType": "image/png", "buffer": photo(side, "PNG")}


def text_file(name: str, text: str, content_type: str = "text/plain") -> FilePayload:
    """Text, as a file that a page is given."""
    return {"name": name, "mimeType": content_type, "buffer": text.encode()}


@contextmanager
def opened(
    browser: Browser,
    url: str,
    pictures: Path,
    *,
    key: str | None = None,
    device: Device = DESKTOP,
    path: str = "/studio",
) -> Iterator[Studio]:
    """A page of its own, as in a browser that has never been here. It has to behave until the
    block ends."""
    context = browser.new_context(
        viewport={"width": device.width, "height": device.height},
        has_touch=device.touch,
        is_mobile=device.touch,
        device_scale_factor=2 if device.touch else 1,
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        with watched(context, url) as watch:
            page = context.new_page()
            if key:
                page.add_init_script(ENTER % (SLOT, key))
            page.goto(url + path)
            yield Studio(page, url, key, device, pictures, watch)
    finally:
        context.close()


ENTER = """if (!globalThis.name) {
  globalThis.name = "entered";
  sessionStorage.setItem("%s", "%s");
}"""
"""Once: what the page does with the key afterwards is its own business, and survives a reload."""
