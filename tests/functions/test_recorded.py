"""Answers that Google really gave, through the whole house: the stored picture is theirs to the
byte, and the usage and the cost are right."""

from __future__ import annotations

import binascii
from pathlib import Path

import pytest

from tests.darkroom import Darkroom, play
from tests.providers.test_recorded_google import answer, exchanges

pytestmark = pytest.mark.pictures


@pytest.mark.parametrize(
    ("name", "index", "model", "usd", "tokens"),
    [
        ("test_google_image_generation_with_text", 0, "gemini-3-pro-image", "0.134000", (14, 1457)),
        ("test_google_image_and_text_output", 0, "gemini-2.5-flash-image", "0.039000", (17, 1336)),
        ("test_google_image_or_text_output", 1, "gemini-2.5-flash-image", "0.039000", (10, 1304)),
    ],
)
def test_a_recorded_picture_is_delivered_and_charged(
    tmp_path: Path, name: str, index: int, model: str, usd: str, tokens: tuple[int, int]
) -> None:
    exchange = exchanges(name)[index]
    parts = exchange["response"]["parsed_body"]["candidates"][0]["content"]["parts"]
    (original,) = (part["inlineData"]["data"] for part in parts if "inlineData" in part)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = (await darkroom.post("/generate", {"model": model, "prompt": "x"}, key)).json()
        assert made["cost"]["usd"] == made["cost"]["estimated_usd"] == usd
        usage = made["usage"]
        assert (usage["input_tokens"], usage["output_tokens"], usage["images"]) == (*tokens, 1)
        fetched = await darkroom.client.get(made["images"][0]["url"])
        assert fetched.content == binascii.a2b_base64(original)
        again = {"model": model, "prompt": "bluer", "previous_request_id": made["id"]}
        assert (await darkroom.post("/edit", again, key)).status_code == 200
        contents = darkroom.upstream.bodies[1]["contents"]
        assert contents[1] == {"role": "model", "parts": parts}  # type: ignore[index] # JSON
        await darkroom.check()

    play(tmp_path, story, answer(exchange))


def test_a_recorded_answer_in_words_costs_nothing(tmp_path: Path) -> None:
    exchange = exchanges("test_google_image_or_text_output")[0]

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        refused = await darkroom.post("/generate", {"model": "nano-banana", "prompt": "x"}, key)
        assert refused.json()["error"]["code"] == "no_image"
        assert await darkroom.balance_micros(key) == 1_000_000

    play(tmp_path, story, answer(exchange))
