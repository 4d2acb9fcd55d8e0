"""The harness notices what it is there to notice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Chromium, asleep
from tests.browser.studio import DESKTOP, PHONE, Device, Studio, opened, photo_file
from tests.browser.weight import weighed

pytestmark = pytest.mark.browser
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<main><h1>A page</h1><p id="dropped">Nothing</p></main><script src="page.js"></script>"""
POLICY = "default-src 'self'; img-src data: *; require-trusted-types-for 'script'"
STYLE = "p { color: #222; background: #fff }"
SCRIPT = """for (const name of ["drop", "paste"])
  document.body.addEventListener(name, (event) => {
    const { files } = event.dataTransfer ?? event.clipboardData;
    document.getElementById("dropped").textContent = `${name}: ${files[0].name} ${files[0].size}`;
  });"""


class Handler(BaseHTTPRequestHandler):
    """The page and its files; anything else is refused."""

    def do_GET(self) -> None:
        files = {
            "/": (PAGE, "text/html"),
            "/page.css": (STYLE, "text/css"),
            "/page.js": (SCRIPT, "text/javascript"),
        }
        body, kind = files.get(self.path, ("", "text/plain"))
        self.send_response(200 if body else 422)
        self.send_header("content-type", kind)
        self.send_header("content-security-policy", POLICY)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@contextmanager
def blank(browser: Browser, url: str, folder: Path, device: Device = DESKTOP) -> Iterator[Studio]:
    """The page, which has to behave."""
    with opened(browser, url, folder, path="/", device=device) as studio:
        yield studio


MISDEEDS = {
    "console.error('spilt')": "console error: spilt (",
    "console.warn('drips')": "console warning: drips (",
    "setTimeout(() => { throw Error('fell') })": "thrown: Error: fell",
    "Promise.reject(Error('broke'))": "thrown: Error: broke",
    "await fetch('/refused')": "422: http://127.0.0.1:",
    "await load('http://elsewhere.invalid/a.png')": "another origin: GET http://elsewhere.invalid",
    "await load('http://elsewhere.invalid/b.png')": "ERR_NAME_NOT_RESOLVED: GET http://elsewhere",
    "document.body.setAttribute('style', 'color: red')": "Content Security Policy",
    "document.body.innerHTML = '<p>'": "TrustedHTML",
}
"""What a page does → what is said about it."""
DO = """async () => {
  const load = (src) => new Promise((onerror) => Object.assign(new Image(), { src, onerror }));
  try { %s; } catch {}
  await new Promise((later) => setTimeout(later));
}"""


def test_a_page_that_misbehaves_fails_its_test(browser: Browser, url: str, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="The page misbehaved:") as raised,
        blank(browser, url, tmp_path) as studio,
    ):
        for script in MISDEEDS:
            studio.page.evaluate(DO % script)
    said = str(raised.value)
    assert [complaint for complaint in MISDEEDS.values() if complaint not in said] == []


def test_a_refusal_is_let_through_where_it_is_expected(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with blank(browser, url, tmp_path) as studio:
        studio.expects(422)
        studio.page.evaluate("async () => { await fetch('/refused'); }")
    with (
        pytest.raises(AssertionError, match="expected 422 never came"),
        blank(browser, url, tmp_path) as studio,
    ):
        studio.expects(422)


def test_axe_finds_what_is_hard_to_read_in_the_dark(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with blank(browser, url, tmp_path) as studio:
        studio.accessible()
        studio.page.evaluate(
            """() => {
              const sheet = new CSSStyleSheet();
              sheet.replaceSync("@media (prefers-color-scheme: dark) { p { color: #ccc } }");
              document.adoptedStyleSheets = [sheet];
            }"""
        )
        with pytest.raises(AssertionError, match=r"dark: color-contrast[^\0]*#dropped") as raised:
            studio.accessible()
        assert str(raised.value).count("color-contrast") == 1, "in the light it is fine"


def test_a_page_is_weighed_with_all_it_loads(browser: Browser, url: str) -> None:
    weight = weighed(browser, f"{url}/")
    sizes = {"/": len(PAGE), "/page.css": len(STYLE), "/page.js": len(SCRIPT)}
    assert weight.unpacked == sizes
    assert weight.transferred_bytes == weight.unpacked_bytes == sum(sizes.values())


def test_files_are_dropped_and_pasted(browser: Browser, url: str, tmp_path: Path) -> None:
    file = photo_file("cup.png")
    with blank(browser, url, tmp_path) as studio:
        said = studio.page.locator("#dropped")
        studio.drop(said, file)
        expect(said).to_have_text(f"drop: cup.png {len(file['buffer'])}")
        studio.paste(said, file)
        expect(said).to_have_text(f"paste: cup.png {len(file['buffer'])}")


def test_a_phone_is_narrow_and_its_screenshot_sharp(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with blank(browser, url, tmp_path, PHONE) as studio:
        assert studio.page.evaluate("[innerWidth, navigator.maxTouchPoints > 0]") == [390, True]
        with Image.open(studio.picture("page")) as picture:
            assert picture.width == 2 * 390


def test_the_browser_leaves_other_tests_their_event_loop(
    started: Chromium, url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        with started.awake() as browser, blank(browser, url, tmp_path) as studio:
            with asleep():
                asyncio.run(asyncio.sleep(0))
            expect(studio.page.locator("h1")).to_have_text("A page")
        asyncio.run(asyncio.sleep(0))


def test_every_test_here_is_marked() -> None:
    """`make unit` leaves them out by it."""
    for path in Path(__file__).parent.glob("test_*.py"):
        assert "pytestmark = pytest.mark.browser\n" in path.read_text(), path
