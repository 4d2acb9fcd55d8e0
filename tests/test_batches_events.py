"""Every message comes three times, in any order, some at once, with sweeps and clocks in between:
each picture is asked for once and charged once, by requests that nobody waits for and by batches.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from functions.__main__ import push
from shared.events import Dead, Event
from shared.sweep import sweep
from tests.batch_upstream import Asked, Google, google_error, google_line, google_withheld
from tests.darkroom import Darkroom, play
from tests.upstream import picture, refusal, withheld

pytestmark = pytest.mark.pictures
TOGETHER, ALONE = 19_500, 39_000
AT_ONCE = 6
MOST_TURNS = 5_000


@dataclass
class Thrice:
    """A queue that gives every event out three times, in any order."""

    random: Random
    waiting: list[Event] = field(default_factory=list)

    async def publish(self, event: Event) -> None:
        """Have it delivered thrice."""
        self.waiting += [event] * 3

    async def dead(self, limit: int) -> Sequence[Dead]:
        """None dies."""
        return []

    async def replay(self, dead_id: str) -> bool:
        """None died."""
        return False

    async def close(self) -> None:
        """Nothing is open."""

    def next(self) -> Event:
        """Any of those that wait."""
        return self.waiting.pop(self.random.randrange(len(self.waiting)))


class Fickle(Google):
    """A Google that now and then has no room, which says that nothing was done; `made` counts how
    often a picture was made for a prompt in a call of its own."""

    def __init__(self, random: Random) -> None:
        super().__init__(write)
        self.random = random
        self.made: Counter[str] = Counter()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self.random.randrange(5)):
            await asyncio.sleep(0)
        if not request.url.path.endswith(":generateContent"):
            return await super().__call__(request)
        if self.random.random() < 0.05:
            return refusal(503, "UNAVAILABLE")
        prompt = json.loads(request.content)["contents"][-1]["parts"][-1]["text"]
        self.made[prompt] += 1
        return withheld() if "withheld" in prompt else picture()


def write(asked: Sequence[Asked]) -> list[bytes]:
    """Results in another order: one refused, the withheld withheld, the others pictures."""
    lines = [
        google_withheld(one.key) if "withheld" in one.prompt else google_line(one.key)
        for one in asked[1:]
    ]
    return [*Random(len(asked)).sample(lines, len(lines)), google_error(asked[0].key, 13)]


async def deliver(darkroom: Darkroom, queue: Thrice, random: Random) -> None:
    """Deliver until nothing waits, with sweeps at any moment."""
    running: set[asyncio.Task[Any]] = set()
    for _ in range(MOST_TURNS):
        chance = random.random()
        if chance < 0.05:
            running.add(asyncio.create_task(sweep(darkroom.app, darkroom.now)))
        elif chance < 0.1:
            darkroom.pass_time(timedelta(seconds=random.uniform(0, 20)))
        elif queue.waiting and len(running) < AT_ONCE:
            running.add(asyncio.create_task(push(queue.next())))
        elif running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        else:
            return
    raise AssertionError(f"there is no end of it: {queue.waiting[:3]}")


async def ended(darkroom: Darkroom, queue: Thrice, paths: list[str], key: str) -> list[Any]:
    """What these came to in the end."""
    for _ in range(60):
        await deliver(darkroom, queue, queue.random)
        found = [(await darkroom.get(path, key)).json() for path in paths]
        if all(one["completed_at"] is not None for one in found):
            return found
        darkroom.pass_time(timedelta(minutes=1))
        await sweep(darkroom.app, darkroom.now)
    raise AssertionError(f"not ended: {[one['status'] for one in found]}")


def prompts(name: str, items: int) -> list[str]:
    """One of five is withheld."""
    return [f"{name} {n}{' withheld' if n % 5 == 3 else ''}" for n in range(items)]


def batch(name: str, items: int, mode: str) -> dict[str, Any]:
    """A batch of such prompts."""
    listed = [{"custom_id": prompt, "prompt": prompt} for prompt in prompts(name, items)]
    return {"model": "nano-banana", "items": listed, "mode": mode}


@pytest.mark.parametrize("seed", range(10))
def test_events_that_come_thrice_in_any_order(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    google = Fickle(random)

    async def story(darkroom: Darkroom) -> None:
        queue = darkroom.app.events = Thrice(random)
        key = await darkroom.live_key()
        paths = []
        for prompt in prompts("request", 5):
            asked = {"model": "nano-banana", "prompt": prompt}
            made = await darkroom.post("/generate", asked, key, prefer="respond-async")
            paths.append(f"/account/requests/{made.json()['id']}")
        for name, items, mode in (("file", 24, "provider"), ("few", 5, "provider"),
                                  ("alone", 12, "fanout")):  # fmt: skip
            made = await darkroom.post("/batch", batch(name, items, mode), key)
            paths.append(f"/batch/{made.json()['id']}")
        *requests, file, few, alone = await ended(darkroom, queue, paths, key)

        statuses = [one["status"] for one in requests]
        assert statuses == ["succeeded"] * 3 + ["failed", "succeeded"]
        together = [*prompts("file", 24), *prompts("few", 5)]
        good = 0
        for one, name in ((file, "file"), (few, "few"), (alone, "alone")):
            answer = await darkroom.get(f"/batch/{one['id']}/results", key)
            lines = [json.loads(line) for line in answer.text.splitlines()]
            assert Counter(line["custom_id"] for line in lines) == Counter(
                prompts(name, one["counts"]["total"])
            )
            bad = {line["custom_id"] for line in lines if line["status"] == "failed"}
            lost = {f"{name} 0"} if name != "alone" else set()
            assert bad == {p for p in prompts(name, len(lines)) if "withheld" in p} | lost
            good += (len(lines) - len(bad)) if name != "alone" else 0
        single = [*prompts("request", 5), *prompts("alone", 12)]
        assert google.made == Counter(single)
        assert sum(len(google.asked(n)) for n in range(len(google.batches))) == len(together)
        delivered = sum("withheld" not in prompt for prompt in single)
        spent = 10_000_000 - await darkroom.balance_micros(key)
        assert spent == TOGETHER * good + ALONE * delivered
        await darkroom.check()
        assert darkroom.app.storage is not None
        left = await darkroom.app.storage.list("queue/")
        assert not left

    play(tmp_path, story, google)
