"""What a request costs once many are stored, measured: `python -m tests.benchmarks.growth
[--sqlite 100 10000 1000000] [--firestore 100 10000] [--calls 200]`.

An account is given so many requests that have ended, each with its charge, over a year; they are
written in bulk. Then, one call after the other: what one more request costs the records (a look, a
hold, an end), and the first page of the lists, a month's usage and a sweep's question. Printed as
JSON, then as a table, in milliseconds a call; `cpu` is this process's alone.

SQLite is asked on a file as a laptop has it, some 1.6 GB with a million requests, in a temporary
folder. Of Firestore, whose cost does not depend on how much is stored but on what is found
(firebase.google.com/docs/firestore/query-data/queries, 2026-11), the emulator can show only that no
call of ours reads more as requests grow: it has no indexes and keeps everything in its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from shared.admission import Admission
from shared.domain import Entry, Record, UsageRow
from shared.ledger import day_of
from shared.records import Records, RequestFilter, documents
from shared.records.firestore import Firestore
from shared.records.firestore_ends import document_of
from shared.records.sqlite import Sqlite
from tests.benchmarks.channel import Calls, watched
from tests.emulators.firestore import emulating
from tests.records.scene import account, draft, grant, image, settle

PRICE = 39_000
PAGE = 20
YEAR_S = 365 * 86_400
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
_FAILED_EVERY = 5_000


@dataclass
class Told:
    """One backend with so many requests: seconds that writing them took and the file's bytes, and
    by call the milliseconds and the reads."""

    records: str
    stored: int
    written_s: float = 0.0
    file_bytes: int | None = None
    wall_ms: dict[str, float] = field(default_factory=dict)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    rpcs: dict[str, float] = field(default_factory=dict)


def earlier(count: int) -> Iterator[tuple[Record, Entry]]:
    """Requests that have ended, a few of them badly, the oldest first, with their charges."""
    random = Random(7)  # the same shape every time
    for n in range(count):
        at = NOW - timedelta(seconds=YEAR_S * (count - n) / count)
        failed = n % _FAILED_EVERY == 0
        record = replace(
            draft(f"req_{random.getrandbits(128):032x}", PRICE, at),
            status="failed" if failed else "succeeded",
            provider="google",
            images=() if failed else (image(0),),
            charged_micros=0 if failed else PRICE,
            idempotency_key=f"order-{n}",
            completed_at=at + timedelta(seconds=9),
        )
        entry = Entry(
            f"chg_{record.id[4:]}", "acc", "charge", -record.charged_micros, at, record.id
        )
        yield record, entry


def into_sqlite(path: Path, count: int) -> None:
    """Write them past the backend, in one transaction."""
    days: dict[str, int] = {}

    def rows() -> Iterator[tuple[dict[str, object], dict[str, object]]]:
        for record, entry in earlier(count):
            row, line = dict(documents.from_record(record)), dict(documents.from_entry(entry))
            for times in (row, line):
                for name in ("created_at", "lease_until", "at"):
                    if isinstance(when := times.get(name), datetime):
                        times[name] = documents.iso(when)
            days[day_of(record.created_at)] = days.get(day_of(record.created_at), 0) + 1
            yield row, line

    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA cache_size = -500000")
        with db:
            for row, line in rows():
                db.execute(
                    "INSERT INTO requests VALUES (:id, :account_id, :status, :operation, :model,"
                    " :idempotency_key, :created_at, :lease_until, :deleted, :body, 1)",
                    row,
                )
                db.execute(
                    "INSERT INTO entries VALUES (:id, :account_id, :kind, :micros, :at,"
                    " :request_id, :grant_id, :expires_at)",
                    line,
                )
            db.executemany(
                "INSERT INTO usage VALUES ('acc', ?, 'gemini-3.1-flash-image', 'google', ?, ?, ?)",
                [(day, made, made, made * PRICE) for day, made in days.items()],
            )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def into_firestore(records: Firestore, count: int) -> None:
    """Write them past the backend, some hundred a commit."""
    client, some = records._client, list[tuple[Record, Entry]]()
    charged: dict[str, list[UsageRow]] = {}

    async def flush() -> None:
        writes = client.batch()
        for record, entry in some:
            writes.set(records._request_ref(record.id), {**document_of(record), "writer": "bench"})
            records._enter(writes, entry)
        await writes.commit()
        some.clear()

    for record, entry in earlier(count):
        some.append((record, entry))
        day = day_of(record.created_at)
        row = UsageRow(day, record.model, "google", 1, 1, PRICE)
        charged.setdefault(day, []).append(row)
        if len(some) == 200:
            await flush()
    await flush()
    for days in (list(charged.values())[n : n + 100] for n in range(0, len(charged), 100)):
        writes = client.batch()
        for rows in days:
            records._use(writes, "acc", 0, rows)
        await writes.commit()


@contextmanager
def timed(told: Told, name: str, times: int, calls: Calls | None) -> Iterator[None]:
    """Measure so many calls."""
    if calls:
        calls.begin()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    told.wall_ms[name] = round((time.perf_counter() - wall) * 1000 / times, 3)
    told.cpu_ms[name] = round((time.process_time() - cpu) * 1000 / times, 3)
    if calls:
        told.rpcs[name] = round(calls.made.total() / times, 2)


async def measured(told: Told, records: Records, calls: Calls | None, times: int) -> Told:
    """Make every call so often."""
    admission = Admission(records, lambda: NOW, Random(0), asyncio.sleep)  # the same every time

    async def one_more(n: int) -> None:
        name = f"req_new_{n}"
        standing = await records.look("acc", name)
        await settle(records, await admission.reserve(standing, draft(name, PRICE, NOW)), PRICE)

    def page(where: RequestFilter) -> Callable[[int], Awaitable[object]]:
        return lambda _: records.requests("acc", where, PAGE, None)

    asked: Mapping[str, Callable[[int], Awaitable[object]]] = {
        "request": one_more,
        "list": page(RequestFilter()),
        "list failed": page(RequestFilter(status="failed")),
        "list by key": page(RequestFilter(idempotency_key="order-7")),
        "ledger": lambda _: records.entries("acc", PAGE, None),
        "usage": lambda _: records.usage("acc", "2026-10-22", "2026-11-21"),
        "overdue": lambda _: records.overdue(NOW, 100),
    }
    for name, ask in asked.items():
        few = times if name == "request" else max(1, times // 10)
        await ask(-1)
        with timed(told, name, few, calls):
            for n in range(few):
                await ask(n)
    return told


async def on_sqlite(count: int, times: int) -> Told:
    """A file with so many requests."""
    told = Told("sqlite", count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        records = Sqlite(path)
        await records.create_account(account())
        await records.grant(grant(10**12))
        begun = time.perf_counter()
        into_sqlite(path, count)
        told.written_s = round(time.perf_counter() - begun, 1)
        told.file_bytes = path.stat().st_size
        try:
            return await measured(told, records, None, times)
        finally:
            await records.close()


async def on_firestore(count: int, times: int, calls: Calls) -> Told:
    """A database with so many requests."""
    told = Told("firestore", count)
    project = f"demo-{uuid.uuid4().hex[:20]}"
    records = Firestore(project, "darkroom", Random(0), asyncio.sleep)  # the same every time
    try:
        await records.create_account(account(shards=8))
        await records.grant(grant(10**12))
        begun = time.perf_counter()
        await into_firestore(records, count)
        told.written_s = round(time.perf_counter() - begun, 1)
        return await measured(told, records, calls, times)
    finally:
        await records.close()


def table(every: Sequence[Told]) -> str:
    """The wall and processor milliseconds of each call, one line for each number of requests."""
    names = list(every[0].wall_ms)
    lines = [f"{'wall/cpu ms':22}" + "".join(f"{name:>18}" for name in names)]
    for told in every:
        figures = (f"{told.wall_ms[name]:.2f}/{told.cpu_ms[name]:.2f}" for name in names)
        row = "".join(f"{figure:>18}" for figure in figures)
        lines.append(f"{f'{told.records} {told.stored:,}':22}{row}")
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sqlite", type=int, nargs="*", default=[100, 10_000, 1_000_000])
    parser.add_argument("--firestore", type=int, nargs="*", default=[100, 10_000])
    parser.add_argument("--calls", type=int, default=200)
    given = parser.parse_args()
    told = [asyncio.run(on_sqlite(count, given.calls)) for count in given.sqlite]
    if given.firestore:
        try:
            with emulating(), watched() as calls:
                told += [
                    asyncio.run(on_firestore(count, given.calls, calls))
                    for count in given.firestore
                ]
        except pytest.skip.Exception as missing:
            sys.stderr.write(f"{missing}\n")
    measured_json = json.dumps({"growth": [vars(one) for one in told]}, indent=2)
    sys.stdout.write(f"{measured_json}\n\n{table(told)}\n")


if __name__ == "__main__":
    main()
