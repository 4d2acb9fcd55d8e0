"""What live requests cost: by the row, in credits, by what was counted, free; and us."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.records import RequestFilter
from tests.darkroom import Darkroom, play
from tests.upstream import png

pytestmark = pytest.mark.pictures

KEYS = {"GEMINI_API_KEY": "", "OPENAI_API_KEY": "a", "THREEDAISTUDIO_API_KEY": "b"}
GPT = {"model": "gpt-image-2", "prompt": "a cup", "quality": "low"}
PACKED = base64.b64encode(png()).decode()


def openai(*pictures: str, **usage: Any) -> httpx.Response:
    data = [{"b64_json": picture} for picture in pictures]
    return httpx.Response(200, json={"created": 1, "data": data, "usage": usage})


def counted(image: int, text: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
        "output_tokens": image + text,
        "output_tokens_details": {"image_tokens": image, "text_tokens": text},
    }


async def generated(darkroom: Darkroom, key: str, **fields: Any) -> dict[str, Any]:
    asked = {k: v for k, v in {**GPT, **fields}.items() if v is not None}
    body: dict[str, Any] = (await darkroom.post("/generate", asked, key)).json()
    await darkroom.check()
    return body


def test_tokens_are_charged_as_they_were_counted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = await generated(darkroom, key)
        # 10 tokens of text at $5 a million, 150 of a picture at $30, 8 of text at $10.
        assert made["cost"]["usd"] == "0.004630"
        assert made["cost"]["estimated_usd"] == "0.005890"
        assert (made["usage"]["input_tokens"], made["usage"]["output_tokens"]) == (10, 158)
        assert await darkroom.balance_micros(key) == 1_000_000 - 4_630

    play(tmp_path, story, openai(PACKED, **counted(150, 8)), env=KEYS)


def test_no_more_is_charged_than_was_held(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = await generated(darkroom, key)
        assert made["cost"]["usd"] == usd(5_880 * 5 // 4 + 25)

    play(tmp_path, story, openai(PACKED, **counted(50_000)), env=KEYS)


def test_only_what_was_delivered_is_charged(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = await generated(darkroom, key, n=3)
        assert len(made["images"]) == 2
        # Two thirds of three pictures and the words.
        assert made["cost"]["usd"] == usd((10 * 5 + 600 * 30) * 2 // 3)

    broken = base64.b64encode(b"no picture").decode()
    play(tmp_path, story, openai(PACKED, broken, PACKED, **counted(600)), env=KEYS)


def test_pictures_beyond_those_asked_for_are_a_gift(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = await generated(darkroom, key, model="gpt-image-mini")
        assert len(made["images"]) == 3
        assert made["cost"]["usd"] == "0.005000"

    play(tmp_path, story, openai(PACKED, PACKED, PACKED), env=KEYS)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": -5, "output_tokens": -5},
        {"output_tokens": "many"},
        {"output_tokens": 10**30},
        {"output_tokens": True},
        {"output_tokens": {"image_tokens": 5}},
    ],
)
def test_counts_that_make_no_sense_count_for_nothing(usage: dict[str, Any], tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        made = await generated(darkroom, key)
        assert made["cost"]["usd"] == made["cost"]["estimated_usd"]

    play(tmp_path, story, openai(PACKED, **usage), env=KEYS)


def test_credits_are_shown_beside_the_dollars(tmp_path: Path) -> None:
    async def answers(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, json={"task_id": "a-task"})
        if request.url.path.endswith("/status/"):
            results = [{"asset": "https://files.example/a.png", "asset_type": "IMAGE"}] * 2
            return httpx.Response(200, json={"status": "FINISHED", "results": results})
        assert "authorization" not in request.headers
        return httpx.Response(200, stream=httpx.ByteStream(png()))

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=2)
        made = await generated(darkroom, key, model="nano-banana-pro", quality=None, n=2)
        assert made["provider"] == "threedaistudio"
        assert made["cost"] == {
            "usd": "1.000000",
            "credits": "100",
            "estimated_usd": "1.000000",
            "free_tier": False,
        }

    play(tmp_path, story, answers, env=KEYS)


def test_a_free_call_is_said_to_be_one(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text('[[provider]]\nid = "openai"\nfree = { rpd = 1, then = "paid" }\n')

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        costs = [(await generated(darkroom, key))["cost"] for _ in range(2)]
        assert [(c["usd"], c["free_tier"]) for c in costs] == [
            ("0.000000", True),
            ("0.004550", False),
        ]
        estimate = (await darkroom.client.post("/models/estimate", json=GPT)).json()
        route = next(r for r in estimate["routes"] if r["provider"] == "openai")
        assert route["free_tier"] == "1 requests a day, then paid"

    env = {**KEYS, "DARKROOM_CATALOGUE": str(overlay)}
    play(tmp_path / "data", story, openai(PACKED, **counted(150)), env=env)


def test_what_failed_attempts_cost_is_for_the_operator_alone(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        failed = await darkroom.post("/generate", GPT, key)
        assert failed.json()["error"]["code"] == "outcome_unknown"
        assert await darkroom.balance_micros(key) == 1_000_000
        (shown,) = (await darkroom.get("/account/requests", key)).json()["data"]
        assert set(shown["attempts"][0]) == {"provider", "outcome", "status", "latency_ms"}
        caller = await darkroom.app.accounts.authenticate(key)
        record = await darkroom.app.records.request(caller.account_id, shown["id"])
        assert record is not None
        assert record.cost_micros == 5_890

    play(tmp_path, story, httpx.ReadTimeout("slow"), env=KEYS)


def usd(micros: int) -> str:
    return f"0.{micros:06d}"


def test_a_blocklist_is_kept_before_anything_else(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("forbidden cup\n")

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post("/generate", {**GPT, "prompt": "A Forbidden  CUP"}, key)
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("content_blocked", "prompt")
        assert "'forbidden cup'" in error["message"]
        assert darkroom.upstream.calls == []
        assert (await darkroom.get("/account/requests", key)).json()["data"] == []

    env = {**KEYS, "DARKROOM_BLOCKLIST": str(words)}
    play(tmp_path / "data", story, openai(PACKED), env=env)


def test_words_without_a_picture_cost_us_and_nobody_else(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        fields = {"model": "nano-banana-pro", "quality": None}
        assert (await generated(darkroom, key, **fields))["error"]["code"] == "no_image"
        assert await darkroom.balance_micros(key) == 1_000_000
        caller = await darkroom.app.accounts.authenticate(key)
        page = await darkroom.app.records.requests(caller.account_id, RequestFilter(), 1, None)
        # 100 tokens of text at $2 a million, 250 at $12.
        assert page.items[0].cost_micros == 3_200

    said = {"content": {"role": "model", "parts": [{"text": "No."}]}, "finishReason": "STOP"}
    counts = {"promptTokenCount": 100, "candidatesTokenCount": 50, "thoughtsTokenCount": 200}
    words = httpx.Response(200, json={"candidates": [said], "usageMetadata": counts})
    play(tmp_path, story, words)
