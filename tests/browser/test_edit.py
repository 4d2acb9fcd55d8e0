"""Edit, as somebody does it with pictures of their own: in an order, and turn after turn."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, expect

from shared.pixels import MAX_PIECES
from tests.browser.asking import fetched
from tests.browser.editing import (
    CAMERA,
    MASKLESS,
    Easel,
    button,
    choose,
    names,
    opaque,
    ready,
    sent,
    turn,
)
from tests.browser.studio import Studio, on_both, photo_file, text_file

pytestmark = pytest.mark.browser
FEW = "gemini-2.5-flash-image"
"""A model that takes three pictures."""


def asked(studio: Studio) -> list[dict[str, Any]]:
    """The edits of the key's account that have succeeded."""
    path = "account/requests?operation=edit&status=succeeded"
    found: list[dict[str, Any]] = fetched(studio, path)["data"]
    return found


AGAIN = """async (request) => (await import("/studio/app.js")).go("edit", { request })"""
"""What the gallery does with an earlier edit."""


HEAVY = """(input, small) => {
  const bytes = Uint8Array.from(atob(small), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  const heavy = [bytes, new Uint8Array(23 * 2 ** 20)];
  data.items.add(new File(heavy, "heavy.png", { type: "image/png" }));
  input.files = data.files;
  input.dispatchEvent(new Event("change"));
}"""
"""A file of 23 MB, which would take long to hand to the browser."""


def test_sources_are_dropped_pasted_ordered_and_removed(studio: Studio) -> None:
    page = ready(studio)
    part = page.locator("#edit")
    studio.drop(
        part, photo_file("a.png"), text_file("notes.txt", "no picture"), photo_file("b.png")
    )
    said = part.get_by_role("alert").filter(has_text="notes.txt")
    expect(said).to_have_text(
        "notes.txt is no PNG, JPEG or WebP picture. Save it as one of these first."
    )
    studio.paste(page.get_by_label("What to change"), photo_file("c.png", (100, 300)))
    expect(part.locator(".sources > li")).to_have_count(3)
    assert names(page) == ["a.png", "b.png", "c.png"]
    button(page, "Later: a.png").focus()
    page.keyboard.press("Enter")
    assert names(page) == ["b.png", "a.png", "c.png"]
    expect(button(page, "Later: a.png")).to_be_focused()
    page.keyboard.press("Enter")
    assert names(page) == ["b.png", "c.png", "a.png"]
    expect(button(page, "Earlier: a.png")).to_be_focused()
    items = part.locator(".sources > li")
    items.nth(2).drag_to(items.nth(0))
    assert names(page) == ["a.png", "b.png", "c.png"]
    studio.paste(page.locator("body"), {**photo_file("broken.png"), "buffer": b"\x89PNG"})
    expect(part).to_contain_text("broken.png cannot be read as a picture. Is the file whole?")
    button(page, "Remove: b.png").click()
    expect(button(page, "Remove: c.png")).to_be_focused()
    body = sent(page, "side by side")
    sides = [Image.open(io.BytesIO(base64.b64decode(i["b64_json"]))).size for i in body["images"]]
    assert sides == [(640, 480), (100, 300)]
    card = turn(page, "side by side")
    expect(card.get_by_role("heading")).to_have_text("Turn 1 from a.png and 1 more")


def test_more_pictures_than_a_model_takes_are_kept_and_not_sent(studio: Studio) -> None:
    page = ready(studio, *[photo_file(f"{n}.png", (40, 30)) for n in range(4)])
    choose(page, FEW)
    said = page.locator("#edit-sources")
    expect(said).to_contain_text("takes 3 pictures at most, and there are 4: remove 1")
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("What to change").fill("all four")
    button(page, "Edit").click()
    expect(said.get_by_role("alert")).to_contain_text("takes 3 pictures at most")
    assert f"{studio.url}/edit" not in asked
    button(page, "Remove: 2.png").click()
    expect(said).to_contain_text("3 pictures,")
    assert len(sent(page, "all three")["images"]) == 3
    turn(page, "all three")
    small = base64.b64encode(photo_file()["buffer"]).decode()
    page.get_by_label("Add pictures").evaluate(HEAVY, small)
    button(page, "Remove: 0.png").click()
    expect(said).to_contain_text("The files have 23.0 MB, and at most 22.0 MB can be sent together")


def pieced(png: FilePayload) -> FilePayload:
    """The picture with more pieces before its pixels than the server goes through."""
    piece = b"tEXta\0b"
    whole = (len(piece) - 4).to_bytes(4) + piece + zlib.crc32(piece).to_bytes(4)
    head, rest = png["buffer"][:33], png["buffer"][33:]
    return {**png, "buffer": head + whole * MAX_PIECES + rest}


def test_what_the_server_refuses_is_said_at_the_picture(studio: Studio) -> None:
    studio.expects(413)
    page = ready(studio, photo_file("fine.png"), pieced(photo_file("ribbon.png")))
    sent(page, "a bow")
    said = page.locator("#edit-sources").get_by_role("alert")
    expect(said).to_contain_text("Picture 2: The image is too large")
    expect(page.locator("#edit article")).to_have_count(0)


