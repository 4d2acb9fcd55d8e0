"""What the page weighs the first time: its HTML, CSS and JavaScript, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Response

KINDS = ("document", "stylesheet", "script")


@dataclass(frozen=True)
class Weight:
    """Path → bytes, as transferred (the bodies only) and unpacked."""

    transferred: Mapping[str, int]
    unpacked: Mapping[str, int]

    @property
    def transferred_bytes(self) -> int:
        """Of all."""
        return sum(self.transferred.values())

    @property
    def unpacked_bytes(self) -> int:
        """Of all."""
        return sum(self.unpacked.values())


def weighed(browser: Browser, address: str) -> Weight:
    """Load a page in a browser that has never been there."""
    context = browser.new_context()
    try:
        page, answers = context.new_page(), list[Response]()
        page.on("response", lambda answer: answers.append(answer))
        page.goto(address, wait_until="networkidle")
        weighty = [a for a in answers if a.request.resource_type in KINDS]
        paths = [urlsplit(answer.url).path for answer in weighty]
        return Weight(
            dict(zip(paths, (a.request.sizes()["responseBodySize"] for a in weighty), strict=True)),
            dict(zip(paths, (len(a.body()) for a in weighty), strict=True)),
        )
    finally:
        context.close()
