"""What a dead instance left: settled if its pictures are in storage, released if they are not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from shared.sweep import sweep
from tests.darkroom import Darkroom, play
from tests.upstream import Gate, picture, png

CUP = {"model": "nano-banana", "prompt": "a cup", "n": 2}


class Died(BaseException):
    """The end of an instance, which nothing of ours may catch."""


async def _dies(*_: object, **__: object) -> object:
    raise Died


async def abandoned_mid_flight(darkroom: Darkroom) -> None:
    """Two requests whose instance dies: one with its pictures stored, one before it asked."""
    key = await darkroom.live_key(usd=1)
    app, finish, run = darkroom.app, darkroom.app.records.finish, darkroom.app.transport.run
    app.records.finish = _dies  # type: ignore[method-assign, assignment] # the instance dies here
    stored = await _abandon(darkroom, key, "stored")
    app.transport.run = _dies  # type: ignore[method-assign, assignment] # and here
    unasked = await _abandon(darkroom, key, "unasked")
    app.records.finish, app.transport.run = finish, run  # type: ignore[method-assign]
    assert await darkroom.balance_micros(key) == 1_000_000 - 4 * 39_000

    assert await sweep(app, darkroom.now) == 0
    darkroom.pass_time(timedelta(hours=1))
    assert await sweep(app, darkroom.now) == 2
    assert await sweep(app, darkroom.now) == 0

    settled = (await darkroom.get(f"/account/requests/{stored}", key)).json()
    assert settled["status"] == "succeeded"
    assert settled["provider"] == "google"
    assert settled["cost"]["usd"] == "0.078000"
    for image in settled["images"]:
        assert (await darkroom.client.get(image["url"])).status_code == 200
    released = (await darkroom.get(f"/account/requests/{unasked}", key)).json()
    assert (released["status"], released["error"]["code"]) == ("failed", "outcome_unknown")
    assert await darkroom.balance_micros(key) == 1_000_000 - 2 * 39_000
    await darkroom.check()


async def _abandon(darkroom: Darkroom, key: str, idempotency_key: str) -> str:
    with pytest.raises(Died):
        await darkroom.post("/generate", CUP, key, idempotency_key=idempotency_key)
    found = await darkroom.get("/account/requests", key, idempotency_key=idempotency_key)
    (record,) = found.json()["data"]
    assert record["status"] == "running"
    return str(record["id"])


def test_pictures_in_storage_are_settled_and_the_rest_released(tmp_path: Path) -> None:
    play(tmp_path, abandoned_mid_flight, picture())


def test_a_sweep_that_comes_too_early_is_what_counts(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        call = asyncio.create_task(darkroom.post("/generate", {**CUP, "n": 1}, key))
        await gate.asked.wait()
        later, app = darkroom.now + timedelta(hours=1), darkroom.app
        assert await sweep(app, later) == 0
        # Another instance does not know that this one is at it.
        app.works_on = lambda request_id: False  # type: ignore[method-assign]
        assert await sweep(app, later) == 1
        gate.opened.set()
        late = await call
        assert late.status_code == 504
        assert await darkroom.balance_micros(key) == 1_000_000
        await darkroom.check()

    play(tmp_path, story, gate)


def test_a_paid_picture_does_not_fail_for_the_bookkeeping(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        finish = darkroom.app.records.finish

        async def broken(*_: object) -> object:
            raise OSError("the database is away")

        darkroom.app.records.finish = broken  # type: ignore[method-assign, assignment] # a fault
        made = await darkroom.post("/generate", CUP, key)
        assert made.status_code == 200
        assert len(made.json()["images"]) == 2
        darkroom.app.records.finish = finish  # type: ignore[method-assign]
        darkroom.pass_time(timedelta(hours=1))
        assert await sweep(darkroom.app, darkroom.now) == 1
        settled = (await darkroom.get(f"/account/requests/{made.json()['id']}", key)).json()
        assert settled["cost"]["usd"] == "0.078000"
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_record_that_cannot_be_ended_holds_up_none(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key, app = await darkroom.live_key(usd=1), darkroom.app
        run = app.transport.run
        app.transport.run = _dies  # type: ignore[method-assign, assignment] # the instance dies
        cursed = await _abandon(darkroom, key, "cursed")
        darkroom.pass_time(timedelta(seconds=1))
        other = await _abandon(darkroom, key, "other")
        app.transport.run = run  # type: ignore[method-assign]
        listed = app.storage.list

        async def broken(prefix: str) -> tuple[str, ...]:
            if cursed in prefix:
                raise OSError("unreadable")
            return await listed(prefix)

        app.storage.list = broken  # type: ignore[method-assign] # a fault
        darkroom.pass_time(timedelta(hours=1))
        assert await sweep(app, darkroom.now) == 1
        assert await sweep(app, darkroom.now) == 0
        ended = (await darkroom.get(f"/account/requests/{other}", key)).json()
        assert ended["status"] == "failed"
        app.storage.list = listed  # type: ignore[method-assign]
        assert await sweep(app, darkroom.now) == 1
        await darkroom.check()

    play(tmp_path, story, picture())


def test_what_is_no_picture_of_a_known_route_is_not_settled(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        key, app = await darkroom.live_key(usd=1), darkroom.app
        run = app.transport.run
        app.transport.run = _dies  # type: ignore[method-assign, assignment] # the instance dies
        lost = await _abandon(darkroom, key, "lost")
        app.transport.run = run  # type: ignore[method-assign]
        await app.storage.put(f"images/{lost}/0", png(), "image/png", {"route": "no:such"})
        await app.storage.put(f"images/{lost}/readme", b"x", "text/plain", {})
        darkroom.pass_time(timedelta(hours=1))
        assert await sweep(app, darkroom.now) == 1
        ended = (await darkroom.get(f"/account/requests/{lost}", key)).json()
        assert ended["status"] == "failed"
        await darkroom.check()

    play(tmp_path, story, picture())


def test_a_clock_that_jumps_does_not_sweep_what_is_still_worked_on(tmp_path: Path) -> None:
    gate = Gate()

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key(usd=1)
        call = asyncio.create_task(darkroom.post("/generate", {**CUP, "n": 1}, key))
        await gate.asked.wait()
        darkroom.pass_time(timedelta(hours=8))
        assert await sweep(darkroom.app, darkroom.now) == 0
        gate.opened.set()
        assert (await call).status_code == 200
        await darkroom.check()

    play(tmp_path, story, gate)
