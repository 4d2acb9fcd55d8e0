"""`/gemini`, from HTTP to pictures made, stored, charged and shown as Google shows them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from functions import streaming
from shared import files, sources
from shared.domain import Limits
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.upstream import Gate, picture, png, refusal, withheld

pytestmark = pytest.mark.pictures

PRO, OLD = "nano-banana-pro", "nano-banana"
CAT = {"contents": [{"role": "user", "parts": [{"text": "A cat"}]}]}
KEY = {"x-goog-api-key": TEST_KEY}


async def ask(
    darkroom: Darkroom, body: dict[str, Any], key: str = TEST_KEY, path: str = "", **headers: str
) -> httpx.Response:
    """generateContent, or whatever the path says."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    where = path or f"v1beta/models/{PRO}:generateContent"
    return await darkroom.client.post(
        f"/gemini/{where}", json=body, headers={"x-goog-api-key": key, **named}
    )


def cat(prompt: str = "A cat", **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **more}


def parts(answer: httpx.Response, candidate: int = 0) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["candidates"][candidate]["content"]["parts"])


def data(part: dict[str, Any]) -> bytes:
    return base64.b64decode(part["inlineData"]["data"], validate=True)


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code >= 400
    found = answer.json()["error"]
    assert found["code"] == answer.status_code
    return dict(found)


def chat(*turns: Any) -> dict[str, Any]:
    """A conversation: the user's words, and answers as they came."""
    return {
        "contents": [
            {"role": "user", "parts": [{"text": turn}]}
            if isinstance(turn, str)
            else turn.json()["candidates"][0]["content"]
            for turn in turns
        ]
    }


