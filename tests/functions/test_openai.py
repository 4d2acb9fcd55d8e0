"""`/openai/v1`, from HTTP to pictures, charges and refusals in OpenAI's words."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from functions import streaming
from functions.openai import APP
from shared import names, sse, turns
from shared.domain import Limits
from tests.darkroom import TEST_KEY, Darkroom, mask, photo, play
from tests.upstream import Gate, picture, png, refusal, withheld

pytestmark = pytest.mark.pictures

ROOT = "/openai/v1"
GENERATIONS, EDITS = f"{ROOT}/images/generations", f"{ROOT}/images/edits"
COMPLETIONS = f"{ROOT}/chat/completions"
PRO = {"model": "nano-banana-pro", "prompt": "a red bicycle"}
FLARE = {"model": "gpt-image", "prompt": "a red bicycle", "quality": "low"}
AUTH = {"authorization": f"Bearer {TEST_KEY}"}
CAT = {"role": "user", "content": "A cat"}
BLUE = {"role": "user", "content": "Make it blue"}


def opened(b64_json: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def said(text: str) -> httpx.Response:
    """Google's answer in words alone."""
    content = {"role": "model", "parts": [{"text": text}]}
    return httpx.Response(200, json={"candidates": [{"content": content, "finishReason": "STOP"}]})


def events(answer: httpx.Response) -> list[Any]:
    found = sse.events(answer.content)
    return [e.decode() if e == b"[DONE]" else json.loads(e) for e in found]


async def record(darkroom: Darkroom, answer: httpx.Response, key: str = TEST_KEY) -> Any:
    """The request of an answer, as the account knows it."""
    found = await darkroom.get(f"/account/requests/{answer.headers['x-request-id']}", key)
    assert found.status_code == 200
    return found.json()


