"""The pictures of the README and of docs/studio.md, from the real page:
`python -m tests.browser.tour [FOLDER]`, which is docs/ unless it is said.

A server whose providers are the sandbox and a browser are started; somebody with a live key and
credit goes through the studio, so that there are amounts. Needs Chromium on the PATH."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from PIL import Image as Pixels
from playwright.sync_api import Browser, Locator, Page, Route, expect

from shared import accounts, ledger
from shared.app import App
from shared.domain import ApiKey, Hold, Image, Limits, Quote, Record
from tests.browser import accessibility, chromium, editing
from tests.browser.asking import asked, painted, ready
from tests.browser.house import House, served
from tests.browser.studio import Studio, opened

PICTURE = "studio.jpg"
ANIMATION = "tour.webp"
STEPS = ("choose", "templates", "mask", "compare", "batch", "gallery", "usage")
"""Those with a picture of their own, tour/<step>.jpg."""
WIDTH = 960
"""Of all but the README's picture, in pixels."""
MASKED = "gpt-image-2.5-flare"
"""A model that has a field for a mask."""
PROMPT = "A lighthouse on a cliff at dusk, its beam over the sea, wide shot"
EARLIER = {
    "A ceramic mug on linen, morning light": ("nano-banana-2", "1:1"),
    "A fox asleep under ferns": ("seedream-4-5", "3:2"),
    "Poster of a night train": ("gpt-image", "2:3"),
    "A paper boat in the rain": ("nano-banana-pro", "16:9"),
    "Three pears, oil on canvas": ("imagen-4", "1:1"),
    "A bicycle by a canal": ("seedream-4", "4:3"),
    "Harbour at low water": ("nano-banana", "16:9"),
    "A glass house in a wood": ("seedream-5", "3:2"),
}
"""Prompts in the gallery → model, aspect ratio."""
THINGS = ("cup", "jar", "bowl", "lamp", "chair", "vase", "kettle", "clock", "spoon", "tray")
SLOW_FROM = 6
"""The place of the first of them that is not done at once."""
DAYS = 29
SPENT = (
    ("gemini-3.1-flash-image", "google", 67_000),
    ("gpt-image-2.5-flare", "openai", 53_000),
    ("seedream-4-5-251128", "ark", 40_000),
    ("gemini-3-pro-image", "google", 134_000),
)
"""What was used before today: model, provider, micro-dollars of a picture."""


@dataclass
class Tour:
    """What was seen on the way: pictures of the window by step, and how long each is shown."""

    studio: Studio
    frames: list[Pixels.Image] = field(default_factory=list)
    shown_ms: list[int] = field(default_factory=list)
    steps: dict[str, Pixels.Image] = field(default_factory=dict)

    @property
    def page(self) -> Page:
        """Where it is."""
        return self.studio.page

    def look(self, step: str, seconds: float = 2) -> None:
        """A frame of what there is to see."""
        self.page.evaluate(accessibility.SETTLED)
        seen = Pixels.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.steps[step] = seen
        self.frames.append(_narrow(seen))
        self.shown_ms.append(round(seconds * 1000))

    def write(self, folder: Path) -> None:
        """Make all files in a folder."""
        (folder / "tour").mkdir(parents=True, exist_ok=True)
        self.steps["picture"].save(folder / PICTURE, quality=85, optimize=True)
        for step in STEPS:
            picture = _narrow(self.steps[step])
            picture.save(folder / "tour" / f"{step}.jpg", quality=82, optimize=True)
        first, *rest = self.frames
        first.save(
            folder / ANIMATION,
            save_all=True,
            append_images=rest,
            duration=self.shown_ms,
            loop=0,
            quality=80,
            method=3,
        )


