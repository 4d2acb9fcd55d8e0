"""`/account`: what a caller sees of its own, and of nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from functions import http
from shared.domain import Limits
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.upstream import Gate, picture, png, withheld

pytestmark = pytest.mark.pictures

CUP = {"model": "nano-banana", "prompt": "a cup"}
AUTH = {"authorization": f"Bearer {TEST_KEY}"}


def test_the_account_shows_its_balance_its_limits_and_their_use(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=5, limits=Limits(rpm=10, monthly_micros=3_000_000))
        await darkroom.post("/generate", {**CUP, "n": 2}, key)
        shown = (await darkroom.get("/account", key)).json()
        assert shown["balance_usd"] == shown["available_usd"] == "4.922000"
        assert shown["held_usd"] == "0.000000"
        assert shown["limits"] == {
            "rpm": 10,
            "rpd": None,
            "concurrency": None,
            "monthly_usd": "3.000000",
        }
        assert shown["usage"] == {
            "requests_this_minute": 1,
            "requests_today": 1,
            "running": 0,
            "spent_this_month_usd": "0.078000",
        }

    play(tmp_path, story, picture())


def test_what_is_held_is_neither_gone_nor_available(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        call = asyncio.create_task(darkroom.post("/generate", CUP, key))
        await gate.asked.wait()
        shown = (await darkroom.get("/account", key)).json()
        assert (shown["balance_usd"], shown["held_usd"]) == ("1.000000", "0.039000")
        assert shown["available_usd"] == "0.961000"
        assert shown["usage"]["running"] == 1
        gate.opened.set()
        await call
        shown = (await darkroom.get("/account", key)).json()
        assert (shown["balance_usd"], shown["held_usd"]) == ("0.961000", "0.000000")

    play(tmp_path, story, gate)


def test_requests_are_listed_newest_first_filtered_and_paged(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key, ids = await darkroom.live_key(), []
        for _ in range(5):
            made = await darkroom.post("/generate", CUP, key)
            ids.append(made.json().get("id") or made.json()["error"]["request_id"])
            darkroom.now = darkroom.now.replace(second=darkroom.now.second + 1)
        first = (await darkroom.get("/account/requests", key, limit="2")).json()
        assert first["object"] == "list"
        assert first["has_more"]
        rest = (
            await darkroom.get("/account/requests", key, limit="9", cursor=first["next_cursor"])
        ).json()
        assert [r["id"] for r in first["data"] + rest["data"]] == ids[::-1]
        assert not rest["has_more"] and rest["next_cursor"] is None
        failed = (await darkroom.get("/account/requests", key, status="failed")).json()["data"]
        assert [r["id"] for r in failed] == [ids[0]]
        edits = await darkroom.get("/account/requests", key, operation="edit")
        assert edits.json()["data"] == []
        assert (await darkroom.get("/account/requests")).json()["data"] == []

    play(tmp_path, story, withheld(), picture())


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"status": "fine"}, "status"),
        ({"operation": "dance"}, "operation"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_query_is_named(tmp_path: Path, query: dict[str, str], param: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.get("/account/requests", **query)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param

    play(tmp_path, story)


def test_a_deleted_request_is_gone_with_its_images_and_its_charge_stays(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        auth = {"authorization": f"Bearer {key}"}
        made = (await darkroom.post("/generate", CUP, key, idempotency_key="k")).json()
        url, path = made["images"][0]["url"], f"/account/requests/{made['id']}"
        assert (await darkroom.client.get(url)).status_code == 200
        deleted = await darkroom.client.delete(path, headers=auth)
        assert deleted.json() == {"id": made["id"], "object": "request", "deleted": True}
        assert (await darkroom.client.get(url)).status_code == 404
        assert (await darkroom.get(path, key)).status_code == 404
        assert (await darkroom.client.delete(path, headers=auth)).status_code == 404
        assert (await darkroom.get("/account/requests", key)).json()["data"] == []
        replay = await darkroom.post("/generate", CUP, key, idempotency_key="k")
        assert replay.status_code == 404
        kinds = {e["kind"] for e in (await darkroom.get("/account/ledger", key)).json()["data"]}
        assert kinds == {"grant", "charge"}
        usage = (await darkroom.get("/account/usage", key)).json()["data"]
        assert usage[0]["images"] == 1
        await darkroom.check()

    play(tmp_path, story, picture())


def test_usage_adds_up_by_day_model_and_provider(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        await darkroom.post("/generate", {**CUP, "n": 2}, key)
        await darkroom.post("/generate", {**CUP, "model": "nano-banana-pro"}, key)
        by_day = (await darkroom.get("/account/usage", key)).json()["data"]
        assert by_day == [
            {
                "day": "2026-11-21",
                "model": None,
                "provider": None,
                "requests": 2,
                "images": 3,
                "usd": "0.212000",
            }
        ]
        by_model = (await darkroom.get("/account/usage", key, group_by="model")).json()["data"]
        assert {r["model"]: r["usd"] for r in by_model} == {
            "gemini-2.5-flash-image": "0.078000",
            "gemini-3-pro-image": "0.134000",
        }
        by_provider = await darkroom.get("/account/usage", key, group_by="provider")
        assert [r["provider"] for r in by_provider.json()["data"]] == ["google"]
        for odd in (
            {"to": "0001-01-05"},
            {"from": "0001-01-01", "to": "0001-01-05"},
            {"from": "9999-12-01", "to": "9999-12-31"},
        ):
            assert (await darkroom.get("/account/usage", key, **odd)).json()["data"] == []
        before = {"from": "2026-11-01", "to": "2026-11-20"}
        assert (await darkroom.get("/account/usage", key, **before)).json()["data"] == []
        for wrong in (
            {"from": "yesterday"},
            {"group_by": "moon"},
            {"from": "2026-12-01"},
            {"from": "2024-01-01"},
            {"from": "0001-01-01"},
        ):
            assert (await darkroom.get("/account/usage", key, **wrong)).status_code == 400

    play(tmp_path, story, picture())


def test_an_image_opens_to_its_link_and_to_its_account_and_to_nobody_else(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", CUP)).json()
        image = made["images"][0]
        path = f"/account/images/{image['id']}"
        assert (await darkroom.get(path)).status_code == 200
        assert (await darkroom.client.get(path)).status_code == 401
        assert (await darkroom.get(path, await darkroom.live_key())).status_code == 404
        forged = image["url"][:-4] + "AAAA"
        assert (await darkroom.client.get(forged)).json()["error"]["code"] == "forbidden"
        for odd in ("img_..%2F..%2Fx_0", "img_a_0x", "nothing"):
            assert (await darkroom.get(f"/account/images/{odd}")).status_code == 404
        headers = (await darkroom.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        head = await darkroom.client.head(image["url"])
        assert head.status_code == 200

    play(tmp_path, story)


def test_a_finished_request_cannot_be_cancelled(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = (await darkroom.post("/generate", CUP)).json()
        answer = await darkroom.post(f"/account/requests/{made['id']}/cancel", {})
        assert answer.status_code == 400
        assert "succeeded" in answer.json()["error"]["message"]

    play(tmp_path, story)


def test_an_upload_is_what_was_announced(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        announced = {"filename": "a.jpg", "content_type": "image/jpeg", "bytes": 4}
        leave = (await darkroom.post("/account/uploads", announced)).json()
        assert leave["method"] == "PUT"
        url, headers = leave["url"], leave["headers"]
        assert (
            await darkroom.client.put(url, content=b"12345", headers=headers)
        ).status_code == 400
        other = {"content-type": "text/html"}
        assert (await darkroom.client.put(url, content=b"1234", headers=other)).status_code == 400
        forged = url.replace("bytes=4", "bytes=5")
        assert (await darkroom.client.put(forged, content=b"12345")).status_code == 403
        assert (await darkroom.client.put(url, content=b"1234", headers=headers)).status_code == 204
        for wrong in ({"bytes": 0}, {"bytes": 2**40}, {"content_type": "x"}, {"filename": ""}):
            body = {**announced, **wrong}
            assert (await darkroom.post("/account/uploads", body)).status_code == 400

    play(tmp_path, story)


def test_an_upload_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        leave = await _leave(darkroom, filename="a.jpg", content_type="image/jpeg", bytes=8)

        async def cut() -> AsyncIterator[bytes]:
            yield b"1234"

        cut_off = await darkroom.client.put(leave["url"], content=cut(), headers=leave["headers"])
        assert cut_off.status_code == 400
        assert await darkroom.app.storage.list("uploads/") == ()
        whole = {"content": b"12345678", "headers": leave["headers"]}
        assert (await darkroom.client.put(leave["url"], **whole)).status_code == 204
        assert (await darkroom.client.put(leave["url"], **whole)).status_code == 400

    play(tmp_path, story)


def test_only_a_jsonl_may_be_large_and_is_never_whole_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)

    async def story(darkroom: Darkroom) -> None:
        large = {"content_type": "application/x-ndjson", "bytes": 2 * 2**30}
        leave = await _leave(darkroom, filename="night.jsonl", **large)
        assert leave["upload_id"].startswith("upl_")
        for wrong in (
            {"filename": "night.jsonl", "bytes": 2 * 2**30 + 1},
            {"filename": "a.jpg", "bytes": 32 * 2**20 + 1},
        ):
            refused = await darkroom.post("/account/uploads", {**large, **wrong})
            assert refused.json()["error"]["param"] == "bytes"
        leave = await _leave(darkroom, filename="a.jsonl", content_type="text/plain", bytes=3000)

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 1000

        sent = await darkroom.client.put(leave["url"], content=pieces(), headers=leave["headers"])
        assert sent.status_code == 204
        (name,) = await darkroom.app.storage.list("uploads/")
        described = await darkroom.app.storage.describe(name)
        assert described is not None
        assert described.size_bytes == 3000
        # Of a test key, and only there for who names it.
        assert described.labels == {"darkroom-trigger": "off", "darkroom-test": "1"}
        assert (await darkroom.get("/account/requests")).json()["data"] == []

    play(tmp_path, story)


def test_an_upload_with_a_prompt_becomes_an_edit_once_it_is_there(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        metadata = {"darkroom-prompt": "eine Tasse mit Öl", "darkroom-model": "nano-banana"}
        data = photo()
        leave = await _leave(
            darkroom,
            filename="a.jpg",
            content_type="image/jpeg",
            bytes=len(data),
            metadata=metadata,
        )
        sent = {"content": data, "headers": leave["headers"]}
        assert (await darkroom.client.put(leave["url"], **sent)).status_code == 204
        assert (await darkroom.client.put(leave["url"], **sent)).status_code == 400
        (made,) = (await darkroom.get("/account/requests")).json()["data"]
        assert (made["operation"], made["prompt"]) == ("edit", "eine Tasse mit Öl")
        assert made["metadata"] == {"upload_id": leave["upload_id"]}
        assert made["sandbox"]

    play(tmp_path, story)


@pytest.mark.parametrize(
    "metadata",
    [
        {"darkroom-trigger": "on"},
        {"darkroom-test": "1"},
        {"color": "red"},
        {"Darkroom-Prompt": "a cup"},
        {"darkroom-prompt": "x" * 1025},
        {"darkroom-promt": "a cup"},
        {"darkroom-model": "nano-banana"},
        {"darkroom-prompt": "a cup", "darkroom-n": "two"},
        {f"darkroom-{name}": "ä" * 1024 for name in ("prompt", "quality", "model")},
        {f"darkroom-{n}": "x" for n in range(17)},
    ],
)
def test_metadata_that_would_be_refused_later_is_refused_at_once(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    async def story(darkroom: Darkroom) -> None:
        announced = {"filename": "a.jpg", "content_type": "image/jpeg", "bytes": 4}
        refused = await darkroom.post("/account/uploads", {**announced, "metadata": metadata})
        assert refused.status_code == 400

    play(tmp_path, story)


async def _leave(darkroom: Darkroom, **announced: Any) -> dict[str, Any]:
    answer = await darkroom.post("/account/uploads", announced)
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found


def test_a_picture_that_was_not_delivered_is_not_served_and_goes_with_its_request(
    tmp_path: Path,
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        failed = (await darkroom.post("/generate", CUP, key)).json()["error"]["request_id"]
        # As after a sweep that came while the provider still worked.
        name = f"images/{failed}/0"
        await darkroom.app.storage.put(name, png(), "image/png", {"route": "x"})
        image = f"/account/images/img_{failed.removeprefix('req_')}_0"
        assert (await darkroom.get(image, key)).status_code == 404
        auth = {"authorization": f"Bearer {key}"}
        deleted = await darkroom.client.delete(f"/account/requests/{failed}", headers=auth)
        assert deleted.status_code == 200
        assert await darkroom.app.storage.get(name) is None

    play(tmp_path, story, withheld())
