"""One contract for both backends of records, SQLite on a file and Firestore over a real connection:
the meters of provider accounts, and what only one backend promises of them."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import grpc
import pytest

from shared.pacing import Meter
from shared.records import Records, Stale
from shared.records.firestore import Firestore
from shared.records.sqlite import Sqlite
from tests.emulators.firestore_wire import Wire
from tests.records.scene import KINDS, NOW, Run, balance, opened, runner

METER = Meter(
    calls=(NOW - timedelta(microseconds=1), NOW, NOW, NOW + timedelta(minutes=1)),
    free_day="2026-11-20",
    free_day_count=7,
    free_minute="2026-11-21T10:05",
    free_minute_count=2,
    spent_day="2026-11-21",
    spent_micros=10**15,
)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def test_a_meter_that_was_never_written_is_empty(run: Run) -> None:
    async def scenario(records: Records) -> None:
        assert await records.meter("acme") == Meter()

    run(scenario)


def test_a_meter_comes_back_as_it_was_written(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.put_meter("acme", METER)
        stored = await records.meter("acme")
        assert stored.version
        assert replace(stored, version="") == METER
        assert await records.meter("other") == Meter()
        later = replace(stored, calls=stored.calls[2:], spent_micros=0)
        await records.put_meter("acme", later)
        again = await records.meter("acme")
        assert again.version != stored.version
        assert again == replace(later, version=again.version)

    run(scenario)


def test_a_meter_is_begun_once(run: Run) -> None:
    async def scenario(records: Records) -> None:
        tries = [records.put_meter("acme", replace(METER, spent_micros=n)) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Stale) for result in results) == 3
        assert (await records.meter("acme")).spent_micros == results.index(None)
        with pytest.raises(Stale):
            await records.put_meter("acme", METER)

    run(scenario)


def test_of_two_writes_from_one_reading_the_first_counts(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.put_meter("acme", METER)
        seen = await records.meter("acme")
        tries = [records.put_meter("acme", replace(seen, spent_micros=n)) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Stale) for result in results) == 3
        assert (await records.meter("acme")).spent_micros == results.index(None)

    run(scenario)


def test_a_meter_written_as_it_was_has_a_new_version(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.put_meter("acme", METER)
        seen = await records.meter("acme")
        await records.put_meter("acme", seen)
        with pytest.raises(Stale):
            await records.put_meter("acme", seen)

    run(scenario)


def test_a_version_of_a_meter_that_is_gone_is_stale(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.put_meter("acme", METER)
        with pytest.raises(Stale):
            await records.put_meter("other", await records.meter("acme"))
        assert await records.meter("other") == Meter()

    run(scenario)


def test_a_file_from_before_there_were_meters_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "records.db"

    async def before() -> None:
        records = Sqlite(path)
        await opened(records, micros=70)
        await records.close()

    async def after() -> None:
        records = Sqlite(path)
        await records.put_meter("acme", METER)
        assert (await records.meter("acme")).calls == METER.calls
        assert await balance(records) == 70
        await records.close()

    asyncio.run(before())
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE meters; PRAGMA user_version = 1")
    asyncio.run(after())


@pytest.mark.emulator
@pytest.mark.parametrize("received", [True, False])
def test_a_meter_takes_one_call_to_read_and_one_to_write_and_a_lost_answer_counts_once(
    wire: Wire, received: bool
) -> None:
    async def sleep(seconds: float) -> None:
        wire.waits.append(seconds)

    async def scenario() -> None:
        records = Firestore(f"demo-{uuid.uuid4().hex[:20]}", "darkroom", Random(0), sleep)
        assert await wire.counted(records.meter("acme")) == ["BatchGetDocuments"]
        assert await wire.counted(records.put_meter("acme", METER)) == ["Commit"]
        seen = await records.meter("acme")
        assert await wire.counted(records.put_meter("acme", seen)) == ["Commit"]
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, received))
        await records.put_meter("acme", await records.meter("acme"))
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, received))
        await records.put_meter("other", METER)
        assert (await records.meter("other")).calls == METER.calls
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(Stale):
            await records.put_meter("acme", METER)
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(Stale):
            await records.put_meter("acme", seen)
        await records.close()

    asyncio.run(scenario())
