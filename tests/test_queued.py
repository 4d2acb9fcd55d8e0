"""Requests that nobody waits for: queued, run once however often they are told of, put down while
a provider works at them, cancelled before and during."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import names, sweep
from shared.events import Event
from shared.queued import PATIENCE, TASK_LIFE, step
from tests.darkroom import TEST_KEY, Darkroom, photo, play
from tests.upstream import Gate, picture, withheld

pytestmark = pytest.mark.pictures
CUP = {"model": "nano-banana-2-lite", "prompt": "a cup"}


async def queued(darkroom: Darkroom, key: str = TEST_KEY, **fields: Any) -> dict[str, Any]:
    """A request that was sent and is not made yet."""
    answer = await darkroom.post("/generate", {**CUP, **fields}, key, prefer="respond-async")
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/account/requests/{found['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    return found


async def seen(darkroom: Darkroom, request_id: str, key: str = TEST_KEY) -> dict[str, Any]:
    """A request as its caller sees it."""
    found: dict[str, Any] = (await darkroom.get(f"/account/requests/{request_id}", key)).json()
    return found


async def told(darkroom: Darkroom, request_id: str, key: str = TEST_KEY) -> None:
    """Have somebody look at it."""
    caller = await darkroom.app.accounts.authenticate(key)
    await step(darkroom.app, caller.account_id, request_id)


def test_a_queued_request_is_made_by_its_event(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        assert request["status"] == "queued"
        assert await darkroom.balance_micros(key) < before
        assert await darkroom.deliver() == 1
        made = await seen(darkroom, request["id"], key)
        assert (made["status"], len(made["images"])) == ("succeeded", 1)
        assert await darkroom.app.storage.get(names.queued(request["id"])) is None
        await darkroom.check()

    play(tmp_path, story, picture())


def test_other_preferences_are_waited_for(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.post("/generate", CUP, prefer="return=minimal, wait=10")
        assert answer.status_code == 200
        answer = await darkroom.post("/generate", CUP, prefer="wait=10, Respond-Async; x=1")
        assert answer.status_code == 202

    play(tmp_path, story)


def test_it_runs_once_however_often_it_is_told_of(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        request = await queued(darkroom, key)
        telling = [asyncio.create_task(told(darkroom, request["id"], key)) for _ in range(3)]
        await gate.asked.wait()
        await told(darkroom, request["id"], key)
        assert (await seen(darkroom, request["id"], key))["status"] == "running"
        gate.opened.set()
        await asyncio.gather(*telling)
        await told(darkroom, request["id"], key)
        assert len(darkroom.upstream.calls) == 1
        assert (await seen(darkroom, request["id"], key))["status"] == "succeeded"
        await darkroom.check()

    play(tmp_path, story, gate)


def test_the_same_key_again_is_the_same_request(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        sent = {"prefer": "respond-async", "idempotency_key": "k"}
        first = await darkroom.post("/generate", CUP, **sent)
        again = await darkroom.post("/generate", CUP, **sent)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert again.headers["idempotent-replayed"] == "true"
        waited = await darkroom.post("/generate", CUP, idempotency_key="k")
        assert waited.status_code == 409
        await darkroom.deliver()
        ended = await darkroom.post("/generate", CUP, **sent)
        assert (ended.status_code, ended.json()["status"]) == (200, "succeeded")

    play(tmp_path, story)


def test_its_sources_are_kept_as_they_were(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        upload = {"filename": "a.jpg", "content_type": "image/jpeg", "bytes": len(photo())}
        leave = (await darkroom.post("/account/uploads", upload)).json()
        await darkroom.client.put(leave["url"], content=photo(), headers=leave["headers"])
        edit = {**CUP, "model": "nano-banana", "images": [{"upload_id": leave["upload_id"]}]}
        request = (await darkroom.post("/edit", edit, prefer="respond-async")).json()
        for name in await darkroom.app.storage.list("uploads/"):
            await darkroom.app.storage.delete(name)
        await darkroom.deliver()
        assert (await seen(darkroom, request["id"]))["status"] == "succeeded"

    play(tmp_path, story)


def test_what_cannot_be_made_is_refused_before_it_is_queued(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        for body, status in (
            ({**CUP, "n": 99}, 400),
            ({**CUP, "webhook_url": "http://127.0.0.1/x"}, 400),
        ):
            answer = await darkroom.post("/generate", body, prefer="respond-async")
            assert answer.status_code == status
        poor = await darkroom.live_key(usd=0)
        answer = await darkroom.post("/generate", CUP, poor, prefer="respond-async")
        assert answer.status_code == 402
        assert await darkroom.deliver() == 0

    play(tmp_path, story)


def test_a_failure_releases_the_hold(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        await darkroom.deliver()
        failed = await seen(darkroom, request["id"], key)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "content_blocked")
        assert await darkroom.balance_micros(key) == before
        await darkroom.check()

    play(tmp_path, story, withheld())


def test_one_is_cancelled_before_its_turn(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        answer = await darkroom.post(f"/account/requests/{request['id']}/cancel", {}, key)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert await darkroom.balance_micros(key) == before
        await darkroom.deliver()
        assert darkroom.upstream.calls == []
        again = await darkroom.post(f"/account/requests/{request['id']}/cancel", {}, key)
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        await darkroom.check()

    play(tmp_path, story, picture())


def test_one_is_cancelled_while_it_is_made(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        making = asyncio.create_task(darkroom.deliver())
        await gate.asked.wait()
        answer = await darkroom.post(f"/account/requests/{request['id']}/cancel", {}, key)
        assert answer.json()["status"] == "cancelled"
        gate.opened.set()
        await making
        ended = await seen(darkroom, request["id"], key)
        assert (ended["status"], ended["images"]) == ("cancelled", [])
        assert await darkroom.app.storage.list(names.pictures(request["id"])) == ()
        assert await darkroom.balance_micros(key) == before
        await darkroom.check()

    play(tmp_path, story, gate)


def test_one_that_somebody_waits_for_cannot_be_cancelled(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        waiting = asyncio.create_task(darkroom.post("/generate", CUP, key))
        await gate.asked.wait()
        [running] = (await darkroom.get("/account/requests", key)).json()["data"]
        answer = await darkroom.post(f"/account/requests/{running['id']}/cancel", {}, key)
        assert answer.status_code == 400
        gate.opened.set()
        assert (await waiting).status_code == 200

    play(tmp_path, story, gate)


def test_a_lost_message_is_sent_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        sent: list[Event] = []

        async def lose(event: Event) -> None:
            sent.append(event)

        publish, darkroom.app.events.publish = darkroom.app.events.publish, lose  # type: ignore[method-assign]
        request = await queued(darkroom)
        darkroom.app.events.publish = publish  # type: ignore[method-assign]
        assert len(sent) == 1
        await sweep.sweep(darkroom.app, darkroom.now)
        assert await darkroom.deliver() == 0
        darkroom.pass_time(PATIENCE + timedelta(seconds=1))
        await sweep.sweep(darkroom.app, darkroom.now)
        assert await darkroom.deliver() == 1
        assert (await seen(darkroom, request["id"]))["status"] == "succeeded"

    play(tmp_path, story)


def test_one_that_was_never_stored_is_released(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)
        request = await queued(darkroom, key)
        await darkroom.app.storage.delete(names.queued(request["id"]))
        await darkroom.deliver()
        assert (await seen(darkroom, request["id"], key))["status"] == "queued"
        darkroom.pass_time(PATIENCE + timedelta(seconds=1))
        await sweep.sweep(darkroom.app, darkroom.now)
        await darkroom.deliver()
        assert (await seen(darkroom, request["id"], key))["status"] == "failed"
        assert await darkroom.balance_micros(key) == before
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_worker_that_died_is_found_by_its_lease(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        app, key = darkroom.app, await darkroom.live_key()
        request = await queued(darkroom, key)
        caller = await app.accounts.authenticate(key)
        dying = asyncio.create_task(darkroom.deliver())
        await gate.asked.wait()
        app._work[request["id"]].cancel()
        await asyncio.gather(dying, return_exceptions=True)
        assert (await seen(darkroom, request["id"], key))["status"] == "running"
        darkroom.pass_time(timedelta(hours=2))
        await sweep.sweep(app, darkroom.now)
        failed = await seen(darkroom, request["id"], key)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "outcome_unknown")
        assert len(darkroom.upstream.calls) == 1
        await step(app, caller.account_id, request["id"])
        assert len(darkroom.upstream.calls) == 1
        await darkroom.check()

    gate = Gate()
    play(tmp_path, story, gate)


async def turn(darkroom: Darkroom, by: timedelta) -> None:
    """Time goes by, the sweep comes, and what it says is done."""
    darkroom.pass_time(by)
    await sweep.sweep(darkroom.app, darkroom.now)
    await darkroom.deliver()


STUDIO = {"THREEDAISTUDIO_API_KEY": "a-key"}


def said(**fields: Any) -> httpx.Response:
    """How a task stands at 3D AI Studio."""
    return httpx.Response(200, json={"status": "IN_PROGRESS", "results": [], **fields})


def test_a_3d_model_is_put_down_and_looked_at(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        answer = await darkroom.post("/three_d", {"model": "hunyuan-3d", "prompt": "a chair"})
        assert answer.status_code == 202
        request = answer.json()
        assert (request["operation"], request["assets"]) == ("three_d", [])
        await darkroom.deliver()
        assert (await seen(darkroom, request["id"]))["status"] == "running"
        for _ in range(40):
            await turn(darkroom, timedelta(seconds=15))
            made = await seen(darkroom, request["id"])
            if made["status"] != "running":
                break
        assert made["status"] == "succeeded", made["error"]
        [asset] = made["assets"]
        assert (made["images"], asset["content_type"]) == ([], "model/gltf-binary")
        blob = await darkroom.client.get(asset["url"])
        assert blob.content.startswith(b"glTF")
        assert blob.headers["content-type"] == "model/gltf-binary"

    play(tmp_path, story)


def test_no_instance_waits_for_a_task(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        body = {"model": "hunyuan-3d", "prompt": "a chair"}
        request = (await darkroom.post("/three_d", body, key)).json()
        await darkroom.deliver()
        assert len(darkroom.upstream.calls) == 1
        await turn(darkroom, timedelta(minutes=1))
        await turn(darkroom, timedelta(minutes=1))
        assert len(darkroom.upstream.calls) == 3
        failed = await seen(darkroom, request["id"], key)
        assert failed["status"] == "failed"
        assert await darkroom.balance_micros(key) == 10_000_000
        await darkroom.check()

    task = httpx.Response(200, json={"task_id": "t-1", "created_at": "2026-11-21T10:00:00Z"})
    play(tmp_path, story, task, said(), said(status="FAILED", failure_reason="no"), env=STUDIO)


def test_a_task_that_is_never_finished_is_given_up(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        body = {"model": "hunyuan-3d", "prompt": "a chair"}
        request = (await darkroom.post("/three_d", body, key)).json()
        await darkroom.deliver()
        await turn(darkroom, timedelta(minutes=1))
        await turn(darkroom, TASK_LIFE)
        failed = await seen(darkroom, request["id"], key)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "outcome_unknown")
        await darkroom.check()

    task = httpx.Response(200, json={"task_id": "t-1", "created_at": "2026-11-21T10:00:00Z"})
    play(tmp_path, story, task, said(), env=STUDIO)


def test_a_task_is_cancelled_while_it_is_worked_at(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        body = {"model": "hunyuan-3d", "prompt": "a chair"}
        request = (await darkroom.post("/three_d", body, key)).json()
        await darkroom.deliver()
        path = f"/account/requests/{request['id']}/cancel"
        assert (await darkroom.post(path, {}, key)).json()["status"] == "cancelled"
        await turn(darkroom, timedelta(minutes=1))
        assert len(darkroom.upstream.calls) == 1
        await darkroom.check()

    task = httpx.Response(200, json={"task_id": "t-1", "created_at": "2026-11-21T10:00:00Z"})
    play(tmp_path, story, task, env=STUDIO)


def test_what_cannot_be_kept_for_later_has_failed_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        before = await darkroom.balance_micros(key)

        async def broken(*_: object) -> bool:
            raise OSError("the bucket is gone")

        monkeypatch.setattr(darkroom.app.storage, "put", broken)
        answer = await darkroom.post("/generate", CUP, key, prefer="respond-async")
        assert answer.status_code == 500
        request_id = answer.headers["x-request-id"]
        assert (await seen(darkroom, request_id, key))["status"] == "failed"
        assert await darkroom.balance_micros(key) == before
        await told(darkroom, request_id, key)
        assert darkroom.upstream.calls == []
        await darkroom.check()

    play(tmp_path, story, picture())
