"""What each kind of request costs in round trips, counted: `python -m tests.benchmarks.round_trips
[--concurrent 32] [--items 200]`.

A whole Darkroom in this process, with a live key on a wallet of eight shards and a provider that
answers after 50 ms, talks to the emulators of Firestore and Cloud Storage; what goes over both
wires is counted, once for requests that come alone and once for so many of one account at once,
which share calls. A batch's calls are divided by its items, and what `sweep` asks every minute is
not among them. Messages go by the local queue: Pub/Sub would be one call each. Printed as JSON,
then as a table; it needs both emulators (README.md, Work on it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from shared import sweep
from tests.benchmarks.channel import Calls, watched
from tests.darkroom import Darkroom, photo, play
from tests.emulators.firestore import emulating
from tests.emulators.storage import Sent, new_bucket, seen, serving
from tests.functions.test_batch import created, live
from tests.functions.test_edit import b64
from tests.upstream import picture

CUP = {"model": "nano-banana", "prompt": "a cup"}
PROVIDER_S = 0.05


@dataclass
class Told:
    """What one kind of request came to, each: calls to Firestore and to Storage, and the former by
    method."""

    kind: str
    concurrent: int
    firestore: float
    storage: float
    methods: Mapping[str, float]


@dataclass
class Wires:
    """What went over both."""

    calls: Calls
    sent: list[Sent]
    told: list[Told] = field(default_factory=list)

    def begin(self) -> None:
        """Count from here."""
        self.calls.begin()
        self.sent.clear()

    def note(self, kind: str, concurrent: int, requests: int, before: Counter[str]) -> None:
        """What has been counted for so many requests, `before` and since."""
        methods = before + self.calls.made
        storage = len(self.sent) + methods.pop("storage", 0)
        each = {name: round(count / requests, 3) for name, count in sorted(methods.items())}
        total = round(methods.total() / requests, 3)
        self.told.append(Told(kind, concurrent, total, round(storage / requests, 3), each))

    def so_far(self) -> Counter[str]:
        """As `note` takes it."""
        return self.calls.made + Counter(storage=len(self.sent))


async def story(darkroom: Darkroom, wires: Wires, concurrent: int, items: int) -> None:
    """Every kind of request, alone and at once."""

    async def late(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(PROVIDER_S)
        return picture()

    key = await darkroom.live_key(usd=1_000, shards=8)
    await darkroom.get("/account", key)
    source = b64(photo())

    async def generate(name: str, **more: object) -> None:
        body = {**CUP, **more}
        answer = await darkroom.post("/generate", body, key, idempotency_key=name)
        assert answer.status_code == 200, answer.text

    async def edit(name: str) -> None:
        body = {**CUP, "images": [source]}
        answer = await darkroom.post("/edit", body, key, idempotency_key=name)
        assert answer.status_code == 200, answer.text

    async def deferred(_: str) -> None:
        answer = await darkroom.post("/generate", CUP, key, prefer="respond-async")
        assert answer.status_code == 202, answer.text

    kinds: Mapping[str, Callable[[str], Awaitable[None]]] = {
        "generate": generate,
        "generate, n = 3": lambda name: generate(f"n{name}", n=3),
        "replay": generate,
        "edit": lambda name: edit(f"e{name}"),
        "async": deferred,
    }
    for kind, ask in kinds.items():
        for count in (1, concurrent):
            darkroom.upstream.script[:] = [late]
            wires.begin()
            await asyncio.gather(*(ask(f"{count}-{n}") for n in range(count)))
            await darkroom.deliver()
            wires.note(kind, count, count, Counter())
    for mode in ("fanout", "auto"):
        await _batch(darkroom, wires, key, items, mode)
    await darkroom.check()


async def _batch(darkroom: Darkroom, wires: Wires, key: str, items: int, mode: str) -> None:
    live(darkroom)
    wires.begin()
    batch = await created(darkroom, key, items, mode=mode)
    before = wires.so_far()
    shown: Mapping[str, object] = batch
    while shown["completed_at"] is None:
        await sweep.sweep(darkroom.app, darkroom.now)
        wires.begin()
        await darkroom.deliver()
        before += wires.so_far()
        shown = (await darkroom.get(f"/batch/{batch['id']}", key)).json()
        darkroom.pass_time(timedelta(seconds=30))
    assert shown["status"] == "succeeded", shown
    wires.begin()
    kind = "one call each" if mode == "fanout" else "a provider's own"
    wires.note(f"batch item, {kind}", items, items, before)


def measured(concurrent: int, items: int) -> Sequence[Told]:
    """All of it."""
    with (
        emulating(),
        serving() as url,
        watched() as calls,
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
    ):
        bucket = new_bucket(url)
        project = f"demo-{bucket[-12:]}"
        patch.setenv("GOOGLE_CLOUD_PROJECT", project)
        env = {
            "DARKROOM_FIRESTORE_DATABASE": "(default)",
            "DARKROOM_BUCKET": bucket,
            "STORAGE_EMULATOR_HOST": url,
            "GOOGLE_CLOUD_PROJECT": project,
        }
        wires = Wires(calls, seen(url, patch))
        play(Path(folder), lambda d: story(d, wires, concurrent, items), picture(), env=env)
        return wires.told


def table(every: Sequence[Told]) -> str:
    """One line for each kind."""
    lines = [f"{'each':30}{'at once':>9}{'Firestore':>11}{'Storage':>9}  by method"]
    for told in every:
        methods = ", ".join(f"{name} {count:g}" for name, count in told.methods.items())
        firestore, storage = f"{told.firestore:11.2f}", f"{told.storage:9.2f}"
        lines.append(f"{told.kind:30}{told.concurrent:9}{firestore}{storage}  {methods}")
    return "\n".join(lines)


def main() -> None:
    """Count what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--concurrent", type=int, default=32)
    parser.add_argument("--items", type=int, default=200)
    given = parser.parse_args()
    try:
        told = measured(given.concurrent, given.items)
    except pytest.skip.Exception as missing:
        sys.stderr.write(f"{missing}\n")
        return
    counted = json.dumps({"round_trips": [vars(one) for one in told]}, indent=2)
    sys.stdout.write(f"{counted}\n\n{table(told)}\n")


if __name__ == "__main__":
    main()
