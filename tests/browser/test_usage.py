"""The studio's usage: the chart, its table and the account agree with the API."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from shared.domain import Limits
from tests.browser.house import House
from tests.browser.studio import PHONE, Studio, on_phone, opened

pytestmark = pytest.mark.browser


def asked(studio: Studio, method: str, path: str, **given: Any) -> Any:
    """What the API answers to the page's key."""
    headers = {"authorization": f"Bearer {studio.key}"}
    url = f"{studio.url}{path}"
    answer = httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()


def make(studio: Studio, model: str, **body: Any) -> None:
    asked(studio, "POST", "/generate", json={"model": model, "prompt": "a cup", **body})


def test_dollars_by_day_model_and_provider_agree_with_the_api(paying: Studio) -> None:
    page, part = paying.page, paying.page.locator("#usage")
    make(paying, "nano-banana")
    make(paying, "gpt-image-mini", n=2, quality="low")
    paying.go("usage")
    bars = part.locator("g[data-bar]")
    expect(bars).to_have_count(30)
    found = asked(paying, "GET", "/account/usage")["data"]
    today = datetime.now(UTC).date().isoformat()
    assert [one["day"] for one in found] == [today]
    assert (found[0]["images"], found[0]["requests"]) == (3, 2)
    spent = Decimal(found[0]["usd"])
    assert spent > 0
    said = page.evaluate("async (usd) => (await import('/studio/words.js')).money(usd)", str(spent))
    expect(bars.last).to_have_attribute("aria-label", f"{named(paying, today)}: {said}")
    heights = bars.locator(".fill").evaluate_all("all => all.map((e) => +e.getAttribute('height'))")
    assert heights[-1] > 100
    assert set(heights[:-1]) == {0}
    expect(part.locator(".sums").last).to_contain_text(said)

    part.get_by_text("Every day in a table").click()
    rows = part.locator(".days tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.first).to_have_text(f"{today}23{said}")
    expect(rows.nth(1)).to_contain_text("00$0.00")
    for group in ("model", "provider"):
        groups = asked(paying, "GET", f"/account/usage?group_by={group}")["data"]
        groups.sort(key=lambda one: -Decimal(one["usd"]))
        names = part.get_by_role("region", name=f"By {group}").locator("tbody th")
        assert names.all_inner_texts() == [one[group] for one in groups]
    account = asked(paying, "GET", "/account")
    assert Decimal(account["balance_usd"]) == 100 - spent
    expect(part.locator(".sums").first).to_contain_text(f"${100 - spent:.2f}")
    paying.picture("usage")
    paying.picture("usage", "dark")

    bars.last.focus()
    page.keyboard.press("ArrowLeft")
    expect(bars.nth(28)).to_be_focused()
    part.get_by_label("Show", exact=True).select_option("images")
    expect(bars.last).to_have_attribute("aria-label", f"{named(paying, today)}: 3 pictures")
    part.get_by_label("Time", exact=True).select_option("7")
    expect(bars).to_have_count(7)
    paying.accessible()
    part.get_by_label("Time", exact=True).select_option("own")
    part.get_by_label("From", exact=True).fill(today)
    expect(bars).to_have_count(1)


def named(studio: Studio, day: str) -> str:
    """A day as the page calls it."""
    script = """(day) => new Date(day).toLocaleDateString(
      undefined, { dateStyle: "medium", timeZone: "UTC" })"""
    return str(studio.page.evaluate(script, day))


def test_limits_have_their_use_beside_them(browser: Browser, house: House, pictures: Path) -> None:
    limits = Limits(rpm=60, concurrency=5, monthly_micros=20_000_000)
    key = house.live_key(usd=50, limits=limits)
    with opened(browser, house.url, pictures, key=key) as studio:
        make(studio, "gpt-image-mini", quality="low")
        studio.go("usage")
        account = studio.page.get_by_role("region", name="Account")
        expect(account).to_contain_text("Requests in this minute1 of 60")
        expect(account).to_contain_text("Requests today1, no limit")
        expect(account).to_contain_text("Running at once0 of 5")
        expect(account).to_contain_text("of $20.00")
        expect(account.get_by_role("meter")).to_have_count(3)
        expect(account.get_by_role("meter", name="Requests in this minute")).to_have_js_property(
            "value", 1
        )


def test_the_lines_of_the_axis_are_round(studio: Studio) -> None:
    script = """async () => {
      const { ticks } = await import("/studio/chart.js");
      return [[0, true], [3, true], [10, true], [97, true], [0.0402, false], [7.3, false]].map(
        ([most, whole]) => ticks(most, whole).map((line) => Math.round(line * 1e6) / 1e6));
    }"""
    assert studio.page.evaluate(script) == [
        [0, 1],
        [0, 1, 2, 3],
        [0, 3, 6, 9, 12],
        [0, 25, 50, 75, 100],
        [0, 0.02, 0.04, 0.06],
        [0, 2, 4, 6, 8],
    ]


@on_phone
def test_a_test_key_has_pictures_charted_and_a_phone_shows_all(studio: Studio) -> None:
    page, part = studio.page, studio.page.locator("#usage")
    studio.go("usage")
    part.get_by_text("cost nothing").wait_for()
    expect(part.get_by_role("region", name="By model")).to_contain_text("Nothing in this time.")
    studio.go("generate")
    make(studio, "gpt-image-mini")
    studio.go("usage")
    expect(part.locator("g[data-bar]").last).to_have_attribute(
        "aria-label", re.compile(": 1 picture$")
    )
    expect(part.get_by_label("Show", exact=True)).to_have_value("images")
    part.get_by_label("Time", exact=True).select_option("90")
    expect(part.locator("g[data-bar]")).to_have_count(90)
    part.locator("g[data-bar]").last.tap()
    expect(part.locator("p[aria-hidden]")).to_contain_text(": 1 picture")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE.width
    studio.picture("usage")


def test_without_a_key_it_asks_for_one(stranger: Studio) -> None:
    stranger.go("usage")
    stranger.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    stranger.page.get_by_text("The usage of an account needs its key.").wait_for()
