"""What goes wrong between the page and the server, and what must not be done twice."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser import editing
from tests.browser.asking import asked, painted, ready, result
from tests.browser.house import House
from tests.browser.studio import PHONE, Studio, on_phone, photo_file

pytestmark = pytest.mark.browser
HASTE = """(() => {
  const limit = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => limit(globalThis.hasty ? 300 : ms);
})()"""
"""Once `hasty` is set, the page waits less than a second for an answer."""
HELD = """(prompt) => {
  for (const repeat of [false, true, true]) {
    const given = { key: "Enter", ctrlKey: true, repeat, bubbles: true };
    prompt.dispatchEvent(new KeyboardEvent("keydown", given));
  }
}"""


def names(studio: Studio, part: str) -> list[str]:
    """The idempotency keys of what is sent from now on."""
    sent = list[str]()

    def note(route: Route) -> None:
        sent.append(route.request.headers["idempotency-key"])
        route.continue_()

    studio.page.route(f"**/{part}", note)
    return sent


def test_quick_clicks_and_a_held_key_are_one_picture(studio: Studio) -> None:
    page = studio.page
    ready(studio)
    sent = names(studio, "generate")
    generate = page.get_by_role("button", name="Generate", exact=True)
    page.get_by_label("Prompt").fill("a cup")
    page.get_by_label("Prompt").evaluate(HELD)
    generate.evaluate("(it) => { it.click(); it.click(); }")
    painted(result(studio, "a cup"))
    expect(page.get_by_role("article")).to_have_count(1)
    assert len(sent) == 1
    # Who wants another one gets it.
    asked(studio, "a jug")
    expect(page.get_by_role("article")).to_have_count(2)


def test_quick_clicks_are_one_edit(studio: Studio) -> None:
    page = editing.ready(studio, photo_file("a.png"))
    sent = names(studio, "edit")
    page.get_by_label("What to change").fill("make it night")
    page.get_by_label("What to change").evaluate(HELD)
    editing.button(page, "Edit").evaluate("(it) => { it.click(); setTimeout(() => it.click()); }")
    editing.turn(page, "make it night")
    expect(page.locator("#edit article")).to_have_count(1)
    assert len(sent) == 1


def test_what_may_have_been_made_is_not_sent_under_another_name(studio: Studio) -> None:
    """By the same button of the form, that is: its card has one for it."""
    page = studio.page
    ready(studio)
    page.route("**/generate", lambda route: route.fulfill(body="<p>Sign in</p>"))
    card = asked(studio, "a cup")
    expect(card.locator(".problem")).to_contain_text("The server's answer could not be read")
    page.unroute("**/generate")
    sent = names(studio, "generate")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(card.get_by_role("button", name="Try again")).to_be_focused()
    assert not sent
    page.keyboard.press("Enter")
    painted(card)
    expect(page.get_by_role("article")).to_have_count(1)


def test_an_answer_that_never_comes_leaves_a_way_out(studio: Studio) -> None:
    page, sent, kept = studio.page, list[str](), list[Route]()
    page.add_init_script(HASTE)
    page.reload()
    ready(studio)

    def swallow(route: Route) -> None:
        sent.append(route.request.headers.get("idempotency-key", ""))
        kept.append(route)

    page.route("**/generate", swallow)
    page.evaluate("globalThis.hasty = true")
    card = asked(studio, "a cup [sandbox:slow=60]")
    expect(card.locator(".problem")).to_have_attribute("data-code", "unreachable")
    page.evaluate("globalThis.hasty = false")
    page.unroute("**/generate")
    page.route("**/account/requests/*", lambda route: kept.append(route))
    with page.expect_request("**/generate") as again:
        card.get_by_role("button", name="Try again").click()
    assert {*sent, again.value.headers["idempotency-key"]} == {sent[0]}
    with page.expect_request("**/account/requests/*"):
        expect(card.get_by_role("progressbar")).to_be_visible()
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_contain_text("Cancelled. Nothing was charged.")
    page.unroute_all(behavior="ignoreErrors")


def test_a_failed_look_is_not_the_last(studio: Studio) -> None:
    page, answers = studio.page, [503, 429]
    studio.expects(503, 429)
    ready(studio)

    def fail(route: Route) -> None:
        status = answers.pop(0)
        route.fulfill(status=status, json={"error": {"code": "internal", "message": "Not now."}})

    page.route("**/account/requests/*", fail, times=len(answers))
    card = asked(studio, "a cup [sandbox:slow=2]")
    expect(card).to_contain_text("No answer, looking again.")
    painted(card)
    assert not answers


def test_a_link_does_not_replace_a_key_unasked(studio: Studio, house: House) -> None:
    page, other = studio.page, house.test_key()
    stored = "sessionStorage.getItem('darkroom-key')"
    ready(studio)
    page.evaluate("(key) => { location.hash = `key=${key}`; }", other)
    dialog = page.get_by_role("dialog", name=re.compile("^Use the key of this link"))
    expect(dialog.get_by_role("button", name="Keep my key")).to_be_focused()
    assert page.evaluate(stored) == studio.key
    assert other not in page.url
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    assert page.evaluate(stored) == studio.key
    page.evaluate("(key) => { location.hash = `key=${key}`; }", other)
    dialog.get_by_role("button", name="Use the link's key").click()
    expect(dialog).to_have_count(0)
    assert page.evaluate(stored) == other


def test_what_is_announced_is_heard_in_a_dialog_and_twice(studio: Studio) -> None:
    page = studio.page
    ready(studio)
    page.evaluate("""() => {
      globalThis.heard = [];
      const said = document.getElementById("said");
      const note = () => said.textContent && heard.push(said.closest("dialog")?.id ?? "page");
      new MutationObserver(note).observe(said, { childList: true });
    }""")

    def say(count: int) -> None:
        page.evaluate("""async () => (await import("/studio/dom.js")).announce("Done.")""")
        page.wait_for_function("(count) => heard.length === count", arg=count)

    say(1)
    say(2)
    page.get_by_role("button", name="Change key").click()
    say(3)
    page.keyboard.press("Escape")
    say(4)
    assert page.evaluate("heard") == ["page", "page", "key-dialog", "page"]


def test_a_picture_that_is_too_large_is_not_taken(studio: Studio) -> None:
    page = editing.ready(studio)
    wide, tall = photo_file("wide.png", (16_385, 1)), photo_file("small.png", (9, 9))
    page.get_by_label("Add pictures").set_input_files([wide, tall])
    expect(page.locator("#edit .wrong")).to_contain_text("wide.png has 16,385 × 1 pixels")
    expect(page.locator("#edit .sources > li")).to_have_count(1)


def test_only_addresses_of_the_server_are_linked(studio: Studio) -> None:
    links = studio.page.evaluate("""async () => {
      const { link } = await import("/studio/api.js");
      const away = "https://elsewhere.invalid";
      const urls = ["javascript:alert(1)", "data:text/html,x", `${away}/a.png`];
      return [...urls, `${away}/account/images/a?b=1`].map((url) => link({ url }));
    }""")
    assert links == ["about:blank"] * 3 + [f"{studio.url}/account/images/a?b=1"]


@on_phone
def test_on_a_phone_the_header_has_two_rows(studio: Studio) -> None:
    page = studio.page
    ready(studio)
    expect(page.get_by_text("Sandbox", exact=True)).to_be_visible()
    bar = page.locator(".bar").bounding_box()
    assert bar and bar["height"] < 90
    page.set_viewport_size({"width": 320, "height": PHONE.height})
    studio.go("usage")
    entry = page.get_by_role("link", name="Usage")
    expect(entry).to_have_attribute("aria-current", "page")
    box = entry.bounding_box()
    assert box and box["x"] + box["width"] <= 320
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_part_that_did_not_load_is_loaded_with_the_page(studio: Studio) -> None:
    """A browser keeps a module that failed as failed."""
    page = studio.page
    studio.expects(503)
    ready(studio)
    page.route("**/studio/usage.js", lambda route: route.fulfill(status=503))
    for part in ("usage", "generate", "usage"):
        page.locator(f'nav a[href="#{part}"]').click()
    again = page.locator("#usage").get_by_role("button", name="Load the page again")
    expect(again).to_have_count(1)
    page.unroute("**/studio/usage.js")
    again.click()
    expect(page.locator("#usage")).to_contain_text("Requests today")


def test_what_is_chosen_shows_without_colours(studio: Studio) -> None:
    page = studio.page
    ready(studio)
    page.emulate_media(forced_colors="active")
    width = "(it) => getComputedStyle(it).outlineWidth"
    assert page.locator(".model:has(:checked)").evaluate(width) == "3px"
    colours = page.locator("nav a").evaluate_all(
        "(all) => all.map((it) => getComputedStyle(it).borderBottomColor)"
    )
    assert colours[0] not in colours[1:]
