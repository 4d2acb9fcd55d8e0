"""Everything a page does that it should not: what it says on the console, what it throws, what it
fails to load, and whom else it asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

REFUSED = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
"""As Chromium puts an answer of 400 and more on the console. What a Content-Security-Policy
forbids is an error there too."""
OWN = ("blob", "data")
"""Addresses that lie within the page."""


class Watch:
    """The complaints about one browser context whose pages come from `origin`. Statuses in
    `expected` are not among them, but have to come."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.expected: set[int] = set()
        self._refused: list[tuple[int, str]] = []
        self._complaints: list[str] = []
        context.on("console", self._said)
        context.on("weberror", self._thrown)
        context.on("request", self._asked)
        context.on("requestfailed", self._failed)

    @property
    def complaints(self) -> list[str]:
        """Up to now, in order."""
        seen = {status for status, _ in self._refused}
        unexpected = [f"{s}: {url}" for s, url in self._refused if s not in self.expected]
        missing = [f"expected {status} never came" for status in sorted(self.expected - seen)]
        return self._complaints + unexpected + missing

    def _said(self, message: ConsoleMessage) -> None:
        where = message.location
        if refused := REFUSED.match(message.text):
            self._refused.append((int(refused[1]), where["url"]))
        elif message.type in ("error", "warning", "assert"):
            at = f"{where['url']}:{where['lineNumber'] + 1}"
            self._complaints.append(f"console {message.type}: {message.text} ({at})")

    def _thrown(self, thrown: WebError) -> None:
        self._complaints.append(f"thrown: {thrown.error.stack or thrown.error}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        origin = f"{address.scheme}://{address.netloc}"
        if address.scheme not in OWN and origin != self.origin:
            self._complaints.append(f"another origin: {request.method} {request.url}")

    def _failed(self, request: Request) -> None:
        # A page that aborts a request, or leaves, means to.
        if request.failure != "net::ERR_ABORTED":
            self._complaints.append(f"{request.failure}: {request.method} {request.url}")


@contextmanager
def watched(context: BrowserContext, origin: str) -> Iterator[Watch]:
    """Fail after the block if there is something to complain about."""
    watch = Watch(context, origin)
    yield watch
    for page in context.pages:
        # Whatever happened before is reported before this answer.
        page.evaluate("() => 0")
    assert not watch.complaints, "\n".join(["The page misbehaved:", *watch.complaints])
