"""Five hundred requests at once, over several accounts, with every fault of a provider among
them: what was delivered is charged, what was not is not, and the ledger adds up."""

from __future__ import annotations

import asyncio
import collections
from pathlib import Path
from random import Random

import httpx
import pytest

from shared.domain import Limits
from tests.darkroom import Darkroom, play
from tests.upstream import Upstream, picture, refusal, withheld

pytestmark = pytest.mark.load
REQUESTS = 500
PRICE = 39_000
OUTCOMES: list[httpx.Response | Exception] = [
    *[picture()] * 6,
    withheld(),
    refusal(429, "RESOURCE_EXHAUSTED", retry="1s"),
    refusal(503, "UNAVAILABLE"),
    refusal(500, "INTERNAL"),
    refusal(403, "PERMISSION_DENIED"),
    httpx.ReadTimeout("lost"),
    httpx.Response(200, text="<html>"),
]


async def mixed(darkroom: Darkroom) -> None:
    """The load itself, on whatever backends the Darkroom has."""
    random = Random(7)

    async def by_chance(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(random.random() / 100)
        outcome = random.choice(OUTCOMES)
        if isinstance(outcome, Exception):
            raise outcome
        return await Upstream([outcome]).handle_async_request(request)

    darkroom.upstream.script[:] = [by_chance]
    keys = [
        await darkroom.live_key(usd=50, shards=8),
        await darkroom.live_key(usd=50),
        await darkroom.live_key(usd=1, shards=8),
        await darkroom.live_key(usd=50, limits=Limits(rpm=40), shards=8),
        await darkroom.live_key(usd=50, limits=Limits(monthly_micros=20 * PRICE), shards=8),
    ]
    tickets = asyncio.Semaphore(64)

    async def one(n: int) -> tuple[str, int, int]:
        key = keys[n % len(keys)]
        body = {"model": "nano-banana", "prompt": f"cup {n}", "n": 1 + n % 3}
        async with tickets:
            # Some come twice, with the same key of idempotency.
            answer = await darkroom.post("/generate", body, key, idempotency_key=str(n % 450))
        made = answer.json().get("images", [])
        replayed = "idempotent-replayed" in answer.headers
        return key, answer.status_code, 0 if replayed else len(made)

    answers = await asyncio.gather(*map(one, range(REQUESTS)))
    delivered: collections.Counter[str] = collections.Counter()
    for key, _, images in answers:
        delivered[key] += images
    await darkroom.check()
    for key, usd in zip(keys, (50, 50, 1, 50, 50), strict=True):
        left = await darkroom.balance_micros(key)
        assert left == usd * 1_000_000 - delivered[key] * PRICE
        shown = (await darkroom.get("/account", key)).json()
        assert shown["held_usd"] == "0.000000"
        assert shown["usage"]["running"] == 0
    assert delivered[keys[2]] <= 1_000_000 // PRICE
    assert delivered[keys[4]] <= 20
    statuses = collections.Counter(status for _, status, _ in answers)
    assert {200, 402, 422, 429, 502, 503, 504} <= set(statuses), statuses
    assert statuses[500] == 0


def test_the_ledger_adds_up_on_sqlite(tmp_path: Path) -> None:
    play(tmp_path, mixed, picture())


@pytest.mark.emulator
def test_the_ledger_adds_up_on_firestore(tmp_path: Path, firestore_emulator: str) -> None:
    assert firestore_emulator
    env = {"DARKROOM_FIRESTORE_DATABASE": "(default)", "GOOGLE_CLOUD_PROJECT": "demo-mixed"}
    play(tmp_path, mixed, picture(), env=env)
