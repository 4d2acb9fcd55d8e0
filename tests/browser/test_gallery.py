"""The studio's gallery: what was asked for, page by page, and what can be done with it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.studio import PHONE, Studio, on_phone

pytestmark = pytest.mark.browser
TRIED = {"provider": "vertex", "outcome": "provider_unavailable", "latency_ms": 9}
CUP = {"model": "nano-banana-2-lite", "resolution": "512", "prompt": "a blue cup"}


def asked(studio: Studio, method: str, path: str, **given: Any) -> httpx.Response:
    """What the API answers to the page's key."""
    headers = {"authorization": f"Bearer {studio.key}", **given.pop("headers", {})}
    url = f"{studio.url}{path}"
    return httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **given)


def made(studio: Studio, **body: Any) -> dict[str, Any]:
    """A request that has ended, or its error."""
    whole = {name: value for name, value in {**CUP, **body}.items() if value is not None}
    said: dict[str, Any] = asked(studio, "POST", "/generate", json=whole).json()
    return said


def begun(studio: Studio, prompt: str) -> str:
    """A request that nobody waits for; its id."""
    body = {**CUP, "prompt": prompt}
    answer = asked(studio, "POST", "/generate", json=body, headers={"prefer": "respond-async"})
    return str(answer.json()["id"])


def failures(studio: Studio, count: int) -> None:
    """Requests that fail, which is quick."""
    for n in range(count):
        made(studio, prompt=f"[sandbox:blocked] {n}", model="nano-banana", resolution="1K")


def entries(studio: Studio) -> Locator:
    return studio.page.locator("#gallery .gallery > li")


def faces(studio: Studio) -> Locator:
    return studio.page.locator("#gallery .face")


def listed(studio: Studio) -> list[str]:
    """The ids that are shown, in order."""
    found: list[str] = entries(studio).evaluate_all("all => all.map((e) => e.dataset.request)")
    return found


def choose(studio: Studio, name: str, value: str) -> None:
    studio.page.locator(f"#gallery [name={name}]").select_option(value)


def test_more_than_two_pages_by_button_by_scrolling_and_with_filters(studio: Studio) -> None:
    page, count = studio.page, studio.page.locator("#gallery .further .fine")
    failures(studio, 46)
    kept = [made(studio, seed=n)["id"] for n in range(4)]
    page.evaluate("() => { IntersectionObserver.prototype.observe = () => null; }")
    studio.go("gallery")
    expect(count).to_have_text("24 shown")
    more = page.get_by_role("button", name="Show more")
    more.press("Enter")
    expect(count).to_have_text("48 shown")
    expect(faces(studio).nth(24)).to_be_focused()
    more.press("Enter")
    expect(count).to_have_text("50 shown, which is all")
    expect(more).to_be_hidden()
    everything = asked(studio, "GET", "/account/requests?limit=100").json()["data"]
    assert listed(studio) == [one["id"] for one in everything]

    choose(studio, "status", "failed")
    expect(count).to_have_text("24 shown")
    more.click()
    expect(count).to_have_text("46 shown, which is all")
    assert not set(kept) & set(listed(studio))
    choose(studio, "operation", "edit")
    expect(page.locator("#gallery .empty")).to_contain_text("Nothing with this filter.")
    page.get_by_role("button", name="Show everything").click()
    expect(count).to_have_text("24 shown")
    choose(studio, "model", "gemini-3.1-flash-lite-image")
    expect(count).to_have_text("4 shown, which is all")
    assert listed(studio) == kept[::-1]

    page.reload()
    studio.go("gallery")
    while entries(studio).count() < 50:
        before = entries(studio).count()
        entries(studio).last.scroll_into_view_if_needed()
        expect(entries(studio).nth(before)).to_be_attached()
    expect(count).to_have_text("50 shown, which is all")


def test_a_page_that_did_not_come_is_asked_for_again(studio: Studio) -> None:
    failures(studio, 1)
    studio.expects(503)
    error = {"code": "internal", "message": "The database is away.", "request_id": "req_1"}
    studio.page.route(
        "**/account/requests?*",
        lambda route: route.fulfill(status=503, json={"error": error}),
        times=1,
    )
    studio.go("gallery")
    box = studio.page.locator("#gallery").get_by_role("alert")
    expect(box).to_contain_text("The database is away.")
    box.get_by_role("button", name="Try again").press("Enter")
    expect(entries(studio)).to_have_count(1)
    expect(box).to_have_count(0)


