"""Batches whose items are made one call each, when something goes wrong: none is made twice, none
is given away. Every one of these was once a fault."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import batch_fanout, names
from shared.batch_shift import HEED_S, LEASE, Change, Shift
from tests.darkroom import Darkroom, play
from tests.functions.test_batch import MODEL, UNIT_USD, created, ended, live, results, unused
from tests.played import Played
from tests.test_batch_faults import ALL_MICROS, kept, woken

pytestmark = pytest.mark.pictures
CALL = ":generateContent"
SOME = [
    {"custom_id": "bad", "prompt": "[sandbox:blocked]"},
    {"custom_id": "ok", "prompt": "a cup"},
]


def test_a_cancelled_one_stops_within_a_few_items(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 40, mode="fanout")
        made = 0

        async def meanwhile(request: httpx.Request) -> httpx.Response:
            nonlocal made
            made += 1
            darkroom.pass_time(timedelta(seconds=HEED_S))
            if made == 5:
                await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
            return await Played.__call__(played, request)

        darkroom.upstream.script[:] = [meanwhile]
        await darkroom.deliver()
        done = await ended(darkroom, batch, key)
        assert made <= 5 + batch_fanout.AT_ONCE
        assert done["status"] == "cancelled"
        assert (done["counts"]["succeeded"], done["counts"]["cancelled"]) == (made, 40 - made)
        assert await darkroom.balance_micros(key) == ALL_MICROS - made * UNIT_USD
        await darkroom.check()

    play(tmp_path, story, unused)


def test_what_was_made_before_a_death_is_charged_though_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 30, mode="fanout")
        save = Shift.save

        async def dies(shift: Shift, change: Change | None = None) -> None:
            if shift.waiting:
                raise RuntimeError("the instance is gone")
            await save(shift, change)

        with monkeypatch.context() as patched:
            patched.setattr(Shift, "save", dies)
            await darkroom.deliver()
        made = played.count("POST", CALL)
        assert 0 < made < 30
        await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
        darkroom.pass_time(LEASE)
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["succeeded"]) == ("cancelled", made)
        assert await darkroom.balance_micros(key) == ALL_MICROS - made * UNIT_USD
        there = 0
        for n in range(30):
            image = f"/account/images/img_{batch['id'].removeprefix('bat_')}-{n}_0"
            there += (await darkroom.get(image, key)).status_code == 200
        assert there == made == played.count("POST", CALL)
        await darkroom.check()

    play(tmp_path, story, unused)


def test_a_mark_that_was_written_twice_is_still_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        put = darkroom.app.storage.put

        async def twice(name: str, *rest: Any) -> bool:
            if name.startswith("begun/"):
                await put(name, *rest)
            return await put(name, *rest)

        monkeypatch.setattr(darkroom.app.storage, "put", twice)
        batch = await created(darkroom, key, 3, mode="fanout")
        done = await ended(darkroom, batch, key)
        assert (done["counts"]["succeeded"], played.count("POST", CALL)) == (3, 3)

    play(tmp_path, story, unused)


def test_what_another_has_marked_is_not_sent(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 3, mode="fanout")
        mark = names.batch_begun(batch["id"], 1)
        await darkroom.app.storage.put(mark, b"another", "application/octet-stream", {})
        done = await ended(darkroom, batch, key)
        assert (done["counts"]["succeeded"], played.count("POST", CALL)) == (2, 2)
        lost = (await results(darkroom, batch, key))["i1"]
        assert lost["error"]["code"] == "outcome_unknown"
        assert await darkroom.balance_micros(key) == ALL_MICROS - 2 * UNIT_USD
        await darkroom.check()

    play(tmp_path, story, unused)


@pytest.mark.parametrize("what", ["results", "record", "record, then its answer"])
def test_results_that_cannot_be_written_down_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key, failures = await darkroom.live_key(), 0
        body = {"model": MODEL, "items": SOME, "mode": "fanout"}
        batch = (await darkroom.post("/batch", body, key)).json()
        put, advance = darkroom.app.storage.put, darkroom.app.records.advance_batch

        async def no_put(name: str, *rest: Any) -> bool:
            nonlocal failures
            if name.startswith("batches/") and not failures:
                failures += 1
                raise ConnectionError("storage is away")
            return await put(name, *rest)

        async def no_advance(after: Any, delivered: Any = None, notice: Any = None) -> Any:
            nonlocal failures
            fails = delivered is not None and not failures
            if fails:
                failures += 1
            if not fails or what == "record, then its answer":
                found = await advance(after, delivered, notice)
            if fails:
                raise ConnectionError("the database is away")
            return found

        if what == "results":
            monkeypatch.setattr(darkroom.app.storage, "put", no_put)
        else:
            monkeypatch.setattr(darkroom.app.records, "advance_batch", no_advance)
        done = await ended(darkroom, batch, key)
        assert failures == 1
        assert (done["counts"]["succeeded"], done["counts"]["failed"]) == (1, 1)
        found = await results(darkroom, batch, key)
        assert found["bad"]["error"]["code"] == "content_blocked"
        assert len((await kept(darkroom, batch, key)).results) <= 2
        assert await darkroom.balance_micros(key) == ALL_MICROS - UNIT_USD
        await darkroom.check()

    play(tmp_path, story, unused)


def test_a_task_is_put_down_though_its_record_is_away_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        made = await darkroom.post("/three_d", {"model": "hunyuan-3d", "prompt": "a cup"})
        advance, failures = darkroom.app.records.advance, 0

        async def away(record: Any) -> Any:
            nonlocal failures
            if record.task is not None and not failures:
                failures += 1
                raise ConnectionError("the database is away")
            return await advance(record)

        monkeypatch.setattr(darkroom.app.records, "advance", away)
        await darkroom.deliver()
        for _ in range(30):
            await woken(darkroom, timedelta(seconds=30))
        shown = (await darkroom.get(f"/account/requests/{made.json()['id']}")).json()
        assert (failures, shown["status"]) == (1, "succeeded")

    play(tmp_path, story)
