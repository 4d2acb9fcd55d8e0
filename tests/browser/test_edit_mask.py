"""Masks: painted by mouse, by touch and by keyboard, and what leaves the browser."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from playwright.sync_api import expect

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
from tests.browser.studio import Studio, photo_file

pytestmark = pytest.mark.browser


def test_an_edit_sends_the_mask_that_was_painted(studio: Studio) -> None:
    page = ready(studio, CAMERA)
    button(page, "Paint a mask").click()
    easel = Easel(page)
    easel.stroke((0.1, 0.1), (0.9, 0.1))
    easel.stroke((0.1, 0.3), (0.9, 0.3))
    easel.click("Undo")
    easel.stroke((0.1, 0.5), (0.9, 0.5))
    easel.stroke((0.1, 0.7), (0.9, 0.7))
    easel.click("Undo")
    easel.click("Redo")
    easel.click("Eraser")
    easel.stroke((0.5, 0.4), (0.5, 0.6))
    easel.click("Brush")
    expect(easel.dialog).to_contain_text(re.compile(r"About 1\d % of the picture may change"))
    easel.click("Done")
    expect(button(page, "Change the mask")).to_be_focused()
    with page.expect_request("**/models/estimate") as estimate:
        page.locator("#edit").get_by_label("Resolution").select_option("2K")
    asked: Any = estimate.value.post_data_json
    assert (asked["operation"], asked["source_count"], asked["masked"]) == ("edit", 1, True)
    body = sent(page, "lit windows")
    assert [*body["images"][0]] == ["b64_json"]
    assert base64.b64decode(body["images"][0]["b64_json"]) == CAMERA["buffer"]
    mask = opaque(body["mask"]["b64_json"])
    assert mask.size == (300, 400)
    painted = {(x, y): mask.getpixel((x, y)) for x in (60, 150, 240) for y in range(40, 400, 80)}
    assert [painted[60, y] for y in (40, 120, 200, 280, 360)] == [0, 255, 0, 0, 255]
    assert [painted[150, y] for y in (40, 120, 200, 280, 360)] == [0, 255, 255, 0, 255]
    assert [painted[240, y] for y in (40, 120, 200, 280, 360)] == [0, 255, 0, 0, 255]
    card = turn(page, "lit windows")
    expect(card.get_by_role("heading")).to_have_text("Turn 1 from camera.jpg, with a mask")
    made = fetched(studio, f"account/requests/{card.get_attribute('data-request')}")
    assert made["parameters"]["mask"] is True


def test_a_mask_is_painted_by_keyboard_alone(studio: Studio) -> None:
    page = ready(studio, photo_file("wide.png", (600, 300)))
    button(page, "Paint a mask").press("Enter")
    easel = Easel(page)
    easel.press("Space", "Enter", *["Shift+ArrowRight"] * 4, "Enter")
    easel.press("]", "]", "Shift+ArrowDown", "Space", "Control+z", *["Shift+ArrowUp"] * 2)
    easel.press("Space", "Control+z", "Control+y")
    page.keyboard.press("Escape")
    expect(easel.dialog).to_be_hidden()
    mask = opaque(sent(page, "by hand")["mask"]["b64_json"])
    assert mask.size == (600, 300)
    line = [mask.getpixel((x, 150)) for x in (270, 300, 360, 440, 480)]
    assert line == [255, 0, 0, 0, 255]
    # 36 pixels four times to the right; 48 down, and 96 up from there.
    assert [mask.getpixel((444, y)) for y in (90, 102, 122, 150, 190, 210)] == [
        0,
        0,
        0,
        0,
        255,
        255,
    ]
    turn(page, "by hand")
    button(page, "Change the mask").click()
    easel.click("Invert")
    inverted = opaque(sent_after(easel, "the rest")["mask"]["b64_json"])
    assert [inverted.getpixel((x, 150)) for x in (270, 300, 360)] == [0, 255, 255]
    turn(page, "the rest")
    button(page, "Change the mask").click()
    easel.click("Clear")
    expect(easel.dialog).to_contain_text("Nothing is painted yet.")
    assert "mask" not in sent_after(easel, "all of it")
    turn(page, "all of it")


def sent_after(easel: Easel, prompt: str) -> Any:
    """Close the dialog, and send."""
    easel.click("Done")
    return sent(easel.page, prompt)


def test_a_large_mask_is_written_in_bands_without_seams(studio: Studio) -> None:
    packed = studio.page.evaluate("""async () => {
      const { png } = await import("/studio/strokes.js");
      const line = { how: "paint", size: 100, points: [100, 100, 3900, 900] };
      const dot = { how: "paint", size: 201, points: [2000.5, 256.5] };
      const cut = { how: "erase", size: 61, points: [2000.5, 256.5] };
      const made = await png(4000, 1000, [line, { how: "clear" }, dot, cut, { how: "invert" }]);
      const bytes = new Uint8Array(await made.arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }""")
    mask = opaque(packed)
    assert mask.size == (4000, 1000)
    # A ring of 100.5 and 30.5 pixels about the border of two bands, which alone stays as it is.
    assert mask.getbbox() == (1900, 156, 2101, 357)
    kept = mask.histogram()[255]
    assert kept == pytest.approx(3.14159 * (100.5**2 - 30.5**2), rel=0.005)
    assert [mask.getpixel((2000, y)) for y in (200, 256, 300)] == [255, 0, 255]


def test_a_mask_goes_with_its_picture_only_when_that_is_wanted(studio: Studio) -> None:
    page = ready(studio, photo_file("a.png"), photo_file("b.png"))
    button(page, "Paint a mask").click()
    easel = Easel(page)
    easel.stroke((0.2, 0.5), (0.8, 0.5))
    easel.click("Done")
    button(page, "Later: a.png").click()
    page.get_by_role("button", name="Keep it").click()
    assert names(page) == ["a.png", "b.png"]
    expect(button(page, "Change the mask")).to_be_visible()
    choose(page, MASKLESS)
    expect(page.locator("#edit .mask")).to_contain_text("takes no mask, and one is painted")
    page.get_by_label("What to change").fill("too much")
    button(page, "Edit").click()
    expect(page.locator("#edit-sources").get_by_role("alert")).to_contain_text("takes no mask")
    button(page, "Use Nano Banana Pro").click()
    expect(page.locator("#edit .mask")).to_contain_text("A mask lies on a.png.")
    button(page, "Remove: a.png").click()
    page.get_by_role("button", name="Drop the mask").click()
    expect(button(page, "Paint a mask")).to_be_visible()
    assert names(page) == ["b.png"]