def test_a_picture_comes_in_base64_and_says_what_it_is(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        asked = {**PRO, "size": "1792x1024", "quality": "medium", "user": "me"}
        answer = await darkroom.post(GENERATIONS, asked)
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert {**made, "data": None, "usage": None} == {
            "created": 1795255200,
            "data": None,
            "background": "opaque",
            "output_format": "png",
            "quality": "medium",
            "size": "2752x1536",
            "usage": None,
        }
        (item,) = made["data"]
        assert set(item) == {"b64_json"}
        assert (opened(item["b64_json"]).size, opened(item["b64_json"]).format) == (
            (2752, 1536),
            "PNG",
        )
        assert made["usage"]["output_tokens_details"]["image_tokens"] == 1120
        assert answer.headers["x-darkroom-ignored"] == "user"
        assert answer.headers["openai-processing-ms"] == "0"
        assert "x-ratelimit-limit-requests" not in answer.headers
        kept = await record(darkroom, answer)
        assert (kept["surface"], kept["operation"]) == ("openai", "generate")
        assert (kept["parameters"]["aspect_ratio"], kept["parameters"]["resolution"]) == (
            "16:9",
            "2K",
        )

    play(tmp_path, story)


def test_a_link_is_beside_the_picture_or_in_its_place(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        beside = await darkroom.post(GENERATIONS, {**FLARE, "response_format": "url"})
        (item,) = beside.json()["data"]
        fetched = await darkroom.client.get(item["url"])
        assert fetched.content == base64.b64decode(item["b64_json"])
        for place in ({"x_darkroom_delivery": "url"}, {}):
            path = GENERATIONS if place else f"{GENERATIONS}?delivery=url"
            answer = await darkroom.post(path, FLARE, **place)
            assert set(answer.json()["data"][0]) == {"url"}
        wrong = await darkroom.post(GENERATIONS, FLARE, x_darkroom_delivery="markdown")
        assert wrong.status_code == 400
        assert wrong.json()["error"]["param"] == "x-darkroom-delivery"

    play(tmp_path, story)


def test_a_live_key_pays_for_what_was_delivered_and_no_more(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await darkroom.post(GENERATIONS, {**PRO, "n": 3}, key)
        assert answer.status_code == 200
        assert len(answer.json()["data"]) == 2
        assert await darkroom.balance_micros(key) == 1_000_000 - 268_000
        assert (await record(darkroom, answer, key))["error"]["code"] == "partially_blocked"
        await darkroom.check()

    play(tmp_path, story, withheld(), picture())


def test_a_repeat_of_the_sdk_finds_the_first_answer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = await darkroom.post(GENERATIONS, PRO, key, x_stainless_retry_count="0")
        again = await darkroom.post(GENERATIONS, PRO, key, x_stainless_retry_count="1")
        other = await darkroom.post(GENERATIONS, PRO, key, x_stainless_retry_count="0")
        assert first.json() == again.json()
        assert again.headers["x-request-id"] == first.headers["x-request-id"]
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert other.headers["x-request-id"] != first.headers["x-request-id"]
        assert len(darkroom.upstream.calls) == 2
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_repeated_form_is_known_by_its_parts(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()

        async def send(
            boundary: str, count: str, prompt: str = "Blue", side: int = 8
        ) -> httpx.Response:
            sent = httpx.Request(
                "POST",
                "http://darkroom.test",
                data={"model": "nano-banana-pro", "prompt": prompt, "n": "1"},
                files=[("image[]", photo()), ("image[]", photo((side, side)))],
                headers={"content-type": f"multipart/form-data; boundary={boundary}"},
            )
            headers = {"authorization": f"Bearer {key}", "x-stainless-retry-count": count}
            return await darkroom.client.post(
                EDITS,
                content=sent.read(),
                headers={**headers, "content-type": sent.headers["content-type"]},
            )

        first, again = await send("one", "0"), await send("another", "2")
        others = [await send("one", "1", "Green"), await send("one", "1", side=9)]
        assert {a.status_code for a in (first, again, *others)} == {200}
        assert again.headers["x-request-id"] == first.headers["x-request-id"]
        assert len({a.headers["x-request-id"] for a in (first, *others)}) == 3
        assert len(darkroom.upstream.calls) == 3

    play(tmp_path, story, picture())


def test_an_idempotency_key_has_one_answer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await darkroom.post(GENERATIONS, FLARE, idempotency_key="k")
        again = await darkroom.post(GENERATIONS, FLARE, idempotency_key="k")
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        blocked = {**FLARE, "prompt": "[sandbox:blocked]"}
        refused = [await darkroom.post(GENERATIONS, blocked, idempotency_key="b") for _ in "ab"]
        assert refused[0].json() == refused[1].json()
        assert [r.headers.get("idempotent-replayed") for r in refused] == [None, "true"]
        streamed = await darkroom.post(GENERATIONS, {**FLARE, "stream": True}, idempotency_key="k")
        assert streamed.status_code == 422
        assert streamed.json()["error"]["type"] == "idempotency_error"
        assert streamed.headers["x-should-retry"] == "false"

    play(tmp_path, story)


def test_what_still_runs_is_to_be_asked_for_again(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        send = darkroom.post(GENERATIONS, PRO, key, idempotency_key="k")
        first = asyncio.create_task(send)
        await gate.asked.wait()
        busy = await darkroom.post(GENERATIONS, PRO, key, idempotency_key="k")
        assert busy.status_code == 409
        assert busy.headers["x-should-retry"] == "true"
        assert (busy.headers["retry-after"], busy.headers["retry-after-ms"]) == ("2", "2000")
        gate.opened.set()
        assert (await first).headers["x-request-id"] == busy.headers["x-request-id"]

    play(tmp_path, story, gate)


def test_refusals_have_four_keys_and_an_id(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        retired = {**PRO, "model": "gpt-image-1"}
        for path, body, status, code, param in (
            (GENERATIONS, {**PRO, "model": "nothing"}, 404, "model_not_found", "model"),
            (GENERATIONS, retired, 404, "model_not_found", "model"),
            (GENERATIONS, {**PRO, "n": 99}, 400, "invalid_value", "n"),
            (GENERATIONS, {**FLARE, "size": "9x9"}, 400, "invalid_value", "size"),
            (GENERATIONS, {"model": "nano-banana"}, 400, "invalid_value", "prompt"),
            (EDITS, PRO, 400, "invalid_value", "image"),
            (EDITS, {**PRO, "images": [{"file_id": "upl_x"}]}, 404, "not_found", None),
            (f"{ROOT}/responses", {}, 404, None, None),
            (f"{ROOT}/images/variations", {}, 404, None, None),
        ):
            answer = await darkroom.post(path, body)
            error = answer.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert (answer.status_code, error["code"]) == (status, code), answer.text
            assert error["type"] == "invalid_request_error"
            assert error["param"] == ("images[0].file_id" if code == "not_found" else param)
            assert answer.headers["x-request-id"].startswith("req_")
            assert answer.headers["x-should-retry"] == "false"
        assert "gpt-image-2.5-sunburst" in (await darkroom.post(GENERATIONS, retired)).text
        stranger = await darkroom.post(GENERATIONS, PRO, "dk_test_nobody")
        assert stranger.status_code == 401
        assert stranger.json()["error"]["code"] == "invalid_api_key"
        garbled = await darkroom.client.post(GENERATIONS, content=b"{", headers=AUTH)
        assert garbled.status_code == 400
        assert set(garbled.json()["error"]) == {"message", "type", "param", "code"}

    play(tmp_path, story)


def test_a_minutes_limit_is_in_the_headers(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.test_key_of(await darkroom.live_key(limits=Limits(rpm=2)))
        darkroom.pass_time(timedelta(seconds=48))
        for remaining in ("1", "0"):
            answer = await darkroom.post(GENERATIONS, FLARE, key)
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-remaining-requests"] == remaining
            assert answer.headers["x-ratelimit-reset-requests"] == "12s"
        full = await darkroom.post(GENERATIONS, FLARE, key)
        assert full.status_code == 429
        assert full.json()["error"]["code"] == "rate_limit_exceeded"
        assert full.headers["x-ratelimit-remaining-requests"] == "0"
        assert full.headers["retry-after"] == "12"
        assert "x-should-retry" not in full.headers
        darkroom.pass_time(timedelta(minutes=1))
        failed = await darkroom.post(GENERATIONS, {**FLARE, "prompt": "[sandbox:blocked]"}, key)
        assert failed.status_code == 400
        assert failed.headers["x-ratelimit-remaining-requests"] == "1"

    play(tmp_path, story)


def test_a_dear_last_resort_does_not_count_against_a_months_limit(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(limits=Limits(monthly_micros=200_000))
        body = {"model": "nano-banana-pro", "prompt": "a cup"}
        first = await darkroom.post(GENERATIONS, body, key)
        assert first.status_code == 200, first.text
        assert first.headers["x-darkroom-provider"] == "google"
        assert first.headers["x-darkroom-cost-usd"] == "0.134000"
        second = await darkroom.post(GENERATIONS, body, key)
        assert second.json()["error"]["type"] == "insufficient_quota"

    keys = {"THREEDAISTUDIO_API_KEY": "b"}
    play(tmp_path, story, picture(), env=keys)


def test_a_kept_failure_is_not_asked_for_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "prompt": "a cup [sandbox:rate_limited]"}
        first = await darkroom.post(GENERATIONS, body, idempotency_key="k")
        assert (first.status_code, "retry-after" in first.headers) == (429, True)
        again = await darkroom.post(GENERATIONS, body, idempotency_key="k")
        assert (again.status_code, again.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in again.headers

    play(tmp_path, story)


def test_no_credit_is_not_asked_for_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.post(GENERATIONS, PRO, await darkroom.live_key(usd=0))
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "insufficient_quota"
        assert answer.headers["x-should-retry"] == "false"

    play(tmp_path, story, picture())


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_paid_for_in_vain_is_not_asked_for_again(tmp_path: Path, stream: bool) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await darkroom.post(GENERATIONS, {**PRO, "stream": stream}, key)
        assert answer.status_code == 502
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["error"]["type"] == "server_error"
        assert (await record(darkroom, answer, key))["status"] == "failed"
        assert await darkroom.balance_micros(key) == 10_000_000

    play(tmp_path, story, picture(b"no picture at all"))


def test_what_cost_nothing_may_be_asked_for_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.post(GENERATIONS, PRO, await darkroom.live_key())
        assert answer.status_code == 503
        assert "x-should-retry" not in answer.headers

    play(tmp_path, story, refusal(503, "UNAVAILABLE"))


def test_a_form_brings_its_images_in_any_order(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        files = [
            ("mask", ("blob", mask(), "application/octet-stream")),
            ("image[1]", ("upload", photo(), "text/plain")),
            ("images[]", ("x.webp", photo(kind="WEBP"), "image/gif")),
        ]
        fields = {"model": "gpt-image", "prompt": "blue", "quality": "low", "n": "2"}
        answer = await darkroom.client.post(EDITS, data=fields, files=files, headers=AUTH)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == 2
        kept = await record(darkroom, answer)
        assert (kept["operation"], kept["parameters"]["images"]) == ("edit", 2)
        assert kept["parameters"]["mask"] is True
        marked = [("image", photo()), ("markup", mask())]
        refused = await darkroom.client.post(EDITS, data=fields, files=marked, headers=AUTH)
        assert refused.json()["error"]["param"] == "markup"
        spoilt = await darkroom.client.post(
            EDITS, data=fields, files=[("image", b"no picture")], headers=AUTH
        )
        assert spoilt.json()["error"]["param"] == "image"
        assert spoilt.json()["error"]["code"] == "invalid_image_file"

    play(tmp_path, story)


def test_an_edit_in_json_takes_links_of_ours(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await darkroom.post(GENERATIONS, {**FLARE, "size": "1536x1024"})
        (image,) = (await record(darkroom, first))["images"]
        answer = await darkroom.post(EDITS, {**PRO, "images": [{"image_url": image["url"]}]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["size"] == "1264x848"

    play(tmp_path, story)


def test_sketches_are_streamed_where_the_provider_sends_them(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        asked = {**FLARE, "stream": True, "partial_images": 2}
        answer = await darkroom.post(GENERATIONS, asked)
        assert answer.headers["content-type"].startswith("text/event-stream")
        first, second, whole = events(answer)
        assert [first["partial_image_index"], second["partial_image_index"]] == [0, 1]
        assert {e["type"] for e in (first, second)} == {"image_generation.partial_image"}
        assert whole["type"] == "image_generation.completed"
        assert opened(whole["b64_json"]).size == (1024, 1024)
        kept = await record(darkroom, answer)
        assert whole["usage"]["output_tokens"] == kept["usage"]["output_tokens"]
        (plain,) = events(await darkroom.post(GENERATIONS, {**FLARE, "stream": True}))
        assert plain["type"] == "image_generation.completed"

    play(tmp_path, story)


def test_a_stream_of_an_edit_ends_with_its_pictures(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        fields = {**PRO, "stream": "true", "partial_images": "2", "n": "2"}
        answer = await darkroom.client.post(
            EDITS, data=fields, files=[("image", photo())], headers=AUTH
        )
        assert [e["type"] for e in events(answer)] == ["image_edit.completed"] * 2
        assert answer.headers["x-request-id"].startswith("req_")

    play(tmp_path, story)


def test_silence_is_filled_and_a_late_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.001)

    async def slowly(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return withheld()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        for path, body in (
            (GENERATIONS, PRO),
            (COMPLETIONS, {"model": "nano-banana-pro", "messages": [CAT]}),
        ):
            answer = await darkroom.post(path, {**body, "stream": True}, key)
            assert answer.status_code == 200
            assert answer.text.startswith(": keep-alive\n\n")
            error, *rest = events(answer)
            assert error["error"]["code"] == "moderation_blocked"
            assert rest == (["[DONE]"] if path == COMPLETIONS else [])

    play(tmp_path, story, slowly)


def test_an_error_before_the_first_event_has_a_status(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        answer = await darkroom.post(GENERATIONS, {**PRO, "stream": True}, key)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "moderation_blocked"

    play(tmp_path, story, withheld())


def test_a_chat_draws(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {
            "model": "nano-banana-pro",
            "messages": [CAT],
            "image_config": {"aspect_ratio": "16:9", "image_size": "2K"},
            "max_tokens": 1290,
            "metadata": {"order": "17"},
        }
        answer = await darkroom.post(COMPLETIONS, body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-darkroom-ignored"] == "max_tokens"
        message = answer.json()["choices"][0]["message"]
        head, _, data = message["images"][0]["image_url"]["url"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert opened(data).size == (2752, 1536)
        link = message["content"].removeprefix("![image](").removesuffix(")")
        fetched = await darkroom.client.get(link)
        assert fetched.content == base64.b64decode(data)
        kept = await record(darkroom, answer)
        assert (kept["surface"], kept["metadata"]) == ("openai", {"order": "17"})
        by_link = await darkroom.post(COMPLETIONS, body, x_darkroom_delivery="url")
        message = by_link.json()["choices"][0]["message"]
        assert message["images"][0]["image_url"]["url"] in message["content"]
        in_words = await darkroom.post(f"{COMPLETIONS}?delivery=markdown", body)
        message = in_words.json()["choices"][0]["message"]
        assert message["content"].startswith("![image](data:image/jpeg;base64,")

    play(tmp_path, story)


@pytest.mark.parametrize("keep", ["content", "images", "both"])
def test_a_conversation_goes_on_from_its_picture(tmp_path: Path, keep: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "messages": [CAT]}
        first = await darkroom.post(COMPLETIONS, body, x_darkroom_delivery="url")
        drawn = first.json()["choices"][0]["message"]
        if keep != "both":
            drawn = {"role": "assistant", keep: drawn[keep]}
        body = {**body, "messages": [CAT, drawn, BLUE]}
        second = await darkroom.post(COMPLETIONS, body)
        assert second.status_code == 200, second.text
        kept = await record(darkroom, second)
        assert kept["previous_request_id"] == first.headers["x-request-id"]
        assert (kept["operation"], kept["prompt"]) == ("edit", "Make it blue")
        assert "x-darkroom-ignored" not in second.headers
        # Where the model has no conversations, the picture is one to start from.
        other = await darkroom.post(COMPLETIONS, {**body, "model": "gpt-image"})
        assert other.status_code == 200, other.text
        assert other.headers["x-darkroom-ignored"] == "messages"
        kept = await record(darkroom, other)
        assert kept["previous_request_id"] is None
        assert (kept["operation"], kept["parameters"]["images"]) == ("edit", 1)

    play(tmp_path, story)


def test_a_picture_of_a_model_without_conversations_is_one_to_start_from(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await darkroom.post(COMPLETIONS, {"model": "gpt-image", "messages": [CAT]})
        drawn = first.json()["choices"][0]["message"]
        for model in ("nano-banana-pro", "auto"):
            body = {"model": model, "messages": [CAT, drawn, BLUE]}
            second = await darkroom.post(COMPLETIONS, body)
            kept = await record(darkroom, second)
            assert kept["previous_request_id"] is None
            assert kept["parameters"]["images"] == 1

    play(tmp_path, story)


def test_a_conversation_whose_turn_is_gone_starts_from_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LITTLE_BYTES", 0)

    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "messages": [CAT]}
        first = await darkroom.post(COMPLETIONS, body)
        drawn = first.json()["choices"][0]["message"]
        await darkroom.app.storage.delete(names.turn(first.headers["x-request-id"]))
        second = await darkroom.post(COMPLETIONS, {**body, "messages": [CAT, drawn, BLUE]})
        kept = await record(darkroom, second)
        assert (kept["previous_request_id"], kept["parameters"]["images"]) == (None, 1)

    play(tmp_path, story)


def test_a_test_key_starts_from_what_a_live_one_made(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        body = {"model": "nano-banana-pro", "messages": [CAT]}
        drawn = (await darkroom.post(COMPLETIONS, body, key)).json()["choices"][0]["message"]
        test = await darkroom.test_key_of(key)
        second = await darkroom.post(COMPLETIONS, {**body, "messages": [CAT, drawn, BLUE]}, test)
        kept = await record(darkroom, second, test)
        assert (kept["previous_request_id"], kept["parameters"]["images"]) == (None, 1)

    play(tmp_path, story, picture(png(side=64)))


def test_somebody_elses_picture_is_not_found(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": "nano-banana-pro", "messages": [CAT]}
        key = await darkroom.live_key()
        drawn = (await darkroom.post(COMPLETIONS, body, key)).json()["choices"][0]["message"]
        stolen = await darkroom.post(COMPLETIONS, {**body, "messages": [CAT, drawn, BLUE]})
        assert stolen.status_code == 404
        assert stolen.json()["error"]["param"] == "messages"

    play(tmp_path, story, picture())


def test_words_in_place_of_a_picture_are_an_answer_that_costs_nothing(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        body = {"model": "nano-banana-pro", "messages": [CAT]}
        answer = await darkroom.post(COMPLETIONS, body, key)
        assert answer.status_code == 200
        (choice,) = answer.json()["choices"]
        assert choice["message"] == {
            "role": "assistant",
            "content": "Which cat?",
            "refusal": None,
        }
        assert choice["finish_reason"] == "stop"
        *chunks, done = events(await darkroom.post(COMPLETIONS, {**body, "stream": True}, key))
        assert done == "[DONE]"
        words = [c["choices"][0]["delta"].get("content", "") for c in chunks]
        assert "".join(words) == "Which cat?"
        assert await darkroom.balance_micros(key) == 10_000_000
        refused = await darkroom.post(GENERATIONS, PRO, key)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "no_image"
        await darkroom.check()

    play(tmp_path, story, said("Which cat?"))


def test_a_streamed_chat_has_its_picture_in_one_chunk(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {
            "model": "nano-banana-pro",
            "messages": [CAT],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answer = await darkroom.post(COMPLETIONS, body)
        who, words, images, end, usage, done = events(answer)
        assert who["choices"][0]["delta"]["role"] == "assistant"
        assert words["choices"][0]["delta"]["content"].startswith("![image](http://darkroom.test/")
        (image,) = images["choices"][0]["delta"]["images"]
        assert opened(image["image_url"]["url"].partition(",")[2]).format == "JPEG"
        assert end["choices"][0]["finish_reason"] == "stop"
        assert usage["usage"]["completion_tokens_details"]["image_tokens"] == 1120
        assert done == "[DONE]"
        replayed = await darkroom.post(COMPLETIONS, body, x_stainless_retry_count="1")
        assert replayed.headers["idempotent-replayed"] == "true"
        assert events(replayed)[2] == images

    play(tmp_path, story)


def test_models_are_those_the_key_can_reach(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        whole = (await darkroom.get(f"{ROOT}/models")).json()
        assert whole["object"] == "list"
        ids = {model["id"] for model in whole["data"]}
        assert {"gpt-image-2.5-flare", "gemini-3-pro-image", "seedream-4-5"} <= ids
        assert not {"gpt-image-1", "trellis-2"} & ids
        key = await darkroom.live_key()
        reached = (await darkroom.get(f"{ROOT}/models", key)).json()["data"]
        assert {model["owned_by"] for model in reached} == {"google"}
        one = (await darkroom.get(f"{ROOT}/models/nano-banana-pro", key)).json()
        assert one in reached
        assert {**one, "created": None} == {
            "id": "gemini-3-pro-image",
            "object": "model",
            "created": None,
            "owned_by": "google",
            "shutdown_date": None,
        }
        leaving = (await darkroom.get(f"{ROOT}/models/gpt-image-1.5")).json()
        assert leaving["shutdown_date"] == "2026-12-01"
        for name in ("gpt-image", "nothing", "google/gemini-3-pro-image", "gpt-image-1"):
            missing = await darkroom.get(f"{ROOT}/models/{name}", key)
            assert missing.status_code == 404
            assert missing.json()["error"]["code"] == "model_not_found"
        assert (await darkroom.get(f"{ROOT}/models", "")).status_code == 401

    play(tmp_path, story, picture())


def test_the_deployed_function_answers_at_its_own_address(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        transport = httpx.ASGITransport(APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://f.test") as client:
            for root in ("/v1", ROOT):
                answer = await client.get(f"{root}/models", headers=AUTH)
                assert answer.status_code == 200

    play(tmp_path, story)
