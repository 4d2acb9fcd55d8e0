"""Prompt templates on the page: picked, filled in, sent, and left."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.asking import asked, fetched, painted, ready
from tests.browser.studio import Studio, on_both

pytestmark = pytest.mark.browser


@on_both
def test_a_template_makes_the_prompt(studio: Studio) -> None:
    ready(studio)
    page = studio.page
    page.get_by_role("button", name="Start from a template").click()
    expect(page.get_by_role("dialog")).to_contain_text("Product photo")
    studio.accessible()
    studio.picture("templates")
    with page.expect_response("**/models/estimate") as priced:
        page.get_by_role("dialog").get_by_role("button", name=re.compile("^Logo")).click()
    assert len({route["model"] for route in priced.value.json()["routes"]}) > 2
    expect(page.get_by_label("Brand")).to_be_focused()
    expect(page.get_by_label("Prompt", exact=True)).to_be_hidden()
    page.keyboard.type("Halden")
    generate = page.get_by_role("button", name="Generate", exact=True)
    generate.click()
    expect(page.get_by_label("Business")).to_be_focused()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_label("Business").fill("a bakery {sic}")
    others = page.locator("#generate-fields .model:not(:has(:checked))")
    expect(others.filter(has_text="a picture").nth(2)).to_be_attached()
    preview = page.locator(".preview").inner_text()
    assert preview.startswith("A logo for Halden, a bakery {sic}. ")
    studio.accessible()
    studio.picture("template")
    studio.picture("template", "dark")
    page.get_by_label("File format").select_option("")
    generate.click()
    card = page.get_by_role("article").first
    painted(card)
    made = fetched(studio, f"account/requests/{card.get_attribute('data-request')}")
    template = made["parameters"]["template"]
    assert (template["name"], template["version"]) == ("logo", 1)
    assert template["variables"]["brand"] == "Halden"
    assert made["prompt"] == preview
    listed = {row["name"]: row for row in fetched(studio, "models/templates")["data"]}
    assert made["model"] == listed["logo"]["model"]
    assert made["parameters"]["aspect_ratio"] == listed["logo"]["fields"]["aspect_ratio"]
    page.get_by_role("button", name="Use as text").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(preview)
    expect(page.get_by_label("Brand")).to_have_count(0)


def test_a_template_refused_says_so_at_its_variable(studio: Studio) -> None:
    """The page's own check is not the last."""
    studio.expects(400)
    ready(studio)
    page = studio.page
    page.get_by_role("button", name="Start from a template").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Logo")).click()
    brand = page.get_by_label("Brand")
    page.get_by_label("Business").fill("a bakery")
    brand.evaluate("(it) => it.removeAttribute('maxlength')")
    brand.fill("Halden " * 20)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(brand).to_be_focused()
    expect(page.locator(".template small.wrong")).to_contain_text("at most 40 characters")
    page.get_by_role("button", name="Without template").click()
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    painted(asked(studio, "a bakery"))


def test_settings_of_a_template_can_be_taken_back(studio: Studio) -> None:
    """Left out they would be the template's. Many templates can be searched."""
    page, listed = studio.page, fetched(studio, "models/templates")
    again = [{**row, "title": f"{row['title']} II"} for row in listed["data"]]
    both = json.dumps({**listed, "data": [*listed["data"], *again]})
    page.route("**/models/templates", lambda route: route.fulfill(body=both))
    page.reload()
    ready(studio)
    page.get_by_role("button", name="Start from a template").click()
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("hero blog")
    cards = page.locator(".templates button")
    expect(cards.filter(visible=True)).to_have_count(2)
    cards.filter(visible=True).first.click()
    page.get_by_label("Topic").fill("tides")
    for control in page.locator(".template :invalid:not(fieldset)").all():
        control.fill("a harbour at low water")
    expect(page.get_by_label("Aspect ratio")).to_have_value("16:9")
    page.get_by_label("Aspect ratio").select_option("")
    with page.expect_request("**/generate") as sent:
        page.get_by_role("button", name="Generate", exact=True).click()
    assert json.loads(sent.value.post_data or "")["aspect_ratio"] == "1:1"
    painted(page.get_by_role("article"))
