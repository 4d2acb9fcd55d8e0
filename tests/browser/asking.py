"""Asking for pictures on the studio's page, and seeing them come."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.studio import Studio


def ready(studio: Studio) -> None:
    """Wait until the form knows the models and what a picture costs."""
    expect(studio.page.locator("#generate-form .estimate")).to_contain_text("About $")


def choose(studio: Studio, model: str) -> None:
    """Take a model by its card."""
    studio.page.locator(f'#generate-fields input[value="{model}"]').check()


def asked(studio: Studio, prompt: str) -> Locator:
    """Send a prompt; the card of its result, which is the newest."""
    studio.page.get_by_label("Prompt").fill(prompt)
    studio.page.get_by_role("button", name="Generate", exact=True).click()
    return result(studio, prompt)


def result(studio: Studio, prompt: str) -> Locator:
    """The newest card of a prompt."""
    return studio.page.get_by_role("article", name=prompt).first


def painted(card: Locator, pictures: int = 1) -> None:
    """Wait until it has that many pictures, and the browser can show them."""
    expect(card.locator("img")).to_have_count(pictures)
    for picture in card.locator("img").all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("async (image) => { await image.decode(); }")


def fetched(studio: Studio, path: str, body: object = None) -> Any:
    """What the API answers to the page's key."""
    headers = {"authorization": f"Bearer {studio.key}"} if studio.key else {}
    url = f"{studio.url}/{path}"
    if body is None:
        return studio.page.request.get(url, headers=headers).json()
    return studio.page.request.post(url, headers=headers, data=body).json()
