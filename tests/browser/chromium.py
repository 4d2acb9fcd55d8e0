"""The system's Chromium under Playwright, with no way off this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # it refuses to sandbox itself for root, who runs CI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Chromium:
    """A browser, and Playwright's event loop, which it leaves marked as the running one of its
    thread: no other test of this worker could start one."""

    browser: Browser
    _loop: AbstractEventLoop

    @contextmanager
    def awake(self) -> Iterator[Browser]:
        """For as long as Playwright is spoken to."""
        asyncio._set_running_loop(self._loop)
        try:
            yield self.browser
        finally:
            asyncio._set_running_loop(None)


@contextmanager
def asleep() -> Iterator[None]:
    """For a block within a browser test that runs an event loop of its own."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


@contextmanager
def started() -> Iterator[Chromium]:
    """A browser, asleep. Without one on the PATH the test is skipped, and with CI=true it fails."""
    path = found()
    with sync_playwright() as playwright:
        loop = asyncio.get_running_loop()
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        chromium = Chromium(browser, loop)
        with asleep():
            yield chromium
        browser.close()


def found() -> str:
    """The path of the browser."""
    return next(filter(None, map(shutil.which, NAMES)), None) or _missing()


def _missing() -> NoReturn:
    reason = "The page's tests need Chromium: there is none on the PATH."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
