"""Generate, as somebody does it who has just arrived: a key, a prompt, a picture, and
what can go wrong on the way."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from shared.domain import Limits
from tests.browser.asking import asked, choose, fetched, painted, ready, result
from tests.browser.house import House
from tests.browser.studio import Studio, on_both, opened
from tests.browser.weight import weighed

pytestmark = pytest.mark.browser
HEAVIEST = 150_000
ALONE = "gpt-image-1.5"
"""A model that one provider has: nothing is tried elsewhere."""
TWICE = "gemini-3-pro-image"
"""A model that Google has, and relays after it."""


def enter(studio: Studio, key: str) -> None:
    """Give the dialog a key, by keyboard."""
    expect(studio.page.get_by_label("Key", exact=True)).to_be_focused()
    studio.page.keyboard.type(key)
    studio.page.keyboard.press("Enter")


def test_the_first_picture_needs_a_key_and_a_prompt(stranger: Studio, house: House) -> None:
    page, sent = stranger.page, list[str]()
    page.on("request", lambda request: sent.append(request.method + " " + request.url))
    ready(stranger)
    page.get_by_label("Prompt").focus()
    page.keyboard.press("Control+Enter")
    assert page.get_by_label("Prompt").evaluate("(it) => it.validationMessage")
    page.keyboard.type("a tin robot")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert f"POST {stranger.url}/generate" not in sent
    page.get_by_label("Prompt").press("Control+Enter")
    key = house.test_key()
    enter(stranger, key)
    card = result(stranger, "a tin robot")
    painted(card)
    expect(card).to_contain_text("sandbox, free")
    expect(page.get_by_text("Sandbox", exact=True)).to_be_visible()
    assert page.evaluate("JSON.stringify({...sessionStorage})").count(key) == 1
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_the_link_hands_over_its_key_and_forgets_it(
    browser: Browser, house: House, pictures: Path
) -> None:
    key = house.test_key()
    with opened(browser, house.url, pictures, path=f"/studio#key={key}") as studio:
        ready(studio)
        assert key not in studio.page.url
        entries = studio.page.evaluate("navigation.entries().map((entry) => entry.url)")
        assert entries == [f"{house.url}/studio#generate"]
        assert studio.page.evaluate("Object.values(sessionStorage)") == [key]
        assert studio.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        painted(asked(studio, "a paper boat"))


ENDS = {
    "blocked": ("content_blocked", "Say it in other words"),
    "no_image": ("no_image", "Ask for a picture more plainly"),
    "rate_limited": ("rate_limited", "Wait a moment"),
    "unavailable": ("provider_unavailable", "Try again in a moment"),
    "server_error": ("provider_error", "choose another model"),
    "timeout": ("outcome_unknown", "It will not arrive any more"),
}
"""What the sandbox is told → what it ends as, and what the page advises."""


def test_an_error_says_what_to_do(studio: Studio) -> None:
    ready(studio)
    choose(studio, ALONE)
    for fault in ENDS:
        asked(studio, f"a cup [sandbox:{fault}]")
    for fault, (code, advice) in ENDS.items():
        problem = result(studio, f"a cup [sandbox:{fault}]").locator(".problem")
        expect(problem).to_have_attribute("data-code", code)
        expect(problem).to_contain_text(advice)
    studio.accessible()


def test_what_failed_is_made_when_it_is_tried_again(studio: Studio) -> None:
    """The next request is another one, in the place of the first."""
    ready(studio)
    choose(studio, ALONE)
    card = asked(studio, "a jug [sandbox:blocked]")
    expect(card.locator(".problem")).to_be_visible()
    first = card.get_attribute("data-request")
    card.get_by_role("button", name="Try again").press("Enter")
    expect(card).not_to_have_attribute("data-request", first or "")
    expect(card.locator(".problem")).to_be_visible()
    expect(card).to_be_focused()
    expect(studio.page.get_by_role("article")).to_have_count(1)


def test_a_wrong_key_can_be_changed_where_it_is_refused(stranger: Studio, house: House) -> None:
    stranger.expects(401)
    ready(stranger)
    card = asked(stranger, "a red kite")
    enter(stranger, "dk_test_of_nobody")
    expect(card.locator(".problem")).to_have_attribute("data-code", "unauthenticated")
    card.get_by_role("button", name="Enter another key").click()
    enter(stranger, house.test_key())
    painted(result(stranger, "a red kite"))


def test_without_credit_it_says_so(browser: Browser, house: House, pictures: Path) -> None:
    with opened(browser, house.url, pictures, key=house.live_key(usd=0)) as studio:
        studio.expects(402)
        ready(studio)
        problem = asked(studio, "a gold ring").locator(".problem")
        expect(problem).to_have_attribute("data-code", "insufficient_credit")
        expect(problem).to_contain_text("choose something cheaper")


def test_too_many_are_told_to_wait(browser: Browser, house: House, pictures: Path) -> None:
    key = house.live_key(limits=Limits(rpm=1))
    with opened(browser, house.url, pictures, key=key) as studio:
        studio.expects(429)
        ready(studio)
        painted(asked(studio, "a first stamp"))
        # The minute may have just begun anew: then the third is one too many.
        for prompt in ("a second stamp", "a third stamp"):
            card = asked(studio, prompt)
            expect(card.locator(".problem, img").first).to_be_visible()
            if card.locator(".problem").count():
                break
        expect(card.locator(".problem")).to_contain_text(re.compile(r"Best after \d+ s"))


def test_what_is_wrong_is_said_at_its_field(studio: Studio) -> None:
    studio.expects(400)
    ready(studio)
    choose(studio, ALONE)
    page = studio.page
    page.get_by_text("More settings").click()
    options = page.get_by_label("Options as JSON")
    options.fill("{half")
    page.get_by_text("More settings").click()
    page.get_by_label("Prompt").fill("a lamp")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(options).to_be_focused()
    assert "Write JSON" in options.evaluate("(it) => it.validationMessage")
    options.fill('{"wings": 2}')
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(options).to_be_focused()
    expect(options).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#generate-fields small.wrong")).to_contain_text("no option 'wings'")
    expect(page.get_by_role("article")).to_have_count(0)
    studio.picture("generate-invalid")
    options.fill("")
    expect(page.locator("#generate-fields small.wrong")).to_have_count(0)
    painted(asked(studio, "a lamp"))


def test_an_unreachable_server_is_asked_again_for_the_same(studio: Studio) -> None:
    """However often it is sent, it is one request."""
    names = list[str]()

    def lost(route: Route) -> None:
        names.append(route.request.headers["idempotency-key"])
        route.abort("aborted")

    ready(studio)
    studio.page.route("**/generate", lost)
    card = asked(studio, "a lighthouse")
    problem = card.locator(".problem")
    expect(problem).to_have_attribute("data-code", "unreachable")
    expect(problem).to_contain_text("Check that it runs")
    studio.page.unroute("**/generate")
    with studio.page.expect_request("**/generate") as again:
        card.get_by_role("button", name="Try again").click()
    painted(card)
    assert len(names) == 3
    assert {*names, again.value.headers["idempotency-key"]} == {names[0]}


def test_a_slow_one_shows_what_is_tried_and_is_cancelled(studio: Studio) -> None:
    ready(studio)
    choose(studio, TWICE)
    card = asked(studio, "a cathedral [sandbox:unavailable@google] [sandbox:slow=60@vertex]")
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card.locator(".elapsed")).to_contain_text("usually about")
    expect(card.locator(".attempts")).to_contain_text("google was down")
    expect(card.get_by_role("progressbar")).to_be_visible()
    studio.picture("generate-progress")
    card.get_by_role("button", name="Cancel").press("Enter")
    expect(card).to_contain_text("Cancelled. Nothing was charged.")
    expect(card).to_be_focused()


def test_several_pictures_cost_what_was_said_before(paying: Studio) -> None:
    ready(paying)
    choose(paying, ALONE)
    paying.page.get_by_label("Pictures", exact=True).fill("3")
    paying.page.get_by_label("Quality", exact=True).select_option("low")
    body = {"model": ALONE, "operation": "generate", "n": 3, "quality": "low"}
    usd = float(fetched(paying, "models/estimate", body)["routes"][0]["total_usd"])
    said = f"About ${usd:.4f}".rstrip("0")
    expect(paying.page.locator(".estimate")).to_contain_text(f"{said} for 3 pictures")
    card = asked(paying, "three geese")
    painted(card, 3)
    made = fetched(paying, f"account/requests/{card.get_attribute('data-request')}")
    assert made["parameters"]["quality"] == "low"
    # Then the prompt counts too.
    assert float(made["cost"]["estimated_usd"]) == pytest.approx(usd, rel=0.01)


FIELDS = {
    "aspect_ratio": "aspect_ratios",
    "resolution": "resolutions",
    "quality": "qualities",
    "background": "backgrounds",
    "output_format": "output_formats",
}
"""A field → what a model says of it: there is a choice where it has several."""


def test_only_fields_of_the_chosen_model_are_offered(studio: Studio) -> None:
    ready(studio)
    models = [m for m in fetched(studio, "models")["data"] if m["status"] != "retired"]
    makers = [model for model in models if "generate" in model["operations"]]
    cards = studio.page.locator("#generate-fields [type=radio]")
    assert cards.evaluate_all("(all) => all.map((it) => it.value)") == [m["id"] for m in makers]
    seen = set[frozenset[str]]()
    for model in (m for m in makers if m["family"] in {m["family"] for m in makers}):
        has = {name for name, values in FIELDS.items() if len(model[values]) > 1}
        has |= {"n"} if model["max_images"] > 1 else set()
        has |= {"seed"} if model["seed"] else set()
        has |= {"options"} if model["options"] else set()
        if frozenset(has) in seen:
            continue
        seen.add(frozenset(has))
        choose(studio, model["id"])
        offered = studio.page.locator(".settings [name]").evaluate_all(
            "(all) => all.map((it) => it.name)"
        )
        assert set(offered) - {"route", "output_quality"} == has, model["id"]
        for name in has & FIELDS.keys():
            shown = studio.page.locator(f".settings [name={name}] option").evaluate_all(
                "(all) => all.map((it) => it.value)"
            )
            assert shown == ["", *model[FIELDS[name]]]
    assert len(seen) >= 3


def test_the_list_of_models_stays_where_it_is(studio: Studio) -> None:
    """It is drawn again with every estimate; by keyboard, another is chosen with an arrow."""
    ready(studio)
    cards = studio.page.locator(".cards")
    cards.evaluate("(list) => { list.scrollTop = 300; }")
    with studio.page.expect_response("**/models/estimate"):
        studio.page.get_by_label("Pictures", exact=True).fill("2")
    expect(studio.page.locator(".estimate")).to_contain_text("2 pictures")
    assert cards.evaluate("(list) => list.scrollTop") == 300
    first = cards.get_by_role("radio").nth(0)
    first.focus()
    with studio.page.expect_response("**/models/estimate"):
        studio.page.keyboard.press("ArrowDown")
    expect(cards.get_by_role("radio").nth(1)).to_be_checked()
    expect(cards.get_by_role("radio").nth(1)).to_be_focused()


def test_the_form_works_before_the_api_answers(studio: Studio) -> None:
    """Nothing of it waits for the models. Without them the server chooses."""
    page = studio.page
    page.route(re.compile("/models(/|$)"), lambda route: None)
    page.reload()
    expect(page.get_by_text("Loading models")).to_be_visible()
    page.get_by_role("button", name="Start from a template").click()
    expect(page.get_by_role("dialog")).to_contain_text("Loading templates")
    page.keyboard.press("Escape")
    painted(asked(studio, "a heron"))
    page.unroute_all(behavior="ignoreErrors")


def test_models_that_did_not_come_are_asked_for_again(stranger: Studio) -> None:
    stranger.expects(503)
    refusal = {"error": {"code": "internal", "message": "Not now.", "retryable": True}}
    answer = json.dumps(refusal)
    stranger.page.route("**/models", lambda route: route.fulfill(status=503, body=answer))
    stranger.page.reload()
    expect(stranger.page.locator(".cards .problem")).to_contain_text("Not now.")
    stranger.page.unroute("**/models")
    stranger.page.locator(".cards").get_by_role("button", name="Try again").click()
    ready(stranger)


@on_both
def test_it_is_light_dark_and_narrow(studio: Studio) -> None:
    ready(studio)
    paper = "getComputedStyle(document.body).backgroundColor"
    theme = studio.page.get_by_role("button", name="Theme")
    seen = list[str]()
    for name in ("system", "light", "dark"):
        expect(theme).to_have_text(f"Theme: {name}")
        seen.append(studio.page.evaluate(paper))
        theme.click()
    assert seen[0] == seen[1] != seen[2]
    expect(theme).to_have_text("Theme: system")
    painted(asked(studio, "a green door"))
    assert studio.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    studio.accessible()
    studio.picture("generate")
    studio.picture("generate", "dark")


def test_the_page_is_light(browser: Browser, house: House) -> None:
    """What the first part needs as it is, and all parts together as they are sent."""
    weight = weighed(browser, f"{house.url}/studio")
    first = {"/studio", "/studio/studio.css", "/studio/app.js", "/studio/generate.js"}
    assert first <= weight.unpacked.keys()
    assert weight.transferred_bytes < weight.unpacked_bytes <= HEAVIEST
    folder = Path(__file__).parents[2] / "functions" / "studio"
    packed = [gzip.compress(path.read_bytes()) for path in folder.iterdir()]
    assert sum(map(len, packed)) <= HEAVIEST
