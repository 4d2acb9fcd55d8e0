"""Keys: what one was given is not shown to the next, and what cannot be one is not taken."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import editing
from tests.browser.asking import asked, painted, ready
from tests.browser.house import House
from tests.browser.studio import Studio, photo_file

pytestmark = pytest.mark.browser


def change(page: Page, key: str | None) -> None:
    """Enter another key, or forget the one there is."""
    page.get_by_role("button", name="Change key").click()
    if key is None:
        page.get_by_role("button", name="Forget the key").click()
    else:
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-dialog")).to_be_hidden()


def test_what_a_key_was_given_goes_with_it(studio: Studio, house: House) -> None:
    page = studio.page
    ready(studio)
    painted(asked(studio, "a blue cup"))
    slow = asked(studio, "a jar [sandbox:slow=60]")
    expect(slow.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name="Edit this").click()
    expect(page.locator("#edit .sources > li")).to_have_count(1)
    page.get_by_label("Add pictures").set_input_files([photo_file("mine.png")])
    editing.sent(page, "make it night")
    editing.turn(page, "make it night")
    change(page, house.test_key())
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.locator("#edit .talk")).to_be_hidden()
    assert editing.names(page) == ["mine.png"]
    editing.sent(page, "make it day")
    editing.turn(page, "make it day")
    change(page, None)
    expect(page.locator("article")).to_have_count(0)


def test_a_late_list_of_batches_is_not_for_the_next_key(studio: Studio, house: House) -> None:
    page = studio.page
    headers = {"authorization": f"Bearer {studio.key}"}
    item = {"custom_id": "a", "prompt": "A cup [sandbox:blocked]"}
    body = {"model": "nano-banana", "mode": "fanout", "items": [item]}
    assert page.request.post(f"{studio.url}/batch", data=body, headers=headers).ok
    late = []
    page.route("**/batch?*", lambda route: late.append(route), times=1)
    with page.expect_request("**/batch?*"):
        studio.go("batch")
    change(page, house.test_key())
    expect(page.locator("#batch")).to_contain_text("A batch appears here once it is started.")
    with page.expect_response("**/batch?*") as answered:
        late[0].continue_()
    answered.value.finished()
    # Long enough for whoever waits for it to put it into the page.
    page.evaluate("() => new Promise((done) => setTimeout(done))")
    expect(page.locator("#batch article")).to_have_count(0)


def test_a_key_has_no_spaces_and_an_address_no_odd_parts(stranger: Studio) -> None:
    page = stranger.page
    page.get_by_role("button", name="Enter a key").click()
    page.get_by_label("Key", exact=True).fill("dk_test_…")
    page.keyboard.press("Enter")
    expect(page.locator("#key-dialog")).to_be_visible()
    page.get_by_label("Key", exact=True).fill("   ")
    page.keyboard.press("Enter")
    expect(page.locator("#key-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("location.hash = 'constructor'")
    expect(page.get_by_role("heading", name="Generate")).to_be_visible()
    page.evaluate("location.hash = 'key=dk_test_pasted'")
    expect(page.get_by_role("button", name="Change key")).to_be_visible()
    assert page.url == f"{stranger.url}/studio#generate"