def _narrow(seen: Pixels.Image) -> Pixels.Image:
    return seen.resize((WIDTH, seen.height * WIDTH // seen.width), Pixels.Resampling.LANCZOS)


def make(browser: Browser, house: House, folder: Path) -> None:
    """Go through the studio, and write what was seen into a folder."""
    key = house.live_key(usd=50, limits=Limits(rpm=120, concurrency=20, monthly_micros=40_000_000))
    _spend(house, key)
    with opened(browser, house.url, folder, key=key) as studio:
        studio.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        tour = Tour(studio)
        _begin_earlier(studio)
        _generate(tour)
        _choose(tour)
        _edit(tour)
        _batch(tour)
        _gallery(tour)
        _usage(tour)
    tour.write(folder)


def _spend(house: House, key: str) -> None:
    """Some weeks of use that have left no pictures behind."""
    random = Random(7)  # the same shape every time

    async def spend(app: App) -> None:
        owner = await app.records.key(accounts.key_hash(key))
        assert owner
        for ago in range(DAYS, 0, -1):
            at = app.clock() - timedelta(days=ago)
            busy = 1 if at.weekday() >= 5 else 2 + random.randrange(3)
            for way in random.choices(SPENT, k=busy):
                record = _used(app.new_id(), owner, at, *way)
                standing = await app.records.look(owner.account_id, None)
                reservation = ledger.reserve(standing, record.charged_micros, at, random)
                held = replace(record, status="running", hold=reservation.hold)
                (held,) = await app.records.begin([(held, reservation)])
                posting = ledger.post(held.hold, record.charged_micros)
                ended = replace(held, status="succeeded")
                await app.records.delete_request(await app.records.finish(ended, posting))

    house.within(spend)


def _used(
    request_id: str, key: ApiKey, at: datetime, model: str, provider: str, micros: int
) -> Record:
    """A request that made a picture which is gone."""
    return Record(
        id=request_id,
        account_id=key.account_id,
        key_id=key.id,
        operation="generate",
        status="succeeded",
        model=model,
        prompt="",
        parameters={},
        fingerprint="",
        sandbox=False,
        quote=Quote({provider: micros}, micros, micros),
        hold=Hold(micros, (), 0, ""),
        created_at=at,
        lease_until=at,
        provider=provider,
        images=(Image("", "", "image/png", 8, 8, 70, ""),),
        charged_micros=micros,
        completed_at=at,
    )


def _begin_earlier(studio: Studio) -> None:
    """Have pictures made that are in the gallery by the time it is opened."""
    for prompt, (model, aspect_ratio) in EARLIER.items():
        answer = studio.page.request.post(
            f"{studio.url}/generate",
            headers={"authorization": f"Bearer {studio.key}", "prefer": "respond-async"},
            data={"model": model, "prompt": prompt, "aspect_ratio": aspect_ratio},
        )
        assert answer.status == 202, answer.text()


def _generate(tour: Tour) -> None:
    page = tour.page
    ready(tour.studio)
    page.get_by_label("Aspect ratio").select_option("3:2")
    page.get_by_label("Prompt").fill(PROMPT)
    expect(page.locator("#generate-form .estimate")).to_contain_text("About $")
    page.evaluate("document.activeElement.blur()")
    tour.look("prompt")
    # The sandbox is too quick to be seen at work.
    page.route("**/account/requests/*", _running)
    card = asked(tour.studio, PROMPT)
    expect(card.locator(".elapsed")).to_contain_text(re.compile(r"Being made: [1-9]"))
    _top(page)
    tour.look("progress", 1.5)
    page.unroute("**/account/requests/*")
    painted(card)
    _top(page)
    tour.look("picture", 2.5)


def _running(route: Route) -> None:
    """Answer a look as long as a vendor would take."""
    answer = route.fetch()
    still: dict[str, object] = {
        "status": "running",
        "completed_at": None,
        "images": [],
        "attempts": [],
    }
    route.fulfill(response=answer, json={**answer.json(), **still})


def _choose(tour: Tour) -> None:
    page = tour.page
    asks = page.locator("#generate .choosing")
    asks.get_by_text("Help me choose").click()
    asks.get_by_role("button", name="Best under $0.05").click()
    expect(asks.locator(".answer tbody").first).to_be_visible()
    _to(asks)
    tour.look("choose", 2.5)
    asks.get_by_text("Help me choose").click()
    _top(page)
    page.locator("#generate").get_by_role("button", name="Start from a template").click()
    expect(page.locator(".templates button").first).to_be_visible()
    tour.look("templates")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()


def _edit(tour: Tour) -> None:
    page = tour.page
    page.locator("#generate").get_by_role("button", name="Edit this").click()
    expect(page.locator("#edit .sources > li")).to_have_count(1)
    expect(page.locator("#edit .estimate")).to_contain_text("About $")
    editing.choose(page, MASKED)
    editing.button(page, "Paint a mask").click()
    easel = editing.Easel(page)
    _top(page)
    easel.dialog.get_by_label("Size").fill("12")
    easel.stroke((0.09, 0.2), (0.5, 0.14), (0.91, 0.2))
    tour.look("mask begun", 1.5)
    easel.stroke((0.09, 0.33), (0.5, 0.27), (0.91, 0.33))
    expect(easel.dialog).to_contain_text("of the picture may change")
    tour.look("mask")
    easel.click("Done")
    editing.sent(page, "Fill the sky with stars")
    card = editing.turn(page, "Fill the sky with stars")
    painted(card)
    card.get_by_role("button", name="Compare").click()
    _decoded(card)
    slider = card.get_by_label("Before and after")
    for step, part in (("before", "80"), ("compare", "45")):
        slider.fill(part)
        _top(page)
        tour.look(step, 1.5)


def _batch(tour: Tour) -> None:
    page = tour.page
    tour.studio.go("batch")
    expect(page.locator("#batch .cards :checked")).to_be_attached()
    lines = [
        f'{thing},"A {thing} of blue porcelain on a pale table, morning light, seen from the front'
        + (f' [sandbox:slow={4 + n % 2}]"' if n >= SLOW_FROM else '"')
        for n, thing in enumerate(THINGS)
    ]
    items = page.get_by_label("Items", exact=True)
    items.fill("\n".join(["custom_id,prompt", *lines]))
    page.get_by_text("One call each", exact=True).click()
    page.get_by_role("button", name=f"Start batch of {len(THINGS)}", exact=True).click()
    card = page.locator("#batch article").first
    expect(card.locator(".thumbs img").nth(SLOW_FROM - 1)).to_be_attached()
    _decoded(card)
    items.evaluate("(it) => it.scrollTo(0, 0)")
    _top(page)
    tour.look("batch")


def _gallery(tour: Tour) -> None:
    tour.studio.go("gallery")
    faces = tour.page.locator("#gallery .face img")
    expect(faces.nth(len(EARLIER) + 1)).to_be_attached()
    _decoded(tour.page.locator("#gallery .gallery"))
    _top(tour.page)
    tour.look("gallery", 2.5)


def _usage(tour: Tour) -> None:
    page = tour.page
    tour.studio.go("usage")
    expect(page.locator("#usage g[data-bar]")).to_have_count(DAYS + 1)
    _top(page)
    tour.look("usage", 2.5)


def _decoded(shown: Locator) -> None:
    """Wait until the browser can show its pictures."""
    for picture in shown.locator("img:visible").all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("async (image) => { await image.decode(); }")


def _top(page: Page) -> None:
    page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")


def _to(element: Locator) -> None:
    element.evaluate("(it) => it.scrollIntoView({ block: 'start', behavior: 'instant' })")


def main(arguments: Sequence[str]) -> None:
    """Start all that it takes."""
    folder = Path(arguments[0] if arguments else "docs")
    with (
        TemporaryDirectory() as data,
        chromium.started() as running,
        served(Path(data)) as house,
        running.awake() as browser,
    ):
        make(browser, house, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
