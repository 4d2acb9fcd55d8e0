"""`/batch` as its callers meet it: taken in, watched, cancelled, read back; and what it costs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import sweep
from shared.domain import Limits
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.played import Played

pytestmark = pytest.mark.pictures
MODEL = "nano-banana-2-lite"
UNIT_USD, BATCH_UNIT_MICROS = 33_600, 16_800
OPENAI = {"OPENAI_API_KEY": "a-key"}


def items(count: int, **fields: Any) -> list[dict[str, Any]]:
    """So many items, by the names i0, i1 and so on."""
    return [{"custom_id": f"i{n}", "prompt": f"cup {n}", **fields} for n in range(count)]


async def created(
    darkroom: Darkroom, key: str = TEST_KEY, count: int = 3, **fields: Any
) -> dict[str, Any]:
    """A batch just taken in."""
    body = {"model": MODEL, "items": items(count), **fields}
    answer = await darkroom.post("/batch", body, key)
    assert answer.status_code == 202, answer.text
    batch: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/batch/{batch['id']}"
    return batch


async def ended(
    darkroom: Darkroom, batch: Mapping[str, Any], key: str = TEST_KEY
) -> dict[str, Any]:
    """The batch once it has ended, time going by."""
    for _ in range(60):
        await sweep.sweep(darkroom.app, darkroom.now)
        await darkroom.deliver()
        shown: dict[str, Any] = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        if shown["completed_at"] is not None:
            return shown
        darkroom.pass_time(timedelta(seconds=30))
    raise AssertionError(shown)


async def results(
    darkroom: Darkroom, batch: Mapping[str, Any], key: str = TEST_KEY
) -> dict[str, dict[str, Any]]:
    """Its results by name; each is there once."""
    answer = await darkroom.get(f"/batch/{batch['id']}/results", key)
    assert answer.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def live(darkroom: Darkroom) -> Played:
    """The providers a live key reaches."""
    played = Played(lambda: darkroom.now)
    darkroom.upstream.script[:] = [played]
    return played


async def unused(_: object) -> Any:
    """Stands where `live` puts the providers."""
    raise AssertionError


@pytest.mark.parametrize(("mode", "unit"), [("auto", BATCH_UNIT_MICROS), ("fanout", UNIT_USD)])
def test_a_batch_is_made_and_charged_once(tmp_path: Path, mode: str, unit: int) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 3, mode=mode, metadata={"job": "7"})
        assert batch["counts"] == {"total": 3, "succeeded": 0, "failed": 0, "cancelled": 0}
        assert (batch["status"], batch["mode"], batch["metadata"]) == (
            "accepted",
            mode,
            {"job": "7"},
        )
        assert batch["cost"] == {"estimated_usd": f"0.{unit * 3:06d}", "usd": "0.000000"}
        assert await darkroom.balance_micros(key) <= 10_000_000 - 3 * unit
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", 3)
        assert done["cost"]["usd"] == f"0.{unit * 3:06d}"
        assert await darkroom.balance_micros(key) == 10_000_000 - 3 * unit
        found = await results(darkroom, batch, key)
        assert set(found) == {"i0", "i1", "i2"}
        for line in found.values():
            assert (line["status"], line["cost"], line["error"]) == (
                "succeeded",
                {"usd": f"0.{unit:06d}"},
                None,
            )
            [image] = line["images"]
            assert len((await darkroom.client.get(image["url"])).content) == image["bytes"]
        assert played.count("POST", ":batchGenerateContent") == (mode == "auto")
        assert played.count("POST", ":generateContent") == (0 if mode == "auto" else 3)
        usage = (await darkroom.get("/account/usage", key)).json()["data"]
        assert [(u["requests"], u["images"]) for u in usage] == [(3, 3)]
        await darkroom.check()

    play(tmp_path, story, unused)


def test_pictures_of_a_batch_are_the_accounts_own(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        batch = await created(darkroom, count=1)
        await ended(darkroom, batch)
        [image] = (await results(darkroom, batch))["i0"]["images"]
        path = f"/account/images/{image['id']}"
        assert (await darkroom.get(path)).status_code == 200
        other = await darkroom.test_key_of(await darkroom.live_key())
        assert (await darkroom.get(path, other)).status_code == 404
        edit = {"model": "nano-banana", "prompt": "bluer", "images": [{"image_id": image["id"]}]}
        assert (await darkroom.post("/edit", edit)).status_code == 200
        assert (await darkroom.post("/edit", edit, other)).status_code == 404

    play(tmp_path, story)


def test_every_bad_line_is_told_and_nothing_is_begun(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        bad = [
            {"custom_id": "a", "prompt": "fine"},
            {"custom_id": "a", "prompt": "the same name"},
            {"prompt": "no name"},
            {"custom_id": "c"},
            {"custom_id": "d", "prompt": "x", "aspect_ratio": "17:3"},
            {"custom_id": "e", "prompt": "x", "model": "no-such-model"},
            {"custom_id": "f", "prompt": "x", "webhook_url": "https://example.com"},
        ]
        answer = await darkroom.post("/batch", {"model": MODEL, "items": bad}, key)
        assert answer.status_code == 400
        told = {one["line"]: one["param"] for one in answer.json()["error"]["details"]["lines"]}
        assert told == {
            2: "custom_id",
            3: "custom_id",
            4: "prompt",
            5: "aspect_ratio",
            6: "model",
            7: "webhook_url",
        }
        assert (await darkroom.get("/batch", key)).json()["data"] == []
        assert await darkroom.balance_micros(key) == 10_000_000
        assert await darkroom.app.storage.list("items/") == ()
        assert played.calls == []

    play(tmp_path, story, unused)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"items": [], "model": MODEL}, "items"),
        ({"items": items(1), "upload_id": "upl_x"}, None),
        ({"upload_id": "upl_none"}, "upload_id"),
        ({"upload_id": "../../x"}, "upload_id"),
        ({"items": items(1), "mode": "cheap"}, "mode"),
        ({"items": items(1), "webhook_url": "http://10.0.0.1/"}, "webhook_url"),
        ({"items": items(1), "color": "red"}, "color"),
        ({"items": items(1), "model": "seedream-4.5", "mode": "provider"}, "items"),
    ],
)
def test_a_body_that_cannot_be_is_refused(
    tmp_path: Path, body: dict[str, Any], param: str | None
) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.post("/batch", body)
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["error"]["param"] == param

    play(tmp_path, story)


def test_all_of_it_has_to_be_covered_by_credit(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        body = {"model": MODEL, "items": items(100)}
        answer = await darkroom.post("/batch", body, key)
        assert answer.status_code == 402
        assert await darkroom.balance_micros(key) == 1_000_000
        assert await darkroom.app.storage.list("items/") == ()

    play(tmp_path, story, unused)


def test_the_same_key_again_is_the_same_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        body = {"model": MODEL, "items": items(2)}
        first = await darkroom.post("/batch", body, idempotency_key="k")
        again = await darkroom.post("/batch", body, idempotency_key="k")
        assert again.json()["id"] == first.json()["id"]
        replays = [answer.headers.get("idempotent-replayed") for answer in (first, again)]
        assert replays == [None, "true"]
        other = await darkroom.post("/batch", {**body, "mode": "fanout"}, idempotency_key="k")
        assert other.status_code == 422
        done = await ended(darkroom, first.json())
        assert done["counts"]["succeeded"] == 2
        assert len((await darkroom.get("/batch")).json()["data"]) == 1

    play(tmp_path, story)


def test_an_uploaded_file_is_a_batch(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        edit = {"custom_id": "e", "prompt": "p", "images": [{"b64_json": photo_text()}]}
        lines = [*items(2), {**edit, "model": "nano-banana"}]
        data = "\n".join(map(json.dumps, lines)).encode()
        wanted = {"filename": "a.jsonl", "content_type": "application/jsonl", "bytes": len(data)}
        leave = (await darkroom.post("/account/uploads", wanted)).json()
        put = await darkroom.client.put(leave["url"], content=data, headers=leave["headers"])
        assert put.status_code == 204
        assert await darkroom.deliver() == 0
        sent = {"upload_id": leave["upload_id"], "model": MODEL}
        batch = (await darkroom.post("/batch", sent)).json()
        done = await ended(darkroom, batch)
        assert done["counts"]["succeeded"] == 3
        assert set(await results(darkroom, batch)) == {"i0", "i1", "e"}

    play(tmp_path, story)


def photo_text() -> str:
    """A picture in base64."""
    return base64.b64encode(photo()).decode()


@pytest.mark.parametrize("mode", ["provider", "fanout"])
def test_an_item_that_fails_takes_no_other_with_it(tmp_path: Path, mode: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key()
        some = [
            {"custom_id": "good", "prompt": "a cup"},
            {"custom_id": "blocked", "prompt": "[sandbox:blocked]"},
            {"custom_id": "words", "prompt": "[sandbox:text_only]"},
        ]
        body = {"model": MODEL, "items": some, "mode": mode}
        batch = (await darkroom.post("/batch", body, key)).json()
        done = await ended(darkroom, batch, key)
        assert done["status"] == "succeeded"
        assert done["counts"] == {"total": 3, "succeeded": 1, "failed": 2, "cancelled": 0}
        found = await results(darkroom, batch, key)
        codes = {name: line["error"] and line["error"]["code"] for name, line in found.items()}
        assert codes == {"good": None, "blocked": "content_blocked", "words": "no_image"}
        unit = BATCH_UNIT_MICROS if mode == "provider" else UNIT_USD
        assert await darkroom.balance_micros(key) == 10_000_000 - unit
        await darkroom.check()

    play(tmp_path, story, unused)


def test_edits_and_generations_go_to_openai_in_batches_of_their_own(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        some: Sequence[dict[str, Any]] = [
            *items(2),
            {"custom_id": "e", "prompt": "bluer", "images": [{"b64_json": photo_text()}]},
        ]
        body = {"model": "gpt-image", "items": some, "mode": "provider"}
        answer = await darkroom.post("/batch", body, key)
        assert answer.status_code == 202, answer.text
        done = await ended(darkroom, answer.json(), key)
        assert done["counts"]["succeeded"] == 3, await results(darkroom, done, key)
        assert played.count("POST", "/v1/batches") == 2
        assert set(await results(darkroom, done, key)) == {"i0", "i1", "e"}
        await darkroom.check()

    play(tmp_path, story, unused, env=OPENAI)


@pytest.mark.parametrize("mode", ["provider", "fanout"])
def test_a_batch_is_cancelled_before_it_begins(tmp_path: Path, mode: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 3, mode=mode)
        answer = await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
        assert answer.status_code == 200
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["cancelled"]) == ("cancelled", 3)
        assert await darkroom.balance_micros(key) == 10_000_000
        assert {line["status"] for line in (await results(darkroom, batch, key)).values()} == {
            "cancelled"
        }
        assert played.calls == []
        again = await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        await darkroom.check()

    play(tmp_path, story, unused)


def test_a_batch_is_cancelled_while_its_provider_has_it(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 3)
        await darkroom.deliver()
        assert played.count("POST", ":batchGenerateContent") == 1
        await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
        done = await ended(darkroom, batch, key)
        assert done["status"] == "cancelled"
        assert played.count("POST", ":cancel") >= 1
        counts = done["counts"]
        assert counts["succeeded"] + counts["cancelled"] + counts["failed"] == 3
        spent = 10_000_000 - await darkroom.balance_micros(key)
        assert spent == counts["succeeded"] * BATCH_UNIT_MICROS
        await darkroom.check()

    play(tmp_path, story, unused)


def test_another_accounts_batch_is_not_there(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        batch = await created(darkroom)
        other = await darkroom.test_key_of(await darkroom.live_key())
        for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel")):
            answer = await darkroom.client.request(
                method,
                f"/batch/{batch['id']}{path}",
                headers={"authorization": f"Bearer {other}"},
            )
            assert answer.status_code == 404
        assert (await darkroom.get("/batch", other)).json()["data"] == []

    play(tmp_path, story)


def test_batches_are_listed_newest_first_page_by_page(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = []
        for _ in range(3):
            made.append((await created(darkroom, count=1))["id"])
            darkroom.pass_time(timedelta(seconds=1))
        first = (await darkroom.get("/batch", limit="2")).json()
        assert [one["id"] for one in first["data"]] == made[:0:-1]
        rest = (await darkroom.get("/batch", limit="2", cursor=first["next_cursor"])).json()
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[:1], False)

    play(tmp_path, story)


def test_a_batch_takes_no_place_among_running_requests(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key(limits=Limits(concurrency=1))
        batch = await created(darkroom, key)
        answer = await darkroom.post("/generate", {"model": MODEL, "prompt": "x"}, key)
        assert answer.status_code == 200
        await ended(darkroom, batch, key)
        await darkroom.check()

    play(tmp_path, story, unused)
