"""`on_upload`: which events are heeded, in which form, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions import on_upload
from shared import local
from shared.records import RequestFilter
from tests.darkroom import Darkroom, photo, play

NAME = f"uploads/{local.ACCOUNT_ID}/upl_1/photo.jpg"
LABELS = {"darkroom-prompt": "a cup", "darkroom-model": "nano-banana", "darkroom-test": "1"}
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "9231",
    "type": "google.cloud.storage.object.v1.finalized",
    "source": "//storage.googleapis.com/projects/_/buckets/shop-uploads",
    "subject": f"objects/{NAME}",
    "time": "2026-11-21T07:38:57.230Z",
}
OBJECT = {
    "kind": "storage#object",
    "id": f"shop-uploads/{NAME}/1587627537231057",
    "name": NAME,
    "bucket": "shop-uploads",
    "generation": "1587627537231057",
    "metageneration": "1",
    "contentType": "image/jpeg",
    "timeCreated": "2026-11-21T07:38:57.230Z",
    "updated": "2026-11-21T07:38:57.230Z",
    "storageClass": "STANDARD",
    "size": "352",
    "crc32c": "rTVTeQ==",
    "etag": "CNHZkbuF/ugCEAE=",
    "metadata": LABELS,
}


async def told(data: object, **attributes: str) -> httpx.Response:
    """Send an event as Eventarc does: its attributes are headers."""
    headers = {f"ce-{name}": value for name, value in {**ATTRIBUTES, **attributes}.items()}
    return await _posted(data, {**headers, "content-type": "application/json"})


async def told_whole(event: Mapping[str, Any]) -> httpx.Response:
    """Send an event in one piece."""
    return await _posted(event, {"content-type": "application/cloudevents+json; charset=utf-8"})


async def _posted(data: object, headers: Mapping[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(on_upload.APP)
    async with httpx.AsyncClient(transport=transport, base_url="http://on-upload.test") as client:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        return await client.post("/", content=content, headers=dict(headers))


async def made(darkroom: Darkroom) -> int:
    """How many requests are on record."""
    found = await darkroom.app.records.requests(local.ACCOUNT_ID, RequestFilter(), 100, None)
    return len(found.items)


def test_an_event_makes_one_job_in_either_form_however_often_it_comes(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        await darkroom.app.storage.put(NAME, photo(), "image/jpeg", LABELS)
        for id in ("1", "2"):
            assert (await told(OBJECT, id=id)).status_code == 204
            whole = {**ATTRIBUTES, "datacontenttype": "application/json", "data": OBJECT}
            assert (await told_whole(whole)).status_code == 204
        listed = (await darkroom.get("/account/requests")).json()["data"]
        assert [(r["operation"], r["status"], r["prompt"]) for r in listed] == [
            ("edit", "queued", "a cup")
        ]
        await darkroom.app.storage.delete(NAME)
        await told(OBJECT)
        assert await made(darkroom) == 1
        await darkroom.app.storage.put(NAME, photo(), "image/jpeg", LABELS)
        await told(OBJECT)
        assert await made(darkroom) == 2

    play(tmp_path, story)


def test_of_an_event_only_the_name_is_believed(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        await darkroom.app.storage.put(NAME, photo(), "image/jpeg", LABELS)
        live = {"darkroom-prompt": "a diamond", "darkroom-model": "nano-banana-pro"}
        for n in range(3):
            forged = {**OBJECT, "metadata": live, "generation": f"{n}", "size": "1"}
            assert (await told(forged)).status_code == 204
        assert await made(darkroom) == 1
        (listed,) = (await darkroom.get("/account/requests")).json()["data"]
        assert (listed["sandbox"], listed["prompt"]) == (True, "a cup")

    play(tmp_path, story)


@pytest.mark.parametrize(
    "type",
    [
        "google.cloud.storage.object.v1.deleted",
        "google.cloud.storage.object.v1.metadataUpdated",
        "google.cloud.pubsub.topic.v1.messagePublished",
    ],
)
def test_other_events_are_let_go(tmp_path: Path, type: str) -> None:
    async def story(darkroom: Darkroom) -> None:
        await darkroom.app.storage.put(NAME, photo(), "image/jpeg", LABELS)
        assert (await told(OBJECT, type=type)).status_code == 204
        assert not await made(darkroom)

    play(tmp_path, story)


def test_what_cannot_be_read_is_let_go_and_not_sent_again_for_ever(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        wrong: list[object] = [{**OBJECT, "name": 1}, {**OBJECT, "name": "../a.jpg"}, {}]
        for data in (b"{", [], 1, None, *wrong):
            assert (await told(data)).status_code == 204
            assert (await told_whole({**ATTRIBUTES, "data": None})).status_code == 204
        assert (await _posted(OBJECT, {"content-type": "application/json"})).status_code == 204
        assert (await told(OBJECT)).status_code == 204
        assert not await made(darkroom)

    play(tmp_path, story)


def test_a_fault_of_ours_is_told_of_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(darkroom: Darkroom) -> None:
        async def broken(*_: object) -> None:
            raise ConnectionError

        await darkroom.app.storage.put(NAME, photo(), "image/jpeg", LABELS)
        with monkeypatch.context() as patch:
            patch.setattr(darkroom.app.records, "begin", broken)
            assert (await told(OBJECT)).status_code == 500
        assert not await made(darkroom)
        assert (await told(OBJECT)).status_code == 204
        assert await made(darkroom) == 1

    play(tmp_path, story)
