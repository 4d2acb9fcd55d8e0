"""`/gemini` batches, from HTTP to pictures made, stored, charged and shown as Google shows them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from shared import google_batches, names, sweep
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.functions.test_gemini import error, send
from tests.upstream import picture, withheld

pytestmark = pytest.mark.pictures
PRO, FANNED = "nano-banana-pro", "seedream-4-0"
NO_PICTURE = "[sandbox:no_image]"


def asked(prompt: str, **config: Any) -> dict[str, Any]:
    """A request of a batch."""
    more = {"generationConfig": config} if config else {}
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **more}


def inline(*requests: Mapping[str, Any], **batch: Any) -> dict[str, Any]:
    """A body that brings its requests."""
    return {"batch": {"inputConfig": {"requests": {"requests": list(requests)}}, **batch}}


async def call(
    darkroom: Darkroom, method: str, path: str, key: str = TEST_KEY, **more: Any
) -> httpx.Response:
    headers = {"x-goog-api-key": key, **more.pop("headers", {})}
    url = f"/gemini/{path}"
    return await darkroom.client.request(method, url, headers=headers, **more)


async def create(
    darkroom: Darkroom, body: Mapping[str, Any], key: str = TEST_KEY, model: str = PRO, **more: Any
) -> httpx.Response:
    path = f"v1beta/models/{model}:batchGenerateContent"
    return await call(darkroom, "POST", path, key, json=body, **more)


async def upload(darkroom: Darkroom, data: bytes, key: str = TEST_KEY) -> str:
    """A file of requests: its name."""
    headers = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(len(data)),
        "x-goog-upload-header-content-type": "application/jsonl",
    }
    begun = await call(darkroom, "POST", "upload/v1beta/files", key, headers=headers)
    url = begun.headers["x-goog-upload-url"]
    sent = await send(darkroom, url, "upload, finalize", data=data)
    return str(sent.json()["file"]["name"])


async def of_file(darkroom: Darkroom, *lines: Mapping[str, Any], **batch: Any) -> dict[str, Any]:
    """A body that names an uploaded file of these lines."""
    name = await upload(darkroom, "\n".join(map(json.dumps, lines)).encode())
    return {"batch": {"input_config": {"file_name": name}, **batch}}


async def ended(darkroom: Darkroom, made: httpx.Response, key: str = TEST_KEY) -> dict[str, Any]:
    """The operation once it is done."""
    assert made.status_code == 200, made.text
    for _ in range(30):
        await darkroom.deliver()
        found = await call(darkroom, "GET", f"v1beta/{made.json()['name']}", key)
        assert found.status_code == 200, found.text
        if found.json().get("done"):
            await darkroom.check()
            return dict(found.json())
        darkroom.pass_time(timedelta(minutes=2))
        await sweep.sweep(darkroom.app, darkroom.now)
    raise AssertionError(found.text)


async def download(darkroom: Darkroom, name: str, root: str = "download/") -> dict[str, Any]:
    """The lines of a file of answers, by their keys."""
    answer = await call(darkroom, "GET", f"{root}v1beta/{name}:download?alt=media")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in answer.content.splitlines()]
    by_key = {line["key"]: line for line in lines}
    assert len(by_key) == len(lines)
    return by_key


def drawn(response: dict[str, Any]) -> Image.Image:
    """The first picture of an answer."""
    part = response["candidates"][0]["content"]["parts"][-1]
    return Image.open(io.BytesIO(base64.b64decode(part["inlineData"]["data"], validate=True)))


@pytest.mark.parametrize("model", [PRO, FANNED])
def test_requests_in_the_body_are_answered_in_the_batch(tmp_path: Path, model: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        wide = {"aspectRatio": "16:9"}
        body = inline(
            {"request": asked(f"A {NO_PICTURE}"), "metadata": {"key": "a", "mine": [1, {"b": 2}]}},
            {"request": {"model": f"models/{model}", **asked("B", imageConfig=wide)}},
            {"request": asked("C [sandbox:server_error]"), "metadata": {"key": 3}},
            displayName="mine",
        )
        made = await create(darkroom, body, model=model)
        begun = made.json()
        about = begun["metadata"]
        assert begun["name"] == about["name"]
        assert (about["model"], about["displayName"]) == (f"models/{model}", "mine")
        assert about["state"] == "BATCH_STATE_PENDING"
        assert about["batchStats"] == {"requestCount": "3", "pendingRequestCount": "3"}
        assert set(begun) == {"name", "metadata"}
        assert "inputConfig" not in about
        batch = await ended(darkroom, made)
        assert batch["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
        stats = {"requestCount": "3", "successfulRequestCount": "1", "failedRequestCount": "2"}
        assert batch["metadata"]["batchStats"] == stats
        output = batch["metadata"]["output"]
        assert batch["response"].pop("@type").endswith("v1main.GenerateContentBatchOutput")
        assert batch["response"] == output
        first, second, third = output["inlinedResponses"]["inlinedResponses"]
        assert first["metadata"] == {"key": "a", "mine": [1, {"b": 2}]}
        assert first["response"]["candidates"][0]["finishReason"] == "NO_IMAGE"
        assert "metadata" not in second
        width, height = drawn(second["response"]).size
        assert width > height
        assert second["response"]["responseId"] == f"{begun['name'].removeprefix('batches/')}-1"
        assert "serviceTier" not in second["response"]["usageMetadata"]
        assert third["metadata"] == {"key": 3}
        assert third["error"]["code"] in (13, 14)
        listed = (await call(darkroom, "GET", "v1beta/batches")).json()["operations"]
        assert [one["name"] for one in listed] == [begun["name"]]
        assert "output" not in listed[0]["metadata"]
        assert "response" not in listed[0]

    play(tmp_path, story)


def test_a_file_is_answered_by_a_file(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        silent = asked("A cat", responseModalities=["IMAGE"])
        body = await of_file(
            darkroom,
            {"key": "cat", "request": silent},
            {"key": "none", "request": silent | asked(f"B {NO_PICTURE}")},
            {"request": {**asked("C [sandbox:blocked]"), "labels": {"a": "b"}}},
            priority=7,
        )
        made = await create(darkroom, body)
        assert made.headers["x-darkroom-ignored"].split(", ") == [
            "batch.priority",
            "labels",
            "generationConfig.responseModalities",
        ]
        open_file = made.json()["name"].replace("batches/", "files/batch-")
        assert error(await call(darkroom, "GET", f"v1beta/{open_file}"))["code"] == 403
        batch = await ended(darkroom, made)
        name = batch["metadata"]["output"]["responsesFile"]
        assert name == open_file == batch["response"]["responsesFile"]
        assert batch["metadata"]["inputConfig"]["fileName"].startswith("files/")
        found = await download(darkroom, name)
        assert set(found) == {"cat", "none", "2"}
        assert drawn(found["cat"]["response"]).size == (1024, 1024)
        assert found["none"]["response"]["candidates"][0]["finishReason"] == "NO_IMAGE"
        assert found["2"]["response"]["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
        assert await download(darkroom, name, "") == found
        file = (await call(darkroom, "GET", f"v1beta/{name}")).json()
        assert (file["name"], file["source"], file["state"]) == (name, "GENERATED", "ACTIVE")
        assert file["mimeType"] == "application/jsonl"
        assert file["downloadUri"].endswith(f"/gemini/download/v1beta/{name}:download?alt=media")
        assert "sizeBytes" not in file
        kept = error(await call(darkroom, "DELETE", f"v1beta/{name}"))
        assert kept["status"] == "FAILED_PRECONDITION"

    play(tmp_path, story)


def test_a_live_key_pays_for_what_is_delivered(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        two = {"request": asked("A", candidateCount=2)}
        dear = error(await create(darkroom, inline(*[two] * 20), key))
        assert (dear["code"], dear["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert (await call(darkroom, "GET", "v1/batches", key)).json() == {}
        assert await darkroom.balance_micros(key) == 1_000_000
        made = await create(darkroom, inline(two), key)
        assert await darkroom.balance_micros(key) < 1_000_000 - 2 * 134_000 + 1
        batch = await ended(darkroom, made, key)
        (one,) = batch["response"]["inlinedResponses"]["inlinedResponses"]
        candidates = one["response"]["candidates"]
        assert [c["finishReason"] for c in candidates] == ["STOP", "IMAGE_SAFETY"]
        assert one["response"]["usageMetadata"]["candidatesTokenCount"] == 1120
        assert one["response"]["modelVersion"] == "gemini-3-pro-image"
        assert await darkroom.balance_micros(key) == 1_000_000 - 134_000

    play(tmp_path, story, picture(), withheld())


def test_lines_that_cannot_be_done_are_named_and_nothing_is_kept(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        bad = (
            {"key": "a", "request": asked("A", imageConfig={"aspectRatio": "77:1"})},
            {"key": "b", "request": asked("B")},
            {"key": "b", "request": asked("B")},
            {"key": "c", "request": {"model": "models/other", **asked("C")}},
            {"key": "d", "request": {}, "config": {}},
            {"key": "e" * 256, "request": asked("E")},
        )
        refused = error(await create(darkroom, await of_file(darkroom, *bad)))
        assert (refused["code"], refused["status"]) == (400, "INVALID_ARGUMENT")
        told = refused["message"].splitlines()
        for line, words in (
            (1, "aspect"),
            (3, "twice"),
            (4, "models/other"),
            (6, "255 characters"),
        ):
            assert [one for one in told if one.startswith(f"line {line}: ") and words in one]
        assert "line 2" not in refused["message"]
        assert 'line 5: Invalid JSON payload received. Unknown name "config"' in refused["message"]
        items = [{"request": one["request"], "metadata": {"key": one["key"]}} for one in bad[:3]]
        refused = error(await create(darkroom, inline(*items)))
        (violations,) = (detail["fieldViolations"] for detail in refused["details"])
        assert [violation["field"] for violation in violations] == [
            "batch.input_config.requests.requests[0].request"
            ".generation_config.image_config.aspect_ratio",
            "batch.input_config.requests.requests[2]",
        ]
        assert (await call(darkroom, "GET", "v1beta/batches")).json() == {}
        assert [name for name in await darkroom.app.storage.list("") if "bat" in name] == []

    play(tmp_path, story)


def test_bodies_that_are_no_batch(tmp_path: Path) -> None:
    one = {"request": asked("A")}

    async def story(darkroom: Darkroom) -> None:
        for body, words in (
            ({}, "exactly one of requests and file_name"),
            ({"batch": {"inputConfig": {"requests": {}, "fileName": "files/a"}}}, "exactly one"),
            (inline(), "there are no requests"),
            (inline(one, model="models/other"), "The batch is for models/other"),
            (inline(one, displayName="x" * 513), "at most 512"),
            (inline(one, webhookConfig={"uris": ["https://a.test", "https://b.test"]}), "one is"),
            (inline(one, webhookConfig={"uris": ["ftp://a.test"]}), "http"),
            (inline(one, webhook_config={"uris": [], "user_metadata": {"a": 1}}), "user_metadata"),
            (inline(one, dest="gs://a"), 'Unknown name "dest" at'),
            (inline({"request": asked("A"), "key": "a"}), 'Unknown name "key" at'),
        ):
            refused = error(await create(darkroom, body))
            assert (refused["code"], refused["status"]) == (400, "INVALID_ARGUMENT")
            assert words in refused["message"]
        gone = error(await create(darkroom, {"batch": {"inputConfig": {"fileName": "files/no"}}}))
        assert (gone["code"], gone["status"]) == (403, "PERMISSION_DENIED")
        lost = error(await create(darkroom, inline(one), model="gemini-9"))
        assert "not supported for batchGenerateContent" in lost["message"]

    play(tmp_path, story)


def test_another_accounts_batch_is_not_there(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = await create(darkroom, inline({"request": asked(NO_PICTURE)}))
        batch = await ended(darkroom, made)
        stranger = await darkroom.live_key()
        name = batch["name"]
        for method, path in (
            ("GET", name),
            ("POST", f"{name}:cancel"),
            ("DELETE", name),
            ("GET", "batches/bat_x"),
            ("GET", f"{name}:cancel"),
            ("POST", f"{name}:stop"),
        ):
            found = error(await call(darkroom, method, f"v1beta/{path}", stranger))
            assert (found["code"], found["status"]) == (404, "NOT_FOUND")
        file = name.replace("batches/", "files/batch-")
        for path in (f"v1/{file}", f"v1/{file}:download", f"download/v1/{file}:download"):
            assert error(await call(darkroom, "GET", path, stranger))["code"] == 403
        native = await darkroom.post("/batch", {"items": [{"custom_id": "a", "prompt": "A"}]})
        other = native.json()["id"].removeprefix("bat_")
        assert error(await call(darkroom, "GET", f"v1/batches/{other}"))["code"] == 404
        assert len((await call(darkroom, "GET", "v1/batches")).json()["operations"]) == 1

    play(tmp_path, story)


def test_a_batch_is_cancelled_and_then_deleted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        slow = inline(*({"request": asked(f"{n} [sandbox:slow=60]")} for n in range(2)))
        made = await create(darkroom, slow)
        path = f"v1beta/{made.json()['name']}"
        early = error(await call(darkroom, "DELETE", path))
        assert (early["code"], early["status"]) == (400, "FAILED_PRECONDITION")
        for _ in range(2):
            assert (await call(darkroom, "POST", f"{path}:cancel", json={})).json() == {}
        batch = await ended(darkroom, made)
        assert batch["metadata"]["state"] == "BATCH_STATE_CANCELLED"
        assert batch["error"]["code"] == 1
        assert "output" not in batch["metadata"]
        assert "response" not in batch
        assert (await call(darkroom, "POST", f"{path}:cancel")).json() == {}
        assert (await call(darkroom, "DELETE", path)).json() == {}
        assert error(await call(darkroom, "GET", path))["code"] == 404
        assert (await call(darkroom, "GET", "v1beta/batches")).json() == {}

    play(tmp_path, story)


def test_a_deleted_batch_takes_its_answers_and_pictures_with_it(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = await create(darkroom, inline({"request": asked("A"), "metadata": {"key": "a"}}))
        batch = await ended(darkroom, made)
        storage = darkroom.app.storage
        assert len(await storage.list("images/")) == 1
        for _ in range(2):
            answer = await call(darkroom, "DELETE", f"v1beta/{batch['name']}")
        assert answer.status_code == 404
        assert await storage.list("images/") == await storage.list("batches/") == ()
        native = f"/batch/bat_{batch['name'].removeprefix('batches/')}"
        assert (await darkroom.get(native)).status_code == 404
        assert (await darkroom.get("/batch")).json()["data"] == []
        await darkroom.check()

    play(tmp_path, story)


def test_pictures_come_as_files_where_that_is_wanted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = await create(darkroom, inline({"request": asked("A"), "metadata": {"key": "a"}}))
        batch = await ended(darkroom, made)
        links = {"x-darkroom-delivery": "url"}
        found = await call(darkroom, "GET", f"v1beta/{batch['name']}", headers=links)
        (one,) = found.json()["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
        part = one["response"]["candidates"][0]["content"]["parts"][0]
        name = part["fileData"]["fileUri"].partition("/v1beta/")[2]
        file = (await call(darkroom, "GET", f"v1beta/{name}")).json()
        assert (file["source"], file["mimeType"]) == ("GENERATED", part["fileData"]["mimeType"])
        bytes_ = (await call(darkroom, "GET", f"v1beta/{name}:download")).content
        (whole,) = batch["response"]["inlinedResponses"]["inlinedResponses"]
        inlined = whole["response"]["candidates"][0]["content"]["parts"][0]["inlineData"]["data"]
        assert bytes_ == base64.b64decode(inlined)
        stranger = await darkroom.live_key()
        assert error(await call(darkroom, "GET", f"v1beta/{name}", stranger))["code"] == 403
        assert error(await call(darkroom, "DELETE", f"v1/{name}"))["status"] == (
            "FAILED_PRECONDITION"
        )

    play(tmp_path, story)


def test_pictures_too_large_for_one_answer_are_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_batches, "INLINE_BYTES", 10_000)

    async def story(darkroom: Darkroom) -> None:
        said = {"key": "a", "more": "b"}
        made = await create(darkroom, inline({"request": asked("A"), "metadata": said}))
        batch = await ended(darkroom, made)
        assert set(batch["metadata"]["output"]) == {"responsesFile"}
        found = await download(darkroom, batch["response"]["responsesFile"])
        assert found["a"]["metadata"] == said
        assert drawn(found["a"]["response"]).size == (1024, 1024)

    play(tmp_path, story)


def test_a_conversation_goes_on_in_a_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.test_key_of(await darkroom.live_key())
        path = f"v1beta/models/{PRO}:generateContent"
        first = (await call(darkroom, "POST", path, key, json=asked("A cat"))).json()
        said = first["candidates"][0]["content"]
        later = {"contents": [*asked("A cat")["contents"], said, *asked("Bluer")["contents"]]}
        made = await create(darkroom, inline({"request": later}, {"request": asked("B")}), key)
        assert "x-darkroom-ignored" not in made.headers
        caller = await darkroom.app.accounts.authenticate(key)
        [kept] = (await darkroom.app.records.batches(caller.account_id, None, 9, None)).items
        stored = await darkroom.app.storage.get(names.batch_chunk(kept.id, kept.intake, 0, 0))
        assert stored is not None
        assert f'"previous_request_id":"req_{first["responseId"]}"' in stored.data.decode()
        batch = await ended(darkroom, made, key)
        for one in batch["response"]["inlinedResponses"]["inlinedResponses"]:
            assert drawn(one["response"]).size == (1024, 1024)
        one = batch["response"]["inlinedResponses"]["inlinedResponses"][0]
        again = {
            "contents": [
                *asked("A cat")["contents"],
                one["response"]["candidates"][0]["content"],
                *asked("Bluer")["contents"],
            ]
        }
        answer = await call(darkroom, "POST", path, key, json=again)
        assert drawn(answer.json()).size == (1024, 1024)

    play(tmp_path, story)


def test_a_picture_uploaded_before_is_edited(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        name = await upload(darkroom, photo(kind="PNG"))
        file: dict[str, Any] = {"fileData": {"fileUri": name, "mimeType": "image/png"}}
        gone: dict[str, Any] = {"fileData": {"fileUri": "files/gone"}}
        body = inline(
            *(
                {"request": {"contents": [{"parts": [{"text": "Add a cat"}, part]}]}}
                for part in (file, gone)
            )
        )
        batch = await ended(darkroom, await create(darkroom, body))
        first, second = batch["response"]["inlinedResponses"]["inlinedResponses"]
        assert drawn(first["response"]).size
        assert (second["error"]["code"], second["error"]["status"]) == (5, "NOT_FOUND")

    play(tmp_path, story)


def test_a_key_for_repeats_makes_one_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        once = {"idempotency-key": "once"}
        body = inline({"request": asked(NO_PICTURE)})
        first = await create(darkroom, body, headers=once)
        again = await create(darkroom, body, headers=once)
        assert first.json()["name"] == again.json()["name"]
        other = inline({"request": asked("Another")})
        refused = error(await create(darkroom, other, headers=once))
        assert refused["code"] == 409

    play(tmp_path, story)


def test_batches_are_listed_page_by_page(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        names = []
        for _ in range(3):
            made = await create(darkroom, inline({"request": asked(NO_PICTURE)}))
            names.append(made.json()["name"])
            darkroom.pass_time(timedelta(seconds=1))
        first = (await call(darkroom, "GET", "v1/batches?pageSize=2")).json()
        token = first["nextPageToken"]
        second = (
            await call(darkroom, "GET", "v1/batches", params={"pageSize": 2, "pageToken": token})
        ).json()
        assert "nextPageToken" not in second
        listed = [one["name"] for page in (first, second) for one in page["operations"]]
        assert listed == names[::-1]
        wrong = error(await call(darkroom, "GET", "v1/batches?pageToken=x"))
        assert wrong["code"] == 400

    play(tmp_path, story)