def test_a_late_answer_to_an_old_filter_is_dropped(studio: Studio) -> None:
    made(studio)
    failures(studio, 2)
    late: list[Route] = []
    studio.page.route("**/account/requests?status=failed*", lambda route: late.append(route))
    studio.go("gallery")
    expect(entries(studio)).to_have_count(3)
    with studio.page.expect_request("**/account/requests?status=failed*"):
        choose(studio, "status", "failed")
    choose(studio, "status", "succeeded")
    expect(entries(studio)).to_have_count(1)
    with studio.page.expect_response("**/account/requests?status=failed*") as answered:
        late[0].continue_()
    answered.value.finished()
    # Long enough for whoever waits for it to put it into the page.
    studio.page.evaluate("() => new Promise((done) => setTimeout(done))")
    assert entries(studio).count() == 1


def test_what_was_made_meanwhile_is_on_top_and_the_place_is_kept(studio: Studio) -> None:
    page = studio.page
    failures(studio, 24)
    studio.go("gallery")
    expect(entries(studio)).to_have_count(24)
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    read = page.locator(f'[data-request="{listed(studio)[15]}"]')
    before = read.bounding_box()
    studio.go("generate")
    expect(page.locator("#gallery")).to_be_hidden()
    newest = made(studio)["id"]
    studio.go("gallery")
    expect(entries(studio)).to_have_count(25)
    assert listed(studio)[0] == newest
    after = read.bounding_box()
    assert before and after
    assert page.evaluate("scrollY") > 0
    assert abs(before["y"] - after["y"]) < 2


