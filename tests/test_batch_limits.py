"""What a provider's batch may weigh and cost, how long one step may take, and how long to leave a
provider alone that has no room."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import batch_jobs, sources
from shared.batch_shift import STEP_S
from shared.domain import ImageRequest
from shared.errors import InvalidRequest
from tests.batch_upstream import Google
from tests.darkroom import Darkroom, play
from tests.functions.test_batch import BATCH_UNIT_MICROS, MODEL, created, ended, live, unused
from tests.test_batch_faults import CREATE, all_made, kept, pictures, woken
from tests.upstream import refusal

pytestmark = pytest.mark.pictures


def test_a_step_ends_in_time_though_its_images_are_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(darkroom: Darkroom) -> None:
        live(darkroom)
        key = await darkroom.live_key(usd=100)
        urls = [f"https://dead.example/{n}.png" for n in range(100)]
        some = [{"custom_id": url, "prompt": "a cup", "images": [{"url": url}]} for url in urls]
        body = {"model": MODEL, "items": some, "mode": "provider"}
        batch = (await darkroom.post("/batch", body, key)).json()
        tried = 0

        async def slow(*_: object) -> ImageRequest:
            nonlocal tried
            tried += 1
            if tried % 4 == 0:
                darkroom.pass_time(timedelta(seconds=20))
            raise InvalidRequest("The URL cannot be read.")

        monkeypatch.setattr(sources, "load", slow)
        began = darkroom.now
        await darkroom.deliver(1)
        assert darkroom.now - began <= timedelta(seconds=STEP_S + 40)
        assert 0 < tried < 100
        assert (await kept(darkroom, batch, key)).counts.failed == tried
        done = await ended(darkroom, batch, key)
        assert (tried, done["counts"]["failed"]) == (100, 100)
        assert await darkroom.balance_micros(key) == 100_000_000
        await darkroom.check()

    play(tmp_path, story, unused)


def test_rests_leave_nothing_on_record(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        batch = await created(darkroom, key)
        full = refusal(429, "RESOURCE_EXHAUSTED")
        played.instead = lambda r: full if r.url.path.endswith(CREATE) else None
        for _ in range(6):
            await woken(darkroom, timedelta(minutes=11))
        assert played.count("POST", CREATE) >= 6
        assert (await kept(darkroom, batch, key)).jobs == ()
        played.instead = lambda _: None
        await all_made(darkroom, batch, key, 3)
        assert len((await kept(darkroom, batch, key)).jobs) == 1

    play(tmp_path, story, unused)


def test_one_that_finds_no_room_again_rests_longer(tmp_path: Path) -> None:
    async def story(darkroom: Darkroom) -> None:
        played, key = live(darkroom), await darkroom.live_key()
        await created(darkroom, key)
        full = refusal(429, "RESOURCE_EXHAUSTED")
        played.instead = lambda r: full if r.url.path.endswith(CREATE) else None
        for _ in range(60):
            await woken(darkroom, timedelta(seconds=30))
        # In half an hour: after 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 25.5 minutes.
        assert played.count("POST", CREATE) <= 7

    play(tmp_path, story, unused)


def test_a_chunk_goes_into_as_many_jobs_as_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_jobs, "JOB_BYTES", 1000)
    google = Google(pictures)

    async def fine(request: httpx.Request) -> httpx.Response:
        return google.answer(request)

    google.faults = {CREATE: [fine, refusal(429, "RESOURCE_EXHAUSTED"), fine, refusal(503, "NO")]}

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await created(darkroom, key, 30)
        await all_made(darkroom, batch, key, 30)
        sent = Counter(one.prompt for n in range(len(google.batches)) for one in google.asked(n))
        assert sent == Counter(f"cup {n}" for n in range(30))
        sizes = [len(data) for _, data in google.batches]
        assert len(sizes) > 2
        assert max(sizes) < 3000
        # What was taken back went again as it was.
        first, *again = google.uploads
        assert (len(again), first) == (len(sizes) + 1, google.batches[0][1])
        assert again[0] == again[1] == google.batches[1][1]
        assert again[2] == again[3] == google.batches[2][1]

    play(tmp_path, story, google)


@pytest.mark.parametrize(("count", "usd"), [(24, "0.30"), (3, "0.04")])
def test_a_job_is_no_larger_than_a_day_may_cost(tmp_path: Path, count: int, usd: str) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text(f'[[provider]]\nid = "google"\ndaily_usd = "{usd}"\n')
    google = Google(pictures)

    async def story(darkroom: Darkroom) -> None:
        key = await darkroom.live_key()
        batch = await created(darkroom, key, count)
        await woken(darkroom)
        assert len(google.batches) == 1
        cap = float(usd) * 1_000_000
        assert len(google.asked(0)) <= cap / BATCH_UNIT_MICROS
        assert sum(item["held_micros"] for item in await lying(darkroom, batch)) > cap
        await woken(darkroom, timedelta(days=1))
        await all_made(darkroom, batch, key, count)
        sent = [one.prompt for n in range(len(google.batches)) for one in google.asked(n)]
        assert sorted(sent) == sorted(f"cup {n}" for n in range(count))

    play(tmp_path, story, google, env={"DARKROOM_CATALOGUE": str(overlay)})


async def lying(darkroom: Darkroom, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A batch's items as they lie in storage."""
    found = []
    for name in await darkroom.app.storage.list(f"items/{batch['id']}/"):
        blob = await darkroom.app.storage.get(name)
        found += [json.loads(line) for line in blob.data.splitlines()] if blob else []
    return found