def test_a_picture_comes_inline_and_is_recorded(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        config = {"imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}}
        answer = await ask(darkroom, cat(generationConfig=config))
        (part,) = parts(answer)
        assert Image.open(io.BytesIO(data(part))).size == (2752, 1536)
        assert part["inlineData"]["mimeType"] == "image/jpeg"
        request_id = answer.headers["x-request-id"]
        assert answer.json()["responseId"] == request_id.removeprefix("req_")
        assert answer.json()["modelVersion"] == "gemini-3-pro-image"
        assert "x-darkroom-ignored" not in answer.headers
        assert answer.headers["x-darkroom-size"] == "2752x1536"
        made = (await darkroom.get(f"/account/requests/{request_id}")).json()
        assert (made["surface"], made["operation"]) == ("gemini", "generate")
        assert made["images"][0]["sha256"] == hashlib.sha256(data(part)).hexdigest()

    play(tmp_path, story)


def test_a_live_key_pays_for_the_candidates_that_came(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        answer = await ask(darkroom, cat(generationConfig={"candidateCount": 3}), key)
        found = answer.json()["candidates"]
        assert [c["finishReason"] for c in found] == ["STOP", "STOP", "IMAGE_SAFETY"]
        assert [c["index"] for c in found] == [0, 1, 2]
        assert data(parts(answer)[0]) == png()
        assert answer.json()["usageMetadata"]["candidatesTokenCount"] == 2240
        assert await darkroom.balance_micros(key) == 1_000_000 - 2 * 134_000
        await darkroom.check()

    play(tmp_path, story, withheld(), picture())


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize("colon", [":", "%3A"])
def test_both_versions_and_both_colons(tmp_path: Path, version: str, colon: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        path = f"{version}/models/{OLD}{colon}generateContent"
        assert len(parts(await ask(darkroom, CAT, path=path))) == 2

    play(tmp_path, story)


def test_the_key_is_taken_from_each_of_its_places(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        url = "/gemini/v1/models"
        for headers in (KEY, {"x-api-key": TEST_KEY}, {"authorization": f"Bearer {TEST_KEY}"}):
            assert (await darkroom.client.get(url, headers=headers)).status_code == 200
        assert (await darkroom.client.get(f"{url}?key={TEST_KEY}")).status_code == 200
        missing = error(await darkroom.client.get(url))
        assert (missing["code"], missing["status"]) == (403, "PERMISSION_DENIED")
        wrong = error(await darkroom.client.get(f"{url}?key=wrong"))
        assert (wrong["code"], wrong["status"]) == (400, "INVALID_ARGUMENT")
        assert wrong["details"][0]["reason"] == "API_KEY_INVALID"

    play(tmp_path, story)


@pytest.mark.parametrize("said", ["1", "0", "soon"])
def test_an_sdk_that_says_how_long_it_waits_is_told_in_time(tmp_path: Path, said: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asked = asyncio.create_task(ask(darkroom, CAT, key, **{"x-server-timeout": said}))
        await gate.asked.wait()
        if said != "1":
            gate.opened.set()
        answer = await asked
        assert answer.status_code == (504 if said == "1" else 200)
        gate.opened.set()

    gate = Gate()
    play(tmp_path, story, gate)


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        config = {"seed": 3, "temperature": 0.5, "presencePenalty": 0.1}
        path = "v1/models/gpt-image-1-mini:generateContent"
        answer = await ask(darkroom, cat(generationConfig=config), path=path)
        assert answer.status_code == 200, answer.text
        assert set(answer.headers["x-darkroom-ignored"].split(", ")) == {
            f"generationConfig.{name}" for name in config
        }

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (cat(unheard=1), 'Unknown name "unheard": Cannot find field.'),
        (cat(generationConfig={"imageConfig": {"aspectRatio": "9:99"}}), "Invalid value at"),
        (cat(generationConfig={"imageConfig": {"imageSize": "1k"}}), "ImageConfig.ImageSize"),
        (cat(generationConfig={"candidateCount": 99}), "at most 8 images"),
        (cat(generationConfig={"maxOutputTokens": 10**6}), "max_output_tokens"),
        ({"contents": []}, "contents is not specified"),
    ],
)
def test_a_wrong_body_is_refused_before_anything_is_asked(
    tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        found = error(await ask(darkroom, body, key))
        assert (found["code"], found["status"]) == (400, "INVALID_ARGUMENT")
        assert words in found["message"]
        assert darkroom.upstream.calls == []

    play(tmp_path, story, picture())


def test_a_body_that_is_no_json_is_refused(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        url = f"/gemini/v1/models/{PRO}:generateContent"
        answer = await darkroom.client.post(url, content=b"{", headers=KEY)
        assert error(answer)["message"].startswith("Invalid JSON payload received.")

    play(tmp_path, story)


@pytest.mark.parametrize("method", ["generateContent", "countTokens", "predict"])
@pytest.mark.parametrize(
    "body",
    [
        rb'{"\ud800": 1}',
        rb'{"contents": [{"parts": [{"text": "\udfff"}]}]}',
        rb'{"contents": [{"parts": [{"\ud800": "A cat"}]}]}',
        rb'{"contents": [{"role": "\ud800", "parts": [{"text": "A cat"}]}]}',
        rb'{"contents": [{"parts": [{"text": "A cat"}]}], "labels": {"\ud800": "\ud800"}}',
        rb'{"instances": [{"prompt": "\ud800"}]}',
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(
    tmp_path: Path, method: str, body: bytes
) -> None:
    async def story(darkroom: Darkroom) -> None:
        url = f"/gemini/v1/models/{PRO}:{method}"
        found = error(await darkroom.client.post(url, content=body, headers=KEY))
        assert found["code"] == 400
        assert found["message"].startswith("Invalid JSON payload received.")

    play(tmp_path, story)


def test_what_is_long_and_wrong_is_answered_shortly(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        long = await ask(darkroom, {"x" * 2**20: 1})
        assert error(long)["code"] == 400
        assert len(long.content) < 2000
        lost = await ask(darkroom, CAT, path=f"v1/models/{'x' * 50_000}:generateContent")
        assert error(lost)["code"] == 404
        assert len(lost.content) < 2000

    play(tmp_path, story)


def test_what_is_not_there_is_said_in_googles_words(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for path, words in (
            ("v1/models/gemini-9:generateContent", "models/gemini-9 is not found for API version"),
            (f"v1/models/{PRO}:embedContent", "not supported for embedContent"),
            ("v1/models/imagen-4.0-generate-001:predict", "is retired. Use"),
            ("v2/models/x:generateContent", "Requested entity was not found."),
            ("v1/nothing/here", "Requested entity was not found."),
        ):
            found = error(await ask(darkroom, CAT, path=path))
            assert (found["code"], found["status"]) == (404, "NOT_FOUND")
            assert words in found["message"]

    play(tmp_path, story)


def test_models_are_listed_page_by_page_and_got(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        names, token = [], ""
        while True:
            query = {"pageSize": "3", **({"pageToken": token} if token else {})}
            page = (
                await darkroom.client.get("/gemini/v1/models", params=query, headers=KEY)
            ).json()
            names += [model["name"] for model in page["models"]]
            if (token := page.get("nextPageToken", "")) == "":
                break
        assert len(names) == len(set(names)) > 6
        assert "models/gemini-3-pro-image" in names
        assert not {"models/imagen-4.0-generate-001", "models/trellis-2"} & set(names)
        model = (await darkroom.client.get(f"/gemini/v1/models/{PRO}", headers=KEY)).json()
        assert model["name"] == "models/gemini-3-pro-image"
        assert (model["displayName"], model["inputTokenLimit"]) == ("Nano Banana Pro", 131_072)
        assert model["supportedGenerationMethods"] == [
            "generateContent",
            "countTokens",
            "predict",
            "batchGenerateContent",
        ]
        live = {"x-goog-api-key": await darkroom.live_key()}
        listed = (await darkroom.client.get("/gemini/v1/models", headers=live)).json()["models"]
        # Only Google has a key here.
        assert {m["name"].split("-")[0] for m in listed} == {"models/gemini"}

    play(tmp_path, story)


def test_tokens_are_counted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"generateContentRequest": cat("x" * 40)}
        auto = error(await ask(darkroom, body, path="v1/models/auto:countTokens"))
        assert (auto["code"], "name one" in auto["message"]) == (400, True)
        answer = await ask(darkroom, body, path=f"v1/models/{PRO}:countTokens")
        assert answer.json() == {
            "totalTokens": 10,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
        }

    play(tmp_path, story)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_of_the_content_is_an_answer_and_costs_nothing(
    tmp_path: Path, streamed: bool
) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def answered(prompt: str) -> Any:
            path = f"v1/models/{PRO}:streamGenerateContent" if streamed else ""
            answer = await ask(darkroom, cat(prompt), path=path)
            assert answer.status_code == 200, answer.text
            return answer.json()[0] if streamed else answer.json()

        blocked = await answered("A cat [sandbox:blocked]")
        assert blocked["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
        assert "candidates" not in blocked
        (nothing,) = (await answered("A cat [sandbox:no_image]"))["candidates"]
        assert (nothing["content"], nothing["finishReason"]) == ({}, "NO_IMAGE")
        (text,) = (await answered("A cat [sandbox:text_only]"))["candidates"]
        assert text["content"]["parts"][0]["text"].startswith("I would rather")
        assert text["finishReason"] == "STOP"
        (short,) = (await answered("A cat [sandbox:partial]"))["candidates"]
        assert short["finishReason"] == "IMAGE_SAFETY"
        await darkroom.check()

    play(tmp_path, story)


def test_a_word_on_the_blocklist_blocks_the_prompt(tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("badger\n")

    async def story(darkroom: Darkroom) -> None:
        expected = {"blockReason": "BLOCKLIST"}
        assert (await ask(darkroom, cat("A badger"))).json()["promptFeedback"] == expected
        path = f"v1/models/{PRO}:streamGenerateContent?alt=sse"
        events = await ask(darkroom, cat("A badger"), path=path)
        assert json.loads(events.text.removeprefix("data: "))["promptFeedback"] == expected
        body = {"instances": [{"prompt": "A badger"}]}
        assert (await ask(darkroom, body, path=f"v1/models/{PRO}:predict")).json() == {}

    play(tmp_path, story, env={"DARKROOM_BLOCKLIST": str(terms)})


def test_who_asks_too_often_hears_when_to_come_back(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(limits=Limits(rpm=1))
        found = error(await ask(darkroom, CAT, key))
        assert (found["code"], found["status"]) == (400, "INVALID_ARGUMENT")
        limited = await ask(darkroom, CAT, key)
        found = error(limited)
        assert (found["code"], found["status"]) == (429, "RESOURCE_EXHAUSTED")
        kinds = {d["@type"].rpartition(".")[2]: d for d in found["details"]}
        assert set(kinds) == {"QuotaFailure", "RetryInfo"}
        assert kinds["RetryInfo"]["retryDelay"] == f"{limited.headers['retry-after']}s"
        poor = error(await ask(darkroom, CAT, await darkroom.live_key(usd=0)))
        assert (poor["code"], poor["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert "details" not in poor

    play(tmp_path, story, refusal(400, "INVALID_ARGUMENT", "too dark"))


def test_a_chat_goes_on_from_the_stored_turn(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await ask(darkroom, CAT)
        signature = parts(first)[0]["thoughtSignature"]
        assert len(signature) < 200
        darkroom.pass_time(timedelta(seconds=1))
        second = await ask(darkroom, chat("A cat", first, "Make it blue"))
        darkroom.pass_time(timedelta(seconds=1))
        third = await ask(darkroom, chat("A cat", first, "Make it blue", second, "At night"))
        assert len(parts(third)) == 1
        listed = (await darkroom.get("/account/requests")).json()["data"]
        asked = [(r["prompt"], r["operation"], r["parameters"].get("images")) for r in listed]
        assert asked == [
            ("At night", "edit", None),
            ("Make it blue", "edit", None),
            ("A cat", "generate", None),
        ]
        ids = [r["id"] for r in listed]
        assert [r["previous_request_id"] for r in listed] == [*ids[1:], None]

    play(tmp_path, story)


def test_the_provider_is_given_back_its_own_answer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        first = await ask(darkroom, CAT, key)
        await ask(darkroom, chat("A cat", first, "Make it blue"), key)
        contents: Any = darkroom.upstream.bodies[1]["contents"]
        assert [content["role"] for content in contents] == ["user", "model", "user"]
        assert contents[1] == picture().json()["candidates"][0]["content"]
        assert await darkroom.balance_micros(key) == 1_000_000 - 2 * 134_000
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_streamed_chat_is_the_same(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        path = f"v1/models/{OLD}:streamGenerateContent"
        chunks = (await ask(darkroom, CAT, path=path)).json()
        model = [chunk["candidates"][0]["content"] for chunk in chunks]
        assert len(model) == 2
        history = [CAT["contents"][0], *model, {"role": "user", "parts": [{"text": "Blue"}]}]
        answer = await ask(darkroom, {"contents": history}, path=f"v1/models/{OLD}:generateContent")
        made = (await darkroom.get(f"/account/requests/{answer.headers['x-request-id']}")).json()
        assert made["previous_request_id"] == f"req_{chunks[0]['responseId']}"

    play(tmp_path, story)


def test_a_signature_is_verified(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await ask(darkroom, CAT)
        body = chat("A cat", first, "Make it blue")
        part = body["contents"][1]["parts"][0]

        async def corrupted(key: str = TEST_KEY) -> None:
            found = error(await ask(darkroom, body, key))
            assert (found["code"], found["message"]) == (400, "Corrupted thought signature.")

        await corrupted(await darkroom.test_key_of(await darkroom.live_key()))
        kept = part["inlineData"]["data"]
        part["inlineData"]["data"] = base64.b64encode(photo()).decode()
        await corrupted()
        part["inlineData"]["data"] = kept
        part["thoughtSignature"] = base64.b64encode(b"another's").decode()
        await corrupted()
        del part["thoughtSignature"]
        unsigned = await ask(darkroom, body)
        made = (await darkroom.get(f"/account/requests/{unsigned.headers['x-request-id']}")).json()
        assert (made["previous_request_id"], made["parameters"]["images"]) == (None, 1)

    play(tmp_path, story)


def test_where_a_turn_cannot_be_gone_on_from_its_picture_is_a_source(tmp_path: Path) -> None:
    async def source_of(darkroom: Darkroom, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        made = (await darkroom.get(f"/account/requests/{answer.headers['x-request-id']}")).json()
        assert (made["previous_request_id"], made["parameters"]["images"]) == (None, 1)

    async def story(darkroom: Darkroom) -> None:
        several = await ask(darkroom, cat(generationConfig={"candidateCount": 2}))
        second = several.json()["candidates"][1]["content"]
        body = {"contents": [*CAT["contents"], second, *cat("Make it blue")["contents"]]}
        await source_of(darkroom, await ask(darkroom, body))
        path = "v1/models/seedream-4-0:generateContent"
        first = await ask(darkroom, CAT)
        body = chat("A cat", first, "Make it blue")
        await source_of(darkroom, await ask(darkroom, body, path=path))
        await darkroom.client.delete(
            f"/account/requests/{first.headers['x-request-id']}", headers=KEY
        )
        await source_of(darkroom, await ask(darkroom, body))

    play(tmp_path, story)


def test_a_test_keys_turn_is_not_gone_on_from_with_a_live_key(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = await ask(darkroom, CAT, await darkroom.test_key_of(key))
        answer = await ask(darkroom, chat("A cat", first, "Make it blue"), key)
        assert data(parts(answer)[0]) == png()
        (content,) = darkroom.upstream.bodies_of("generateContent")
        assert base64.b64encode(data(parts(first)[0])).decode() in content

    play(tmp_path, story, picture())


def test_a_conversation_too_large_to_go_on_from_whole_loses_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        first = await ask(darkroom, CAT)
        second = await ask(darkroom, chat("A cat", first, "Make it blue"))
        body = chat("A cat", first, "Make it blue", second, "At night")
        # One turn and its picture, with a picture of 66 kB, but not two of them.
        monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 240_000)
        third = await ask(darkroom, body)
        assert len(parts(third)) == 1
        assert third.headers["x-darkroom-ignored"] == "contents"
        monkeypatch.setattr(sources, "MAX_TOTAL_BYTES", 1000)
        assert error(await ask(darkroom, body))["code"] == 400

    play(tmp_path, story)


def test_pictures_are_linked_as_files_that_can_be_fetched_and_used(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await ask(darkroom, CAT, x_darkroom_delivery="url")
        (part,) = parts(answer)
        uri = part["fileData"]["fileUri"]
        assert uri.startswith("http://darkroom.test/gemini/v1beta/files/img")
        file = (await darkroom.client.get(uri, headers=KEY)).json()
        assert (file["source"], file["state"]) == ("GENERATED", "ACTIVE")
        for url in (f"{uri}:download?alt=media", file["downloadUri"]):
            fetched = await darkroom.client.get(url, headers=KEY)
            assert fetched.headers["content-type"] == part["fileData"]["mimeType"]
            digest = hashlib.sha256(fetched.content).hexdigest()
            assert base64.b64decode(file["sha256Hash"]).decode() == digest
        kept = error(await darkroom.client.delete(uri, headers=KEY))
        assert (kept["code"], kept["status"]) == (400, "FAILED_PRECONDITION")
        stranger = {"x-goog-api-key": await darkroom.test_key_of(await darkroom.live_key())}
        for url in (uri, f"{uri}:download"):
            refused = error(await darkroom.client.get(url, headers=stranger))
            assert refused["status"] == "PERMISSION_DENIED"
        shown = await ask(darkroom, chat("A cat", answer, "Make it blue"))
        made = (await darkroom.get(f"/account/requests/{shown.headers['x-request-id']}")).json()
        assert made["previous_request_id"] == answer.headers["x-request-id"]
        edit = cat()
        edit["contents"][0]["parts"].append({"fileData": {"fileUri": uri}})
        (inline,) = parts(await ask(darkroom, edit, path=f"v1/models/{PRO}:generateContent"))
        assert data(inline)
        linked = f"v1/models/{PRO}:generateContent?delivery=url"
        assert "fileData" in parts(await ask(darkroom, edit, path=linked))[0]
        wrong = error(await ask(darkroom, CAT, x_darkroom_delivery="post"))
        assert wrong["status"] == "INVALID_ARGUMENT"

    play(tmp_path, story)


async def upload(darkroom: Darkroom, data: bytes, **file: Any) -> httpx.Response:
    """Begin an upload: the answer with its address."""
    return await darkroom.client.post(
        "/gemini/upload/v1beta/files",
        json={"file": file},
        headers={
            **KEY,
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(data)),
            "x-goog-upload-header-content-type": "image/png",
        },
    )


async def send(
    darkroom: Darkroom, url: str, command: str, offset: int = 0, data: bytes = b""
) -> httpx.Response:
    """A step of an upload; no key goes with it."""
    headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(offset)}
    return await darkroom.client.post(url, content=data, headers=headers)


def test_a_file_comes_in_chunks_and_is_used(tmp_path: Path) -> None:
    whole = photo(kind="PNG") + bytes(300_000)

    async def story(darkroom: Darkroom) -> None:
        begun = await upload(darkroom, whole, displayName="a cat", name="files/my-cat")
        assert (begun.status_code, begun.content) == (200, b"")
        url = begun.headers["x-goog-upload-url"]
        assert url.startswith("http://darkroom.test/gemini/upload/v1beta/files?upload_id=")
        half = 2**18
        first = await send(darkroom, url, "upload", 0, whole[:half])
        assert first.headers["x-goog-upload-status"] == "active"
        asked = await send(darkroom, url, "query")
        assert asked.headers["x-goog-upload-size-received"] == str(half)
        last = await send(darkroom, url, "upload, finalize", half, whole[half:])
        assert last.headers["x-goog-upload-status"] == "final"
        file = last.json()["file"]
        assert (file["name"], file["displayName"]) == ("files/my-cat", "a cat")
        assert file["sizeBytes"] == str(len(whole))
        found = await darkroom.client.get("/gemini/v1beta/files/my-cat", headers=KEY)
        assert found.json() == file
        listed = await darkroom.client.get("/gemini/v1beta/files", headers=KEY)
        assert listed.json() == {"files": [file]}
        edit = cat()
        edit["contents"][0]["parts"].append({"file_data": {"file_uri": file["uri"]}})
        answer = await ask(darkroom, edit)
        # The shape of the file: 64 by 48.
        assert Image.open(io.BytesIO(data(parts(answer)[0]))).size == (1200, 896)
        refused = await darkroom.client.get("/gemini/v1/files/my-cat:download", headers=KEY)
        assert error(refused)["code"] == 400
        taken = error(await upload(darkroom, whole, name="files/my-cat"))
        assert (taken["code"], taken["status"]) == (409, "ALREADY_EXISTS")
        verb = await darkroom.client.delete("/gemini/v1beta/files/my-cat:download", headers=KEY)
        assert error(verb)["code"] == 404
        assert (await ask(darkroom, edit)).status_code == 200
        gone = await darkroom.client.delete("/gemini/v1beta/files/my-cat", headers=KEY)
        assert (gone.status_code, gone.json()) == (200, {})
        assert (await darkroom.client.get("/gemini/v1/files", headers=KEY)).json() == {}
        back = await send(darkroom, url, "upload, finalize", half, whole[half:])
        assert error(back)["code"] == 403
        missing = error(await ask(darkroom, edit))
        assert (missing["code"], "my-cat" in missing["message"]) == (403, True)

    play(tmp_path, story)


def test_an_upload_that_goes_wrong_says_that_it_has_ended(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        url = (await upload(darkroom, b"abc")).headers["x-goog-upload-url"]
        for command, offset, text in (
            ("upload, finalize", 7, b"abc"),
            ("dance", 0, b"abc"),
            ("upload, finalize", 0, b"abcd"),
        ):
            wrong = await send(darkroom, url, command, offset, text)
            assert error(wrong)["code"] == 400
            assert wrong.headers["x-goog-upload-status"] == "cancelled"
        cancelled = await send(darkroom, url, "cancel")
        assert cancelled.headers["x-goog-upload-status"] == "cancelled"
        forged = await send(darkroom, url.replace("upload_id=", "upload_id=A"), "query")
        assert error(forged)["code"] == 403
        unknown = await darkroom.client.post("/gemini/upload/v1/files", headers=KEY)
        assert error(unknown)["code"] == 400
        assert error(await upload(darkroom, b"abc", name=f"files/img{'a' * 26}n0"))["code"] == 400

    play(tmp_path, story)


def test_no_more_is_read_than_an_upload_announced(tmp_path: Path) -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while len(read) < 1000:
            read.append(1)
            yield bytes(1000)

    async def story(darkroom: Darkroom) -> None:
        async def asked(url: str, command: str) -> httpx.Response:
            read.clear()
            headers = {"x-goog-upload-command": command, "x-goog-upload-offset": "0"}
            return await darkroom.client.post(url, content=endless(), headers=headers)

        url = (await upload(darkroom, b"abc")).headers["x-goog-upload-url"]
        forged = url.replace("upload_id=", "upload_id=A")
        for command in ("upload", "upload, finalize", "query", "cancel"):
            assert (await asked(forged, command)).status_code == 403
            assert not read
        for command in ("query", "cancel"):
            assert (await asked(url, command)).status_code == 200
            assert not read
        assert error(await asked(url, "finalize"))["message"].startswith("3 bytes were announced")
        assert not read
        long = await asked(url, "upload, finalize")
        assert "at most 3 bytes" in error(long)["message"]
        assert len(read) == 1
        start = {**KEY, "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
        read.clear()
        much = await darkroom.client.post(
            "/gemini/upload/v1/files", content=endless(), headers=start
        )
        assert "at most 65536 bytes" in error(much)["message"]
        assert len(read) == 66

    play(tmp_path, story)


def test_an_upload_that_cannot_begin_is_refused_shortly(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        headers = {**KEY, "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
        for body in (rb'{"\ud800": 1}', b'{"%s": 1}' % (b"x" * 60_000)):
            url = "/gemini/upload/v1beta/files"
            answer = await darkroom.client.post(url, content=body, headers=headers)
            assert error(answer)["code"] == 400
            assert len(answer.content) < 2000

    play(tmp_path, story)


def test_an_account_without_room_for_a_file_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ACCOUNT_BYTES", 2)

    async def story(darkroom: Darkroom) -> None:
        answer = await upload(darkroom, b"abc")
        found = error(answer)
        assert (found["code"], found["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert "Delete some files" in found["message"]
        assert "details" not in found
        assert "retry-after" not in answer.headers

    play(tmp_path, story)


def test_events_are_googles(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        path = f"v1/models/{OLD}:streamGenerateContent?alt=sse"
        answer = await ask(darkroom, CAT, path=path)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["content-disposition"] == "attachment"
        *frames, end = answer.content.split(b"\r\n\r\n")
        assert end == b""
        chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
        assert [list(c["candidates"][0]["content"]["parts"][0]) for c in chunks] == [
            ["text", "thoughtSignature"],
            ["inlineData", "thoughtSignature"],
        ]
        assert [c["candidates"][0].get("finishReason") for c in chunks] == [None, "STOP"]
        assert chunks[0]["responseId"] == answer.headers["x-request-id"].removeprefix("req_")

    play(tmp_path, story)


@pytest.mark.parametrize("events", [True, False])
def test_a_slow_stream_shows_life_and_an_error_after_that_is_bare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: bool
) -> None:
    monkeypatch.setattr(streaming, "KEEP_ALIVE_S", 0.01)
    released = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        await released.wait()
        return refusal(400, "INVALID_ARGUMENT", "too dark")

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        asyncio.get_running_loop().call_later(0.1, released.set)
        path = f"v1/models/{PRO}:streamGenerateContent{'?alt=sse' if events else ''}"
        answer = await ask(darkroom, CAT, key, path)
        assert answer.status_code == 200
        assert answer.content.startswith(b"\r\n\r\n")
        found = answer.json() if events else answer.json()[0]
        assert found["error"]["status"] == "INVALID_ARGUMENT"
        assert await darkroom.balance_micros(key) == 10_000_000
        await darkroom.check()

    play(tmp_path, story, slow)


def test_a_stream_that_fails_at_once_has_a_status(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        prompt = cat("A cat [sandbox:server_error]")
        path = f"v1/models/{PRO}:streamGenerateContent"
        events = await ask(darkroom, prompt, path=f"{path}?alt=sse")
        assert (events.status_code, events.json()["error"]["status"]) == (500, "INTERNAL")
        array = await ask(darkroom, prompt, path=path)
        assert (array.status_code, array.json()[0]["error"]["status"]) == (500, "INTERNAL")

    play(tmp_path, story)


def test_predict_makes_what_imagen_made(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        path, body = f"v1beta/models/{PRO}:predict", {"instances": [{"prompt": "A cat"}]}
        answer = await ask(darkroom, body, key, path)
        found = answer.json()["predictions"]
        assert [p["mimeType"] for p in found] == ["image/png"] * 3
        assert all(base64.b64decode(p["bytesBase64Encoded"]) == png() for p in found)
        assert await darkroom.balance_micros(key) == 1_000_000 - 3 * 134_000
        told = {**body, "parameters": {"sampleCount": 1, "includeRaiReason": True}}
        linked = await ask(darkroom, told, key, path, x_darkroom_delivery="url")
        (prediction,) = linked.json()["predictions"]
        assert set(prediction) == {"mimeType", "fileUri"}
        many = {**body, "parameters": {"sampleCount": 99}}
        assert "parameters.sample_count" in (await ask(darkroom, many, key, path)).text
        await darkroom.check()

    play(tmp_path, story, withheld(), picture())


def test_predictions_that_were_all_filtered_are_none(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        path, body = f"v1/models/{PRO}:predict", {"instances": [{"prompt": "A [sandbox:blocked]"}]}
        assert (await ask(darkroom, body, path=path)).json() == {}
        told = {**body, "parameters": {"includeRaiReason": True}}
        (entry,) = (await ask(darkroom, told, path=path)).json()["predictions"]
        assert list(entry) == ["raiFilteredReason"]

    play(tmp_path, story)


def test_an_idempotency_key_has_one_outcome(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = await ask(darkroom, CAT, key, idempotency_key="k1")
        again = await ask(darkroom, CAT, key, idempotency_key="k1")
        assert again.content == first.content
        assert again.headers["idempotent-replayed"] == "true"
        other = error(await ask(darkroom, cat("A dog"), key, idempotency_key="k1"))
        assert (other["code"], other["status"]) == (409, "ALREADY_EXISTS")
        assert len(darkroom.upstream.calls) == 1

    play(tmp_path, story, picture())


def test_a_key_whose_request_still_runs_is_aborted(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        first = asyncio.create_task(ask(darkroom, CAT, key, idempotency_key="k1"))
        await gate.asked.wait()
        busy = error(await ask(darkroom, CAT, key, idempotency_key="k1"))
        assert (busy["code"], busy["status"]) == (409, "ABORTED")
        gate.opened.set()
        assert data(parts(await first)[0]) == png()

    play(tmp_path, story, gate)