def test_a_request_is_opened_copied_and_made_again_by_keyboard(studio: Studio) -> None:
    page = studio.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    made(studio, prompt=None, template={"name": "product-photo", "variables": {"subject": "a mug"}})
    failures(studio, 1)
    request = made(studio, seed=77, aspect_ratio="3:2")
    studio.go("gallery")
    face = faces(studio).first
    expect(face).to_have_text("a blue cup")
    expect(entries(studio).first).to_contain_text("sandbox, free")
    expect(entries(studio).first).to_contain_text("seed 77")
    # What failed says why.
    expect(faces(studio).nth(1)).to_contain_text("The provider blocked the prompt")

    face.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    for said in (request["id"], "3:2", "77", "google made it", "nano-banana-2-lite"):
        expect(dialog).to_contain_text(said)
    picture = dialog.get_by_role("img")
    expect(picture).to_have_js_property("naturalWidth", request["images"][0]["width"])
    studio.accessible()
    studio.picture("gallery-dialog")
    dialog.get_by_role("button", name="Copy the prompt").press("Enter")
    expect(dialog.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "a blue cup"
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").press("Enter")
    assert download.value.path().stat().st_size == request["images"][0]["bytes"]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(face).to_be_focused()

    faces(studio).nth(1).click()
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was charged.")
    page.keyboard.press("Escape")
    faces(studio).nth(2).click()
    expect(dialog).to_contain_text(re.compile(r"product-photo, version \d"))
    expect(dialog).to_contain_text("Variable subjecta mug")
    page.keyboard.press("Escape")
    face.press("Enter")
    dialog.get_by_role("button", name="Run it again").press("Enter")
    expect(page.get_by_label("Prompt")).to_have_value("a blue cup")
    expect(page.locator("#generate-fields [name=seed]")).to_have_value("77")
    expect(page.locator("#generate-fields [type=radio]:checked")).to_have_value(request["model"])
    expect(dialog).to_be_hidden()


def test_a_deleted_request_is_gone_and_the_place_is_not_lost(studio: Studio) -> None:
    page = studio.page
    first, second, third = (made(studio, seed=n)["id"] for n in range(3))
    studio.go("gallery")
    expect(entries(studio)).to_have_count(3)
    faces(studio).nth(1).press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").press("Enter")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(entries(studio)).to_have_count(2)
    assert listed(studio) == [third, first]
    expect(faces(studio).nth(1)).to_be_focused()
    expect(page.locator("#said")).to_have_text("Deleted. 2 shown, which is all")
    assert asked(studio, "GET", f"/account/requests/{second}").status_code == 404


def test_what_is_being_made_shows_its_end_by_itself_or_is_cancelled(studio: Studio) -> None:
    page = studio.page
    slow = begun(studio, "[sandbox:slow=8] a very slow cup")
    quick = begun(studio, "[sandbox:slow=1.5] a slow cup")
    studio.go("gallery")
    entry = page.locator(f'[data-request="{quick}"]')
    expect(entry.locator("[data-status]")).to_have_text(re.compile("Being made|Waiting"))
    expect(entry.locator("img")).to_be_visible()

    entry = page.locator(f'[data-request="{slow}"]')
    entry.locator(".face").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete").click()
    studio.expects(409)
    dialog.get_by_role("button", name="Delete for good").click()
    expect(dialog.get_by_role("alert")).to_contain_text("It is still being made. Cancel it")
    # Drawn again, as when a provider was tried meanwhile.
    moved = {**asked(studio, "GET", f"/account/requests/{slow}").json(), "attempts": [TRIED] * 2}
    page.route(f"**/account/requests/{slow}", lambda route: route.fulfill(json=moved), times=1)
    expect(dialog).to_contain_text("vertex was down")
    expect(dialog.get_by_role("alert")).to_contain_text("It is still being made. Cancel it")
    expect(dialog.get_by_role("button", name="Delete for good")).to_be_focused()
    dialog.get_by_role("button", name="Keep it").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_contain_text("Cancelled. Nothing was charged.")
    page.keyboard.press("Escape")
    expect(entry).to_contain_text("Cancelled")
    assert asked(studio, "GET", f"/account/requests/{slow}").json()["status"] == "cancelled"


def test_an_expired_link_is_renewed_once_and_a_deleted_picture_told_of(studio: Studio) -> None:
    answers = [403, 200, 404, 404]
    studio.expects(403, 404)
    made(studio)

    def serve(route: Route) -> None:
        status = answers.pop(0)
        if status == 200:
            route.continue_()
        else:
            route.fulfill(status=status, json={})

    studio.page.route("**/account/images/*", serve)
    studio.go("gallery")
    expect(entries(studio).locator("img")).to_have_js_property("complete", True)
    expect(entries(studio).locator("img")).not_to_have_js_property("naturalWidth", 0)
    made(studio, prompt="another cup")
    studio.page.get_by_role("button", name="Refresh").click()
    expect(faces(studio).first).to_contain_text("This picture is gone")
    assert answers == []


def test_without_a_key_it_asks_for_one(stranger: Studio) -> None:
    page = stranger.page
    stranger.go("gallery")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_text("The gallery needs your key.").wait_for()


def test_a_new_key_begins_with_its_own_empty_list(studio: Studio, stranger: Studio) -> None:
    made(studio)
    page = stranger.page
    stranger.go("gallery")
    page.get_by_label("Key", exact=True).fill(studio.key or "")
    page.get_by_role("button", name="Use this key").click()
    expect(entries(stranger)).to_have_count(1)
    page.get_by_role("button", name="Change key").click()
    page.get_by_role("button", name="Forget the key").click()
    page.get_by_text("The gallery needs your key.").wait_for()
    expect(entries(stranger)).to_have_count(0)


@on_phone
def test_a_phone_has_two_columns_and_the_dialog_fits(studio: Studio) -> None:
    page = studio.page
    studio.go("gallery")
    expect(page.locator("#gallery .empty")).to_contain_text("Nothing yet.")
    failures(studio, 1)
    made(studio, prompt="a red bicycle on a beach, " * 40)
    studio.go("generate")
    studio.go("gallery")
    expect(entries(studio)).to_have_count(2)
    expect(entries(studio).locator("img")).to_be_visible()
    tops = entries(studio).evaluate_all("all => all.map((e) => e.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    faces(studio).first.tap()
    expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
    studio.picture("gallery-dialog")
    prompt = page.get_by_role("dialog").locator(".prompt")
    folded = prompt.evaluate("(it) => it.clientHeight")
    page.get_by_role("button", name="Show all").tap()
    assert folded * 2 < prompt.evaluate("(it) => it.clientHeight")
    page.get_by_role("button", name="Show less").tap()
    page.get_by_role("button", name="Close").tap()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE.width
    studio.accessible()
    studio.picture("gallery")
    studio.picture("gallery", "dark")