def test_three_turns_and_one_from_the_middle(studio: Studio) -> None:
    page = ready(studio, photo_file("house.png"))
    first = sent(page, "make it night")
    assert len(first["images"]) == 1
    turn(page, "make it night")
    button(page, "Continue the conversation").click()
    expect(page.get_by_label("What to change")).to_be_focused()
    expect(page.get_by_label("Add pictures")).to_be_hidden()
    for prompt in ("light the windows", "let it snow"):
        assert "images" not in sent(page, prompt)
        turn(page, prompt)
    expect(page.locator("#edit .talk")).to_contain_text("Turn 4 goes on from turn 3: “let it snow”")
    turn(page, "light the windows").get_by_role("button", name="Continue from here").click()
    sent(page, "[sandbox:blocked] let it rain")
    expect(page.locator("#edit [data-code=content_blocked]")).to_be_visible()
    sent(page, "let it rain")
    branch = turn(page, "let it rain")
    expect(branch.get_by_role("heading")).to_have_text("Turn 3 after turn 2")
    made = asked(studio)
    ids = {request["prompt"]: request["id"] for request in made}
    before = {request["prompt"]: request["previous_request_id"] for request in made}
    assert before == {
        "make it night": None,
        "light the windows": ids["make it night"],
        "let it snow": ids["light the windows"],
        "let it rain": ids["light the windows"],
    }
    choose(page, MASKLESS)
    expect(page.locator("#edit .talk")).to_contain_text("cannot continue a conversation")
    button(page, "Start anew").click()
    assert names(page) == ["house.png"]
    assert len(sent(page, "once more")["images"]) == 1
    card = turn(page, "once more")
    expect(card).to_contain_text("does not continue conversations")
    expect(card.get_by_role("button", name="Continue from here")).to_have_count(0)
    expect(button(page, "Continue the conversation")).to_have_count(0)
    for prompt, said in {"let it rain": "Turn 3 goes on from turn 2", "once more": "again"}.items():
        (request,) = [request for request in asked(studio) if request["prompt"] == prompt]
        page.evaluate(AGAIN, request)
        expect(page.get_by_label("What to change")).to_have_value(prompt)
        expect(
            page.locator("#edit .talk, #edit-sources [role=alert]").filter(has_text=said)
        ).to_be_visible()


def test_before_and_after_by_keyboard(studio: Studio) -> None:
    page = ready(studio, photo_file("tall.png", (100, 300)))
    sent(page, "wider")
    card = turn(page, "wider")
    card.get_by_role("button", name="Compare").press("Enter")
    slider = card.get_by_role("slider", name="Before and after")
    old = card.get_by_alt_text("Before")
    shown = "(it) => [getComputedStyle(it).clipPath, it.complete && it.naturalWidth]"
    expect(slider).to_have_attribute("aria-valuetext", "50 % before, 50 % after")
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "100 % before, 0 % after")
    assert old.evaluate(shown) == ["inset(0px 0% 0px 0px)", 100]
    slider.press("ArrowLeft")
    assert old.evaluate(shown)[0] == "inset(0px 1% 0px 0px)"
    boxes = [card.get_by_alt_text(alt, exact=True).bounding_box() for alt in ("Before", "After")]
    assert boxes[0] == boxes[1]
    card.get_by_role("button", name="Compare").press("Enter")
    expect(slider).to_have_count(0)
    # The next picture is made of one that the server has, and so is what it is compared with.
    card.get_by_role("button", name="Edit this").click()
    button(page, "Begin anew with the new one").click()
    expect(page.locator("#edit .sources > li")).to_have_count(1)
    image = fetched(studio, "account/requests")["data"][0]["images"][0]["id"]
    assert sent(page, "darker")["images"] == [{"image_id": image}]
    card = turn(page, "darker")
    card.get_by_role("button", name="Compare").click()
    expect(card.get_by_alt_text("Before")).to_be_visible()


@on_both
def test_it_is_legible_on_a_desk_and_on_a_phone(studio: Studio) -> None:
    page = ready(studio, CAMERA, photo_file("a cup with a long name, as cameras give them.png"))
    button(page, "Paint a mask").click()
    easel = Easel(page)
    if studio.device.touch:
        page.touchscreen.tap(*easel.place(0.5, 0.5))
    else:
        easel.stroke((0.2, 0.2), (0.6, 0.4))
    expect(easel.dialog).to_contain_text("of the picture may change")
    if studio.device.touch:
        studio.accessible()
    studio.picture("edit-mask")
    easel.click("Done")
    assert 0 in opaque(sent(page, "make it night")["mask"]["b64_json"]).getextrema()
    card = turn(page, "make it night")
    card.get_by_role("button", name="Compare").click()
    if not studio.device.touch:
        studio.accessible()
    wide = "document.documentElement.scrollWidth > innerWidth"
    assert page.evaluate(wide) is False
    for scheme in ("light", "dark"):
        studio.picture("edit", scheme)
