"""OpenAI's files and batches through the function, from the form to the lines of results."""

from __future__ import annotations

import base64
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from shared import sweep
from tests.darkroom import TEST_KEY, Darkroom, photo, play

pytestmark = pytest.mark.pictures
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
PRO = "nano-banana-pro"


def line(custom_id: str, endpoint: str = GENERATIONS, **body: Any) -> dict[str, Any]:
    said = {"model": PRO, "prompt": "A red bicycle", **body}
    return {"custom_id": custom_id, "method": "POST", "url": endpoint, "body": said}


def jsonl(*lines: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


async def sent(
    darkroom: Darkroom, data: bytes, key: str = TEST_KEY, **fields: str
) -> httpx.Response:
    return await darkroom.client.post(
        "/openai/v1/files",
        files={"file": ("lines.jsonl", data, "application/octet-stream")},
        data={"purpose": "batch", **fields},
        headers={"authorization": f"Bearer {key}"},
    )


async def made(
    darkroom: Darkroom, *lines: object, key: str = TEST_KEY, **said: Any
) -> dict[str, Any]:
    """A batch of these lines, just created."""
    file = (await sent(darkroom, jsonl(*lines), key)).json()
    answer = await created(darkroom, file["id"], key, **said)
    assert answer.status_code == 200, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


async def created(
    darkroom: Darkroom,
    file_id: str,
    key: str = TEST_KEY,
    headers: dict[str, str] | None = None,
    **said: Any,
) -> httpx.Response:
    body = {"endpoint": GENERATIONS, "completion_window": "24h", **said, "input_file_id": file_id}
    return await darkroom.post("/openai/v1/batches", body, key, **(headers or {}))


async def looked(darkroom: Darkroom, batch_id: str, key: str = TEST_KEY) -> dict[str, Any]:
    batch: dict[str, Any] = (await darkroom.get(f"/openai/v1/batches/{batch_id}", key)).json()
    return batch


async def ended(darkroom: Darkroom, batch_id: str, key: str = TEST_KEY) -> dict[str, Any]:
    """The batch once it has ended, however long that takes."""
    for _ in range(20):
        await darkroom.deliver()
        batch = await looked(darkroom, batch_id, key)
        if batch["status"] in ("completed", "cancelled", "expired", "failed"):
            return batch
        darkroom.pass_time(timedelta(minutes=1))
        await sweep.sweep(darkroom.app, darkroom.now)
    raise AssertionError(batch)


async def lines_of(darkroom: Darkroom, file_id: str, key: str = TEST_KEY) -> dict[str, Any]:
    """A file of results, by custom_id. It is as long as it says."""
    answer = await darkroom.get(f"/openai/v1/files/{file_id}/content", key)
    assert answer.headers["content-type"] == "application/octet-stream"
    shown = (await darkroom.get(f"/openai/v1/files/{file_id}", key)).json()
    assert shown["bytes"] == len(answer.content)
    assert shown["filename"] in answer.headers["content-disposition"]
    found = [json.loads(one) for one in answer.content.splitlines()]
    return {one["custom_id"]: one for one in found}


def test_a_batch_from_file_to_results(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        lines = [line("one", size="1536x1024"), line("two", prompt="A cup", output_format="jpeg")]
        batch = await made(darkroom, *lines, metadata={"order": "7"})
        assert batch["id"].startswith("batch_")
        assert (batch["status"], batch["metadata"]) == ("validating", {"order": "7"})
        done = await ended(darkroom, batch["id"])
        assert (done["status"], done["error_file_id"]) == ("completed", None)
        assert done["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
        results = await lines_of(darkroom, done["output_file_id"])
        body = results["one"]["response"]["body"]
        assert (body["size"], body["output_format"]) == ("1264x848", "png")
        assert body["usage"]["total_tokens"] > 0
        assert results["two"]["response"]["body"]["output_format"] == "jpeg"
        for result in results.values():
            assert (result["response"]["status_code"], result["error"]) == (200, None)
            (item,) = result["response"]["body"]["data"]
            with Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) as picture:
                assert f"{picture.width}x{picture.height}" == result["response"]["body"]["size"]

    play(tmp_path, story)


def test_each_item_ends_in_one_of_the_files(tmp_path: Path) -> None:
    """An edit goes by a picture sent before; what is blocked is an error like the single call's."""

    async def story(darkroom: Darkroom) -> None:
        picture = (await sent(darkroom, photo(), purpose="vision")).json()
        images = [{"file_id": picture["id"]}]
        lines = [
            line("good", EDITS, images=images, n=2),
            line("bad", EDITS, images=images, prompt="A cup [sandbox:blocked]"),
        ]
        done = await ended(darkroom, (await made(darkroom, *lines, endpoint=EDITS))["id"])
        assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
        good = (await lines_of(darkroom, done["output_file_id"]))["good"]
        pictures = [item["b64_json"] for item in good["response"]["body"]["data"]]
        assert len(set(pictures)) == 2
        bad = (await lines_of(darkroom, done["error_file_id"]))["bad"]
        assert (bad["response"]["status_code"], bad["error"]) == (400, None)
        assert bad["response"]["body"]["error"]["code"] == "moderation_blocked"
        # The results are files like any other, but that they stay with their batch.
        listed = (await darkroom.get("/openai/v1/files", purpose="batch_output")).json()["data"]
        assert {file["id"] for file in listed} == {done["output_file_id"], done["error_file_id"]}
        kept = await darkroom.client.delete(
            f"/openai/v1/files/{done['output_file_id']}",
            headers={"authorization": f"Bearer {TEST_KEY}"},
        )
        assert kept.status_code == 400

    play(tmp_path, story)


def test_what_is_cancelled_is_in_the_errors(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        batch = await made(darkroom, line("one"))
        path = f"/openai/v1/batches/{batch['id']}/cancel"
        stopping = (await darkroom.post(path, {})).json()
        assert (stopping["status"], stopping["cancelling_at"]) == (
            "cancelling",
            batch["created_at"],
        )
        done = await ended(darkroom, batch["id"])
        assert (done["status"], done["output_file_id"]) == ("cancelled", None)
        assert done["cancelled_at"] >= done["cancelling_at"]
        one = (await lines_of(darkroom, done["error_file_id"]))["one"]
        assert (one["response"], one["error"]["code"]) == (None, "batch_cancelled")
        again = await darkroom.post(path, {})
        assert again.status_code == 409
        assert again.headers["x-should-retry"] == "false"
        assert "status 'cancelled'" in again.json()["error"]["message"]

    play(tmp_path, story)


def test_what_expires_is_in_the_errors(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        batch = await made(darkroom, line("one"))
        darkroom.pass_time(timedelta(hours=50))
        await sweep.sweep(darkroom.app, darkroom.now)
        done = await ended(darkroom, batch["id"])
        assert (done["status"], done["completed_at"]) == ("expired", None)
        one = (await lines_of(darkroom, done["error_file_id"]))["one"]
        assert (one["response"], one["error"]["code"]) == (None, "batch_expired")

    play(tmp_path, story)


def test_a_batch_of_bad_lines_has_failed(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        data = jsonl(
            line("a", stream=True),
            line("b", response_format="url"),
            line("c", endpoint=EDITS),
            line("d", model="no-such-model"),
            line("e", size="9999x1"),
            line("f", n=99),
            {"custom_id": "g", "method": "GET", "url": GENERATIONS, "body": {}},
            line("h"),
            line("h"),
        )
        file = (await sent(darkroom, data + b"no json\n")).json()
        batch = (await created(darkroom, file["id"])).json()
        assert (batch["status"], batch["failed_at"]) == ("failed", batch["created_at"])
        assert batch["errors"]["object"] == "list"
        told = [(e["line"], e["code"], e["param"]) for e in batch["errors"]["data"]]
        assert told == [
            (1, "invalid_value", "body.stream"),
            (2, "invalid_value", "body.response_format"),
            (3, "invalid_url", "url"),
            (4, "model_not_found", "body.model"),
            (5, "invalid_value", "body.size"),
            (6, "invalid_value", "body.n"),
            (7, "invalid_method", "method"),
            (9, "invalid_custom_id", "custom_id"),
            (10, "invalid_json_line", None),
        ]
        assert all(error["message"] for error in batch["errors"]["data"])
        empty = (await sent(darkroom, b"")).json()
        (error,) = (await created(darkroom, empty["id"])).json()["errors"]["data"]
        assert (error["code"], error["line"]) == ("empty_file", None)

    play(tmp_path, story)


def test_what_is_passed_over_in_lines_is_named(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        file = (await sent(darkroom, jsonl(line("a", user="u"), line("b", style="vivid")))).json()
        expires = {"anchor": "created_at", "seconds": 3600}
        answer = await created(darkroom, file["id"], output_expires_after=expires)
        ignored = answer.headers["x-darkroom-ignored"]
        assert ignored == "output_expires_after, style, user"

    play(tmp_path, story)


def test_files_are_kept_listed_read_and_deleted(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await sent(
            darkroom, b"{}\n", **{"expires_after[anchor]": "created_at"}, purpose="user_data"
        )
        assert answer.headers["x-darkroom-ignored"] == "expires_after"
        first = answer.json()
        assert (first["purpose"], first["filename"]) == ("user_data", "lines.jsonl")
        assert first["expires_at"] - first["created_at"] == 48 * 3600
        ids = [first["id"]]
        for _ in range(2):
            darkroom.pass_time(timedelta(seconds=1))
            ids.append((await sent(darkroom, b"x")).json()["id"])
        page = (await darkroom.get("/openai/v1/files", limit="2")).json()
        assert [file["id"] for file in page["data"]] == [ids[2], ids[1]]
        assert (page["has_more"], page["last_id"]) == (True, ids[1])
        rest = (await darkroom.get("/openai/v1/files", after=ids[1])).json()
        assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([ids[0]], False)
        asc = (await darkroom.get("/openai/v1/files", order="asc", purpose="batch")).json()
        assert [file["id"] for file in asc["data"]] == ids[1:]
        read = await darkroom.get(f"/openai/v1/files/{ids[0]}/content")
        assert (read.content, read.headers["content-disposition"]) == (
            b"{}\n",
            'attachment; filename="lines.jsonl"',
        )
        auth = {"authorization": f"Bearer {TEST_KEY}"}
        gone = await darkroom.client.delete(f"/openai/v1/files/{ids[0]}", headers=auth)
        assert gone.json() == {"id": ids[0], "object": "file", "deleted": True}
        for path in (ids[0], f"{ids[0]}/content"):
            missing = await darkroom.get(f"/openai/v1/files/{path}")
            assert missing.status_code == 404
            assert missing.json()["error"]["message"] == f"No such File object: {ids[0]}"

    play(tmp_path, story)


def test_others_files_and_batches_are_not_there(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        mine, other = await darkroom.live_key(), await darkroom.live_key()
        test = await darkroom.test_key_of(mine)
        batch = await made(darkroom, line("a"), key=test)
        done = await ended(darkroom, batch["id"], test)
        for path in (
            f"batches/{batch['id']}",
            f"files/{batch['input_file_id']}",
            f"files/{done['output_file_id']}",
            f"files/{done['output_file_id']}/content",
        ):
            assert (await darkroom.get(f"/openai/v1/{path}", mine)).status_code == 200
            assert (await darkroom.get(f"/openai/v1/{path}", other)).status_code == 404
        assert (await created(darkroom, batch["input_file_id"], other)).status_code == 404
        for path in ("batches", "files"):
            assert (await darkroom.get(f"/openai/v1/{path}", other)).json()["data"] == []
        # A batch of the native API is none of OpenAI's.
        native = await darkroom.post(
            "/batch", {"items": [{"custom_id": "a", "prompt": "A cup"}]}, test
        )
        own = native.json()["id"].replace("bat_", "batch_")
        results = f"{native.json()['id'].replace('bat_', 'file-')}-output"
        while (await darkroom.get(f"/batch/{native.json()['id']}", mine)).json()["status"] in (
            "accepted",
            "running",
            "collecting",
        ):
            darkroom.pass_time(timedelta(minutes=1))
            await sweep.sweep(darkroom.app, darkroom.now)
            await darkroom.deliver()
        for path in (f"batches/{own}", f"files/{results}", f"files/{results}/content"):
            assert (await darkroom.get(f"/openai/v1/{path}", mine)).status_code == 404

    play(tmp_path, story)


def test_a_repeat_finds_the_first_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        file = (await sent(darkroom, jsonl(line("a")))).json()["id"]
        ids = []
        for headers in (
            {},
            {"x_stainless_retry_count": "0"},
            {"x_stainless_retry_count": "1"},
            {"idempotency_key": "k"},
            {"idempotency_key": "k"},
        ):
            darkroom.pass_time(timedelta(seconds=1))
            ids.append((await created(darkroom, file, headers=headers)).json()["id"])
        assert ids[2] == ids[1] and ids[4] == ids[3]
        assert len(set(ids)) == 3
        conflict = await created(
            darkroom, file, headers={"idempotency_key": "k"}, metadata={"a": "b"}
        )
        assert conflict.status_code == 422
        page = (await darkroom.get("/openai/v1/batches", limit="2")).json()
        assert ([b["id"] for b in page["data"]], page["has_more"]) == ([ids[3], ids[1]], True)
        rest = (await darkroom.get("/openai/v1/batches", after=page["last_id"])).json()
        assert ([b["id"] for b in rest["data"]], rest["has_more"]) == ([ids[0]], False)
        darkroom.pass_time(timedelta(hours=1))
        late = await created(darkroom, file, headers={"x_stainless_retry_count": "1"})
        assert late.json()["id"] not in ids

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("said", "status", "param"),
    [
        ({"endpoint": "/v1/chat/completions"}, 400, "endpoint"),
        ({"completion_window": "1h"}, 400, "completion_window"),
        ({"input_file_id": "file-none"}, 404, "input_file_id"),
        ({"input_file_id": "upl_none"}, 404, "input_file_id"),
        ({"input_file_id": "upl_/../x"}, 404, "input_file_id"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(
    tmp_path: Path, said: dict[str, Any], status: int, param: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"input_file_id": "x", "endpoint": GENERATIONS, "completion_window": "24h", **said}
        answer = await darkroom.post("/openai/v1/batches", body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, param)

    play(tmp_path, story)


def test_what_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        wrong = await sent(darkroom, b"x", purpose="fun")
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "purpose")
        no_form = await darkroom.post("/openai/v1/files", {"purpose": "batch"})
        assert (no_form.status_code, no_form.json()["error"]["param"]) == (400, "file")
        large = await sent(darkroom, b"x" * (32 * 2**20))
        assert large.status_code == 413
        assert "/account/uploads" in large.json()["error"]["message"]
        picture = (await sent(darkroom, photo(), purpose="vision")).json()
        batch = await created(darkroom, picture["id"])
        assert (batch.status_code, batch.json()["error"]["param"]) == (400, "input_file_id")

    play(tmp_path, story)


def test_without_credit_there_is_no_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        poor = await darkroom.live_key(usd=0)
        file = (await sent(darkroom, jsonl(line("a")), poor)).json()
        answer = await created(darkroom, file["id"], poor)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
        assert answer.headers["x-should-retry"] == "false"
        assert (await darkroom.get("/openai/v1/batches", poor)).json()["data"] == []

    play(tmp_path, story)


def test_an_upload_is_a_batch_too(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        data = jsonl(line("a"))
        said = {"filename": "a.jsonl", "content_type": "application/jsonl", "bytes": len(data)}
        ticket = (await darkroom.post("/account/uploads", said)).json()
        put = await darkroom.client.put(ticket["url"], content=data, headers=ticket["headers"])
        assert put.status_code < 300
        batch = (await created(darkroom, ticket["upload_id"])).json()
        assert batch["request_counts"]["total"] == 1

    play(tmp_path, story)
