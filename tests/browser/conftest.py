"""The fixtures of the studio's tests. They share a server and a browser for each worker; `studio`
is a fresh page of a fresh account, and fails its test if the page misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.chromium import Chromium
from tests.browser.house import House, served
from tests.browser.studio import DESKTOP, Studio, opened


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/browser --screenshots DIR` keeps the pictures."""
    parser.addoption("--screenshots", metavar="DIR", help="keep the screenshots of the page here")


@pytest.fixture(scope="session")
def started() -> Iterator[Chromium]:
    """The browser, asleep."""
    with chromium.started() as running:
        yield running


@pytest.fixture
def browser(started: Chromium) -> Iterator[Browser]:
    """The browser, for a test that opens pages itself."""
    with started.awake() as browser:
        yield browser


@pytest.fixture(scope="session")
def house(started: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The server; none is started without a browser."""
    with served(tmp_path_factory.mktemp("studio") / "data") as house:
        yield house


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of the screenshots."""
    kept = request.config.getoption("--screenshots", default=None)
    folder = Path(kept) if kept else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def studio(
    request: pytest.FixtureRequest, browser: Browser, house: House, pictures: Path
) -> Iterator[Studio]:
    """The page with a test key; on a phone with the decorator `on_phone`."""
    device = getattr(request, "param", DESKTOP)
    with opened(browser, house.url, pictures, key=house.test_key(), device=device) as studio:
        yield studio


@pytest.fixture
def stranger(browser: Browser, house: House, pictures: Path) -> Iterator[Studio]:
    """The page without a key."""
    with opened(browser, house.url, pictures) as studio:
        yield studio


@pytest.fixture
def paying(browser: Browser, house: House, pictures: Path) -> Iterator[Studio]:
    """The page with the live key of an account that has $100."""
    with opened(browser, house.url, pictures, key=house.live_key()) as studio:
        yield studio
