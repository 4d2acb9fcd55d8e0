"""What each step of one picture costs, in milliseconds of processor time, beside what only reading,
decoding, hashing, writing and sending its bytes costs: `python -m tests.benchmarks.steps`.

A picture of 1.3 MB, as OpenAI's answer of 1.7 MB and through OpenAI's surface, on SQLite and a
folder, one at a time; of several rounds the median, and the least. The steps' own functions are
called with what the step before gave them; whatever a whole request takes beyond them is "between".
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import pybase64
import uvloop

from functions import http
from shared import catalogue, ledger, pixels
from shared.connections import Connections
from shared.domain import Account, Entry, Hold, Image, Picture, Quote, Record
from shared.providers import Done, Inline
from shared.providers.registry import ADAPTERS
from shared.receiving import receive
from shared.records.sqlite import Sqlite
from shared.settlement import image_of
from shared.storage.disk import Disk
from tests.benchmarks import targets
from tests.benchmarks.upstream import openai_reply, picture

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROUTE = catalogue.load().resolve(targets.OPENAI_MODEL, NOW.date()).routes[0]


@dataclass
class Timed:
    """Milliseconds of processor time, of this process with all its threads, by step."""

    each: int
    by_step: dict[str, list[float]]

    async def step(self, name: str, work: Callable[[int], Awaitable[object]]) -> None:
        """Do it as often as that, numbered, and note what one took."""
        begun = time.process_time()
        for number in range(self.each):
            await work(number)
        took = (time.process_time() - begun) * 1000 / self.each
        self.by_step.setdefault(name, []).append(took)


async def steps(timed: Timed, address: str, folder: Path, turn: int) -> None:
    """Every step once over."""
    connections, adapter = Connections(), ADAPTERS[ROUTE.wire]
    url = f"{address}/v1/images/generations"

    async def taken_in(_: int) -> httpx.Response:
        request = httpx.Request("POST", url, content=b"{}")
        return await receive(connections, request, None)

    response = await taken_in(0)
    await timed.step("take in the answer", taken_in)

    async def read(_: int) -> Done:
        done = adapter.read(response)
        assert isinstance(done, Done)
        return done

    await timed.step("parse and decode", read)
    [inline] = (await read(0)).images
    assert isinstance(inline, Inline)
    data = inline.data

    async def measured(_: int) -> Picture | None:
        return pixels.measure(data)

    await timed.step("verify, measure and hash", measured)
    found = await measured(0)
    assert found is not None
    disk = Disk(folder / f"disk-{turn}")

    async def stored(number: int) -> None:
        name = f"images/req_{number}/0"
        await disk.put(name, data, "image/png", {"route": ROUTE.key})
        await disk.delete(name)

    await timed.step("store", stored)
    image = image_of("req_a", 0, found)
    await _records(timed, folder / f"records-{turn}.db", image)

    async def rendered(_: int) -> bytes:
        inline = pybase64.b64encode_as_string(data)
        return http.encoded({"created": 1, "data": [{"b64_json": inline}]})

    await timed.step("render", rendered)
    await connections.aclose()


async def _records(timed: Timed, path: Path, image: Image) -> None:
    """Look, begin and finish, as a request does."""
    records = Sqlite(path)
    await records.create_account(Account("acc_a", "bench", NOW))
    year = NOW + timedelta(days=365)
    await records.grant(Entry("ent_a", "acc_a", "grant", 10**12, NOW, None, "g", year))
    quote, random = Quote({ROUTE.key: 40_000}, 40_000, 40_000), Random(7)

    async def kept(number: int) -> None:
        asked = f"req_{path.stem}_{number}"
        standing = await records.look("acc_a", asked)
        reservation = ledger.reserve(standing, quote.micros, NOW, random)
        draft = replace(_record(quote, asked), hold=reservation.hold)
        [begun] = await records.begin([(draft, reservation)])
        ended = replace(begun, status="succeeded", images=(image,), charged_micros=40_000)
        posting = ledger.post(begun.hold, 40_000)
        await records.finish(replace(ended, provider=ROUTE.provider, completed_at=NOW), posting)

    await timed.step("records", kept)
    await records.close()


def _record(quote: Quote, request_id: str) -> Record:
    return Record(
        id=request_id,
        account_id="acc_a",
        key_id="key_a",
        operation="generate",
        status="running",
        model=ROUTE.model,
        prompt=targets.PROMPT,
        parameters={"model": ROUTE.model, "n": 1},
        fingerprint="f" * 64,
        sandbox=False,
        quote=quote,
        hold=Hold(0, (), 0, ""),
        created_at=NOW,
        lease_until=NOW,
    )


async def limits(timed: Timed, folder: Path) -> None:
    """The bytes alone: into the process, decoded, hashed, onto the disk and out again."""
    data = picture()
    body = json.dumps(openai_reply(base64.b64encode(data).decode())).encode()
    text = base64.b64encode(data).decode()
    buffer = bytearray(2**18)

    async def moved(_: int) -> None:
        # The other end is a thread of this process, so both ends are counted: in and out.
        here, there = socket.socketpair()
        other = threading.Thread(target=there.sendall, args=(body,))
        other.start()
        left = len(body)
        while left:
            left -= here.recv_into(buffer)
        other.join()
        here.close()
        there.close()

    async def decoded(_: int) -> bytes:
        return pybase64.b64decode(text, validate=True)

    async def hashed(_: int) -> str:
        return hashlib.sha256(data).hexdigest()

    async def written(number: int) -> None:
        path = folder / f"raw-{number}"
        with path.open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        path.unlink()

    await timed.step("limit: move 1.7 MB, both ends", moved)
    await timed.step("limit: decode", decoded)
    await timed.step("limit: hash", hashed)
    await timed.step("limit: write", written)


async def main_steps(rounds: int, each: int) -> dict[str, list[float]]:
    """All of it, round by round."""
    timed = Timed(each, {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with targets.upstream(folder) as address:
            for turn in range(rounds):
                await steps(timed, address, folder, turn)
                await limits(timed, folder)
    return timed.by_step


def main() -> None:
    """Measure as often as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=40)
    given = parser.parse_args()
    told = uvloop.run(main_steps(given.rounds, given.each))
    figures = {
        name: {"ms": round(statistics.median(of), 3), "least_ms": round(min(of), 3)}
        for name, of in told.items()
    }
    lines = [
        f"| {name} | {one['ms']:.2f} | {one['least_ms']:.2f} |" for name, one in figures.items()
    ]
    shown = "\n".join(["| step | ms | least |", "|---|---|---|", *lines])
    sys.stdout.write(f"{json.dumps(figures, indent=1)}\n\n{shown}\n")


if __name__ == "__main__":
    main()
