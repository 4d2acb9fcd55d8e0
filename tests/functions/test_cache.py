"""`cache: true`: an identical request gets the earlier one's pictures, for nothing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import names
from tests.darkroom import Darkroom, photo, play
from tests.upstream import picture, png, withheld

pytestmark = pytest.mark.pictures

ASKED = {"model": "nano-banana-pro", "prompt": "a cup", "seed": 7}


def shown(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_same_again_costs_nothing_and_brings_the_same_pictures(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        first = shown(await darkroom.post("/generate", ASKED, key))
        again = shown(await darkroom.post("/generate", {**ASKED, "cache": True}, key))
        assert (first["cached"], again["cached"]) == (False, True)
        assert again["id"] != first["id"]
        assert again["images"][0]["sha256"] == first["images"][0]["sha256"]
        assert again["cost"]["usd"] == "0.000000"
        assert (await darkroom.client.get(again["images"][0]["url"])).content == png()
        assert len(darkroom.upstream.calls) == 1
        assert await darkroom.balance_micros(key) == 1_000_000 - 134_000
        third = shown(await darkroom.post("/generate", {**ASKED, "cache": True}, key))
        assert third["cached"]
        await darkroom.check()

    play(tmp_path, story, picture())


def test_it_needs_no_credit_and_still_takes_its_place_in_the_quotas(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=0)
        caller = await darkroom.app.accounts.authenticate(key)
        await darkroom.grant(caller.account_id, 134_000)
        shown(await darkroom.post("/generate", ASKED, key))
        assert shown(await darkroom.post("/generate", {**ASKED, "cache": True}, key))["cached"]
        account = (await darkroom.get("/account", key)).json()
        assert account["usage"]["requests_this_minute"] == 2
        missed = {**ASKED, "prompt": "a mug", "cache": True}
        assert (await darkroom.post("/generate", missed, key)).status_code == 402

    play(tmp_path, story, picture())


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a cup "},
        {"seed": 8},
        {"seed": None},
        {"n": 2},
        {"resolution": "2K"},
        {"output_format": "png"},
        {"options": {"temperature": 0.5}},
        {"model": "nano-banana-2"},
    ],
)
def test_anything_else_is_made_anew(change: dict[str, Any], tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=5)
        await darkroom.post("/generate", ASKED, key)
        changed = {k: v for k, v in {**ASKED, **change, "cache": True}.items() if v is not None}
        assert not shown(await darkroom.post("/generate", changed, key))["cached"]

    play(tmp_path, story, picture())


def test_what_does_not_decide_the_picture_makes_no_difference(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=5)
        await darkroom.post("/generate", ASKED, key)
        same = {
            "model": "gemini-3-pro-image",
            "metadata": {"a": "b"},
            "delivery": "b64_json",
            "timeout_s": 60,
            "cache": True,
        }
        body = shown(await darkroom.post("/generate", {**ASKED, **same}, key))
        assert body["cached"]
        assert base64.b64decode(body["images"][0]["b64_json"]) == png()

    play(tmp_path, story, picture())


def test_sources_count_by_their_bytes(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        def edit(side: int) -> dict[str, Any]:
            data = base64.b64encode(photo((side, 48))).decode()
            return {**ASKED, "images": [{"b64_json": data}], "cache": True}

        made = [shown(await darkroom.post("/edit", edit(side)))["cached"] for side in (64, 64, 65)]
        assert made == [False, True, False]

    play(tmp_path, story)


def test_another_account_or_the_sandbox_has_its_own(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        cached = {**ASKED, "cache": True}
        mine, other = await darkroom.live_key(), await darkroom.live_key()
        for key in (mine, other, await darkroom.test_key_of(mine)):
            assert not shown(await darkroom.post("/generate", cached, key))["cached"]
        assert len(darkroom.upstream.calls) == 2

    play(tmp_path, story, picture())


def test_pictures_that_are_gone_or_were_too_few_are_made_anew(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key, two = await darkroom.live_key(usd=9), {**ASKED, "n": 2, "cache": True}
        assert len(shown(await darkroom.post("/generate", two, key))["images"]) == 1
        whole = shown(await darkroom.post("/generate", two, key))
        assert len(whole["images"]) == 2 and not whole["cached"]
        await darkroom.app.storage.delete(f"{names.pictures(whole['id'])}1")
        assert not shown(await darkroom.post("/generate", two, key))["cached"]
        deleted = shown(await darkroom.post("/generate", {**ASKED, "prompt": "b"}, key))["id"]
        headers = {"authorization": f"Bearer {key}"}
        await darkroom.client.delete(f"/account/requests/{deleted}", headers=headers)
        again = {**ASKED, "prompt": "b", "cache": True}
        assert not shown(await darkroom.post("/generate", again, key))["cached"]

    play(tmp_path, story, withheld(), picture())


def test_a_conversation_goes_on_from_it(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        await darkroom.post("/generate", ASKED)
        again = shown(await darkroom.post("/generate", {**ASKED, "cache": True}))
        assert again["cached"]
        for _ in range(2):
            turn = {"model": "nano-banana-pro", "prompt": "a moon"}
            again = shown(
                await darkroom.post("/edit", {**turn, "previous_request_id": again["id"]})
            )
            assert again["status"] == "succeeded"

    play(tmp_path, story)


def test_a_door_that_is_left_out_is_left_out_here_too(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        shown(await darkroom.post("/generate", ASKED))
        elsewhere = {**ASKED, "cache": True, "seed": 7, "route": {"providers": ["vertex"]}}
        made = shown(await darkroom.post("/generate", elsewhere))
        assert (made["cached"], made["provider"]) == (False, "vertex")

    play(tmp_path, story)
