"""Batches that providers take, when something goes wrong: nothing is lost, none is handed over
twice, and each ends. Every one of these was once a fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import batch_collect, batch_jobs, batch_steps, sources, sweep
from shared.batch_domain import Batch
from shared.batch_steps import GRACE
from shared.batches import LIFE
from shared.domain import ImageRequest
from shared.sources import Loader
from tests.batch_upstream import Asked, google_line
from tests.darkroom import Darkroom, play
from tests.functions.test_batch import (
    BATCH_UNIT_MICROS,
    created,
    ended,
    live,
    results,
    unused,
)
from tests.played import Played
from tests.upstream import refusal

pytestmark = pytest.mark.pictures
CREATE = ":batchGenerateContent"
ALL_MICROS = 10_000_000


async def kept(darkroom: Darkroom, batch: Mapping[str, Any], key: str) -> Batch:
    """The batch as it is on record."""
    caller = await darkroom.app.accounts.authenticate(key)
    found = await darkroom.app.records.batch(caller.account_id, batch["id"])
    assert found is not None
    return found


async def woken(darkroom: Darkroom, after: timedelta = timedelta()) -> None:
    """Do what is due then."""
    darkroom.pass_time(after)
    await sweep.sweep(darkroom.app, darkroom.now)
    await darkroom.deliver()


def asks(request: httpx.Request) -> bool:
    """Whether a call asks how a batch stands."""
    return request.method == "GET" and "/batches/" in request.url.path


def never(request: httpx.Request) -> httpx.Response | None:
    """A provider whose batches have no end, and cannot be called back."""
    if request.url.path.endswith(":cancel"):
        return httpx.Response(200, json={})
    state = {"name": "batches/x", "metadata": {"state": "BATCH_STATE_RUNNING"}}
    return httpx.Response(200, json=state) if asks(request) else None


def pictures(asked: Sequence[Asked]) -> list[bytes]:
    """A picture for each."""
    return [google_line(one.key) for one in asked]


async def all_made(darkroom: Darkroom, batch: Mapping[str, Any], key: str, count: int) -> None:
    """It ends with every item made, and charged once."""
    done = await ended(darkroom, batch, key)
    assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", count)
    assert len(await results(darkroom, batch, key)) == count
    assert await darkroom.balance_micros(key) == ALL_MICROS - count * BATCH_UNIT_MICROS
    await darkroom.check()


@pytest.mark.parametrize(("where", "status", "count"), [("look", 502, 3), ("download", 401, 30)])
def test_one_bad_answer_loses_no_batch(tmp_path: Path, where: str, status: int, count: int) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, count)
        seen: list[str] = []

        async def hiccup(request: httpx.Request) -> httpx.Response:
            response = await Played.__call__(played, request)
            finished = asks(request) and response.json().get("done", False)
            if request.url.path.endswith(":download") if where == "download" else finished:
                seen.append(request.url.path)
                # The first look that says so ends the job, the second begins to collect.
                if len(seen) == (1 if where == "download" else 2):
                    return httpx.Response(status, text="no")
            return response

        darkroom.upstream.script[:] = [hiccup]
        await all_made(darkroom, batch, key, count)
        assert len(seen) > 1

    play(tmp_path, story, unused)


def test_one_whose_call_took_long_has_all_its_time_to_show_up(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        late: list[httpx.Request] = []

        async def slow(request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith(CREATE):
                late.append(request)
                darkroom.pass_time(timedelta(seconds=600))
                raise httpx.ReadTimeout("no answer", request=request)
            return await Played.__call__(played, request)

        darkroom.upstream.script[:] = [slow]
        await woken(darkroom)
        await woken(darkroom, batch_jobs.UNSEEN - timedelta(seconds=1))
        assert (len(late), played.count("GET", "/batches")) == (1, 0)
        await Played.__call__(played, late[0])
        await all_made(darkroom, batch, key, 3)
        assert len(late) == 1

    play(tmp_path, story, unused)


def test_one_that_is_on_none_of_the_pages_read_may_be_there(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        endless = True

        async def silent(request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and request.url.path.endswith("/batches") and endless:
                return httpx.Response(200, json={"operations": [], "nextPageToken": "more"})
            taken = await Played.__call__(played, request)
            if request.url.path.endswith(CREATE):
                raise httpx.ReadTimeout("no answer", request=request)
            return taken

        darkroom.upstream.script[:] = [silent]
        await woken(darkroom)
        for _ in range(3):
            await woken(darkroom, batch_jobs.UNSEEN)
        assert played.count("POST", CREATE) == 1
        endless = False
        await all_made(darkroom, batch, key, 3)
        assert played.count("POST", CREATE) == 1

    play(tmp_path, story, unused)


def test_one_whose_results_break_our_code_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key()
        batch = await created(darkroom, key)

        async def broken(*_: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(batch_collect, "stored", broken)
        for _ in range(5):
            await woken(darkroom, timedelta(minutes=2))
        assert (await kept(darkroom, batch, key)).open
        await woken(darkroom, LIFE + GRACE)
        for _ in range(3):
            await woken(darkroom, timedelta(minutes=21))
        done = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        assert (done["status"], done["counts"]["failed"]) == ("expired", 3)
        assert await darkroom.balance_micros(key) == ALL_MICROS
        await darkroom.check()

    play(tmp_path, story, unused)


def test_one_whose_items_are_gone_ends_all_the_same(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key()
        batch = await created(darkroom, key)
        for name in await darkroom.app.storage.list("items/"):
            await darkroom.app.storage.delete(name)
        for wait in (timedelta(), timedelta(minutes=2), LIFE + GRACE, timedelta(minutes=21)):
            await woken(darkroom, wait)
        done = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        assert done["completed_at"] is not None
        assert done["status"] != "succeeded"
        assert await darkroom.balance_micros(key) == ALL_MICROS
        await darkroom.check()

    play(tmp_path, story, unused)


def test_one_that_is_cancelled_while_it_is_loaded_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        load = sources.load

        async def meanwhile(request: ImageRequest, loader: Loader) -> ImageRequest:
            await darkroom.post(f"/batch/{batch['id']}/cancel", {}, key)
            return await load(request, loader)

        monkeypatch.setattr(sources, "load", meanwhile)
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["cancelled"]) == ("cancelled", 3)
        assert played.count("POST", CREATE) == 0
        assert await darkroom.balance_micros(key) == ALL_MICROS

    play(tmp_path, story, unused)


@pytest.mark.parametrize("worked_on", [False, True])
def test_one_that_is_cancelled_is_called_back_at_once(tmp_path: Path, worked_on: bool) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        played.instead = never
        for _ in range(200):
            await woken(darkroom, timedelta(minutes=1))
        cancel, sent = f"/batch/{batch['id']}/cancel", list[int]()

        async def meanwhile(request: httpx.Request) -> httpx.Response:
            if asks(request) and not sent:
                sent.append((await darkroom.post(cancel, {}, key)).status_code)
            return await Played.__call__(played, request)

        if worked_on:
            darkroom.upstream.script[:] = [meanwhile]
            while not sent:
                await woken(darkroom, timedelta(seconds=30))
        else:
            await darkroom.post(cancel, {}, key)
        await darkroom.deliver()
        await woken(darkroom, batch_jobs.FIRST_LOOK)
        assert played.count("POST", ":cancel") >= 1

    play(tmp_path, story, unused)


@pytest.mark.parametrize("status", [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")])
def test_waiting_does_not_cure_a_key_that_is_wrong(tmp_path: Path, status: tuple[int, str]) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        played.instead = lambda r: refusal(*status) if r.url.path.endswith(CREATE) else None
        await woken(darkroom)
        done = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        assert (done["status"], done["counts"]["failed"]) == ("failed", 3)
        assert played.count("POST", CREATE) == 1
        assert await darkroom.balance_micros(key) == ALL_MICROS

    play(tmp_path, story, unused)


def test_what_is_not_begun_any_more_wakes_nobody(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        played.instead = never
        batch = await created(darkroom, key)
        await darkroom.deliver()
        found = await kept(darkroom, batch, key)
        now = found.expires_at + timedelta(minutes=2)
        rested = replace(found.groups[0], sent=0, rests=9, rest_until=now - timedelta(minutes=1))
        [job] = found.jobs
        running = replace(job, look_at=now + timedelta(minutes=5))
        late = replace(found, groups=(*found.groups, rested), jobs=(running,))
        assert batch_steps.due(late, now) is None
        assert batch_steps.wakes_at(late, now) == now + timedelta(minutes=5)

    play(tmp_path, story, unused)


def test_one_that_is_all_made_too_late_has_succeeded(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        played.instead = never
        await darkroom.deliver()
        darkroom.pass_time(LIFE + timedelta(seconds=1))
        played.instead = lambda _: None
        await all_made(darkroom, batch, key, 3)
        assert (await kept(darkroom, batch, key)).error is None

    play(tmp_path, story, unused)
