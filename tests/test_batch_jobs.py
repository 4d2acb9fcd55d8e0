"""What becomes of a batch whose provider has no room, does not answer, or knows nothing of it any
more: nothing is handed over twice, nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from shared import batch_jobs, sweep
from shared.batch_steps import GRACE
from shared.batches import LIFE
from tests.darkroom import Darkroom, play
from tests.functions.test_batch import (
    BATCH_UNIT_MICROS,
    created,
    ended,
    live,
    results,
    unused,
)
from tests.upstream import refusal

pytestmark = pytest.mark.pictures
CREATE = ":batchGenerateContent"


def test_one_that_was_taken_without_a_word_is_found_by_its_name(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        answer = played.__class__.__call__

        async def silent(request: httpx.Request) -> httpx.Response:
            taken = await answer(played, request)
            if request.url.path.endswith(CREATE):
                raise httpx.ReadTimeout("no answer", request=request)
            return taken

        darkroom.upstream.script[:] = [silent]
        done = await ended(darkroom, batch, key)
        assert done["counts"]["succeeded"] == 3
        assert played.count("POST", CREATE) == 1
        assert await darkroom.balance_micros(key) == 10_000_000 - 3 * BATCH_UNIT_MICROS
        await darkroom.check()

    play(tmp_path, story, unused)


def test_one_that_never_arrived_is_handed_over_again(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        lost: list[httpx.Request] = []

        def lose(request: httpx.Request) -> httpx.Response | None:
            if request.url.path.endswith(CREATE) and not lost:
                lost.append(request)
                raise httpx.ReadTimeout("no answer", request=request)
            return None

        played.instead = lose
        await darkroom.deliver()
        # Nobody tries again before the batch had time to show up.
        darkroom.pass_time(batch_jobs.UNSEEN - timedelta(seconds=1))
        await sweep.sweep(darkroom.app, darkroom.now)
        await darkroom.deliver()
        assert played.count("POST", CREATE) == 1
        done = await ended(darkroom, batch, key)
        assert (done["counts"]["succeeded"], played.count("POST", CREATE)) == (3, 2)
        assert len(await results(darkroom, batch, key)) == 3
        await darkroom.check()

    play(tmp_path, story, unused)


@pytest.mark.parametrize("status", [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE")])
def test_a_provider_without_room_is_asked_again_later(
    tmp_path: Path, status: tuple[int, str]
) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        full = 3

        def refuse(request: httpx.Request) -> httpx.Response | None:
            nonlocal full
            if request.url.path.endswith(CREATE) and full:
                full -= 1
                return refusal(*status)
            return None

        played.instead = refuse
        done = await ended(darkroom, batch, key)
        assert (done["counts"]["succeeded"], played.count("POST", CREATE)) == (3, 4)
        await darkroom.check()

    play(tmp_path, story, unused)


def test_what_a_provider_will_not_do_has_failed(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)

        def refuse(request: httpx.Request) -> httpx.Response | None:
            create = request.url.path.endswith(CREATE)
            return refusal(400, "INVALID_ARGUMENT", "no batches for you") if create else None

        played.instead = refuse
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["failed"]) == ("failed", 3)
        assert await darkroom.balance_micros(key) == 10_000_000
        await darkroom.check()

    play(tmp_path, story, unused)


def test_looks_that_fail_are_repeated(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        blind = 4

        def refuse(request: httpx.Request) -> httpx.Response | None:
            nonlocal blind
            if request.method == "GET" and "/batches/" in request.url.path and blind:
                blind -= 1
                return httpx.Response(502, text="<html>")
            return None

        played.instead = refuse
        done = await ended(darkroom, batch, key)
        assert done["counts"]["succeeded"] == 3

    play(tmp_path, story, unused)


def test_one_that_its_provider_forgot_has_failed(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)

        def forget(request: httpx.Request) -> httpx.Response | None:
            asked = request.method == "GET" and "/batches/" in request.url.path
            return refusal(404, "NOT_FOUND") if asked else None

        played.instead = forget
        done = await ended(darkroom, batch, key)
        assert (done["status"], done["counts"]["failed"]) == ("failed", 3)
        assert await darkroom.balance_micros(key) == 10_000_000
        await darkroom.check()

    play(tmp_path, story, unused)


def test_one_that_never_ends_expires(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        await darkroom.deliver()

        def never(request: httpx.Request) -> httpx.Response | None:
            if request.method == "GET" and "/batches/" in request.url.path:
                return httpx.Response(
                    200, json={"name": "batches/x", "metadata": {"state": "BATCH_STATE_RUNNING"}}
                )
            return None

        played.instead = never
        for wait in (LIFE, timedelta(minutes=1), GRACE):
            darkroom.pass_time(wait)
            await sweep.sweep(darkroom.app, darkroom.now)
            await darkroom.deliver()
        done = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        assert (done["status"], done["counts"]["failed"]) == ("expired", 3)
        assert played.count("POST", ":cancel") >= 1
        assert await darkroom.balance_micros(key) == 10_000_000
        assert len(await results(darkroom, batch, key)) == 3
        await darkroom.check()

    play(tmp_path, story, unused)


def test_a_download_that_breaks_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key, 30)
        ranges: list[str | None] = []
        answer = played.__class__.__call__

        async def torn(request: httpx.Request) -> httpx.Response:
            response = await answer(played, request)
            if not request.url.path.endswith(":download"):
                return response
            ranges.append(request.headers.get("range"))
            data = await response.aread()
            if len(ranges) > 2:
                return httpx.Response(response.status_code, content=data)
            return httpx.Response(response.status_code, stream=Torn(data, request))

        darkroom.upstream.script[:] = [torn]
        done = await ended(darkroom, batch, key)
        assert done["counts"]["succeeded"] == 30
        assert ranges[0] is None
        assert all(r is not None and r.startswith("bytes=") for r in ranges[1:])
        assert len(await results(darkroom, batch, key)) == 30
        assert await darkroom.balance_micros(key) == 10_000_000 - 30 * BATCH_UNIT_MICROS
        await darkroom.check()

    play(tmp_path, story, unused)


class Torn(httpx.AsyncByteStream):
    """Two thirds of a body."""

    def __init__(self, data: bytes, request: httpx.Request) -> None:
        self._data = data
        self._request = request

    async def __aiter__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
        yield self._data[: len(self._data) * 2 // 3]
        raise httpx.ReadError("connection reset", request=self._request)
