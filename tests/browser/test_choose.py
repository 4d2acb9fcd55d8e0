"""The help with choosing: every question of the decision guide, and its answer from the API."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.asking import fetched, ready
from tests.browser.studio import Studio, on_both

pytestmark = pytest.mark.browser
PRESETS: dict[str, dict[str, Any]] = {
    "100,000 a month, cheapest": {"count": 100_000},
    "Best under $0.05": {"max_unit_usd": "0.05", "choose": "best"},
    "Needs 4K": {"resolution": "4K"},
    "Needs a seed": {"seed": 1},
    "Needs a mask": {"operation": "edit", "masked": True},
    "Can wait 24 h": {"can_wait": True},
}
"""A question of the guide → what it is for the API."""


def opened(studio: Studio) -> Locator:
    """The questions, and the answer to them as they are at first."""
    ready(studio)
    studio.page.locator("#generate").get_by_text("Help me choose").click()
    answer = studio.page.locator("#generate .answer")
    expect(answer.get_by_role("heading")).to_be_visible()
    return answer


def estimated(studio: Studio, question: dict[str, Any]) -> Any:
    """What the API says to it."""
    body = {"operation": "generate", "count": 1000, **question}
    return fetched(studio, "models/estimate", body)


def chosen(studio: Studio) -> str:
    """The model of the form."""
    return studio.page.locator("#generate-fields [type=radio]:checked").input_value()


def test_every_question_of_the_guide_has_an_answer_and_a_reason(studio: Studio) -> None:
    answer = opened(studio)
    for name, question in PRESETS.items():
        studio.page.get_by_role("button", name=name).click()
        found = estimated(studio, question)
        choice = found["choice"]
        expect(answer).to_contain_text(choice["reason"])
        count = question.get("count", 1000)
        total = Decimal(choice["total_usd"]).quantize(Decimal("0.01"), ROUND_HALF_UP)
        said = f"${total:,} a month for {count:,}"
        expect(answer).to_contain_text(said)
        rows = answer.get_by_role("rowheader")
        expect(rows).to_have_count(min(5, len(found["routes"]) - 1))
        expect(answer).to_contain_text(f"{len(found['excluded'])} ways left out")
        expect(answer.get_by_role("button", name="Make a batch")).to_have_count(
            int(choice["mode"] == "batch")
        )


def test_the_next_best_are_ordered_by_what_matters(studio: Studio) -> None:
    answer = opened(studio)
    studio.page.get_by_label("What matters").select_option("fastest")
    found = estimated(studio, {"choose": "fastest"})
    expect(answer).to_contain_text(found["choice"]["reason"])
    shown = [int(text) for text in answer.locator("tr td:last-child.number").all_inner_texts()]
    fastest = sorted(route["seconds"] for route in found["routes"])
    assert shown == [round(seconds) for seconds in fastest[1:6]]
    answer.get_by_text("ways left out").click()
    expect(answer.get_by_role("listitem")).to_have_count(len(found["excluded"]))
    expect(answer.get_by_role("listitem").first).to_contain_text(found["excluded"][0]["reason"])


def test_its_answer_is_used_with_what_it_was_chosen_for(studio: Studio) -> None:
    opened(studio)
    before = chosen(studio)
    studio.page.get_by_role("button", name="Needs 4K").click()
    choice = estimated(studio, PRESETS["Needs 4K"])["choice"]
    assert choice["model"] != before
    expect(studio.page.locator("#generate .answer")).to_contain_text(choice["reason"])
    studio.page.get_by_role("button", name="Use this model").click()
    card = studio.page.locator(f'#generate-fields input[value="{choice["model"]}"]')
    expect(card).to_be_checked()
    expect(card).to_be_focused()
    expect(studio.page.get_by_label("Resolution")).to_have_value("4K")
    expect(studio.page.locator(".estimate")).to_contain_text(f"${float(choice['unit_usd']):.2f}")


def test_what_takes_a_mask_is_used_to_edit(studio: Studio) -> None:
    answer = opened(studio)
    studio.page.get_by_role("button", name="Needs a mask").click()
    model = estimated(studio, PRESETS["Needs a mask"])["choice"]["model"]
    expect(answer).to_contain_text("a mask")
    answer.get_by_role("button", name="Use this model to edit").click()
    expect(studio.page.locator(f'#edit input[value="{model}"]')).to_be_checked()


def test_what_nothing_can_do_has_a_reason_too(studio: Studio) -> None:
    answer = opened(studio)
    most = studio.page.get_by_label("Most dollars a picture")
    most.fill("0.0001")
    expect(answer).to_contain_text("None can.")
    reason = estimated(studio, {"max_unit_usd": "0.0001"})["choice_reason"]
    expect(answer).to_contain_text(reason)
    most.fill("-1")
    expect(answer).to_contain_text("Most dollars a picture: ")
    expect(most).to_have_attribute("aria-invalid", "true")


def test_a_wrong_answer_does_not_keep_the_form_from_being_sent(studio: Studio) -> None:
    """The questions belong to no form, and leave its estimate as it is."""
    opened(studio)
    page = studio.page
    page.get_by_label("Pictures a month").fill("0")
    page.get_by_label("Pictures a month").press("Enter")
    expect(page.get_by_role("article")).to_have_count(0)
    page.locator("#generate").get_by_text("Help me choose").click()
    page.get_by_label("Prompt").fill("an owl")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.get_by_role("article").locator("img")).to_be_visible()


@on_both
def test_it_is_for_everybody(studio: Studio) -> None:
    opened(studio)
    studio.page.get_by_role("button", name="Needs a mask").press("Enter")
    expect(studio.page.locator("#generate .answer")).to_contain_text("mask")
    assert studio.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    studio.accessible()
    studio.picture("choose")
    studio.picture("choose", "dark")
