"""What only the SQLite backend promises: one file, several processes, no newer schema."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import ledger
from shared.ledger import Lot, Shard, Standing
from shared.records.sqlite import Sqlite
from shared.records.sqlite_ledger import caught_up
from shared.settings import BadSettings
from tests.records.scene import (
    NOW,
    account,
    admit,
    admit_batch,
    balance,
    batch_draft,
    draft,
    ended_batch,
    in_lots,
    notice_of,
    opened,
    settle,
)


def test_the_file_and_its_folder_are_made_and_keep_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "data" / "records.db"

    async def first() -> None:
        records = Sqlite(path)
        await opened(records)
        await admit(records, draft("req_1"))
        await records.close()

    async def second() -> None:
        records = Sqlite(path)
        record = await records.request("acc", "req_1")
        assert record is not None
        await settle(records, record, 40)
        assert await balance(records) == 9_960
        await records.close()

    asyncio.run(first())
    asyncio.run(second())


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(BadSettings, match="newer version"):
        Sqlite(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_file_from_before_there_were_batches_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "records.db"

    async def before() -> None:
        records = Sqlite(path)
        await opened(records)
        await admit(records, draft("req_1"))
        await records.close()

    async def after() -> None:
        records = Sqlite(path)
        assert [r.id for r in await records.overdue(NOW + timedelta(days=1), 9)] == ["req_1"]
        batch = await admit_batch(records, batch_draft())
        await records.advance_batch(ended_batch(batch), None, notice_of("bat_1"))
        assert len(await records.notices("due", 9)) == 1
        await records.close()

    asyncio.run(before())
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE batches; DROP TABLE notices; DROP INDEX requests_open;"
            " CREATE INDEX requests_running ON requests (lease_until) WHERE status = 'running';"
            " PRAGMA user_version = 2"
        )
    asyncio.run(after())
    with closing(sqlite3.connect(path)) as db:
        indexes = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    assert "requests_open" in indexes
    assert "requests_running" not in indexes


def test_what_is_due_is_found_by_an_index(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        records = Sqlite(tmp_path / "records.db")
        asked: list[str] = []
        records._db.set_trace_callback(asked.append)
        await records.overdue(NOW, 5)
        await records.due_batches(NOW, 5)
        await records.due_notices(NOW, 5)
        await records.notices("dead", 5)
        await records.batches("acc", None, 5, None)
        records._db.set_trace_callback(None)
        queries = [sql for sql in asked if sql.startswith("SELECT")]
        plans = [records._db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in queries]
        await records.close()
        return ["; ".join(detail for *_, detail in plan) for plan in plans]

    plans = asyncio.run(scenario())
    names = ["requests_open", "batches_due", "notices_due", "notices_due", "batches_newest"]
    assert len(plans) == len(names)
    for plan, name in zip(plans, names, strict=True):
        assert f"USING INDEX {name}" in plan, plan
        assert "SCAN" not in plan, plan


def test_a_commit_is_on_the_disk_before_it_returns(tmp_path: Path) -> None:
    records = Sqlite(tmp_path / "records.db")
    found = [records._db.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS]
    asyncio.run(records.close())
    assert dict(zip(_PRAGMAS, found, strict=True)) == _PRAGMAS


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_writes_that_come_at_once_are_one_commit_in_which_each_fails_alone(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        records = Sqlite(tmp_path / "records.db")
        await opened(records)
        said, busy = list[str](), Event()
        records._db.set_trace_callback(said.append)
        records._thread.submit(busy.wait)
        accounts = [account(name) for name in ("a", "acc", "b", "c")]
        made = [asyncio.create_task(records.create_account(one)) for one in accounts]
        looked = asyncio.create_task(records.look("acc", None))
        await asyncio.sleep(0)
        made[3].cancel()
        busy.set()
        results = await asyncio.gather(*made, return_exceptions=True)
        assert [type(one) for one in results] == [
            type(None),
            ValueError,
            type(None),
            asyncio.CancelledError,
        ]
        assert (await looked).account.id == "acc"
        records._db.set_trace_callback(None)
        assert [one.id for one in await records.accounts()] == ["a", "acc", "b"]
        await records.close()
        return said

    said = asyncio.run(scenario())
    assert said.count("BEGIN IMMEDIATE") == 1
    assert said.count("COMMIT") == 2


def test_what_breaks_the_whole_transaction_is_told_to_all_in_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        records = Sqlite(tmp_path / "records.db")
        await opened(records)
        busy = Event()
        records._thread.submit(busy.wait)

        def broken() -> None:
            # As a full disk does.
            records._db.execute("ROLLBACK")
            raise sqlite3.OperationalError("the disk is full")

        first = asyncio.create_task(records.create_account(account("a")))
        second = asyncio.create_task(records._write(broken))
        third = asyncio.create_task(records.create_account(account("b")))
        await asyncio.sleep(0)
        busy.set()
        results = await asyncio.gather(first, second, third, return_exceptions=True)
        assert [str(one) for one in results] == ["the disk is full"] * 3
        assert [one.id for one in await records.accounts()] == ["acc"]
        await records.create_account(account("a"))
        await records.close()

    asyncio.run(scenario())


@given(
    micros=st.lists(st.integers(0, 300), min_size=2, max_size=5),
    charged=st.integers(0, 300),
    days=st.integers(0, 40),
)
def test_a_hold_and_an_end_come_to_the_same_whichever_is_written_first(
    micros: list[int], charged: int, days: int
) -> None:
    lots = {"old": Lot(400, NOW + timedelta(days=20)), "new": Lot(2_000, NOW + timedelta(days=90))}
    standing, later = Standing(account(), (Shard(0, lots),)), NOW + timedelta(days=days)
    first = ledger.reserve(standing, micros[0], NOW, Random(0))
    seen = replace(standing, shards=first.shards)
    posting = ledger.post(first.hold, min(charged, micros[0]))
    shard = ledger.returned(first.shards[0], first.hold, posting)
    wallet = seen
    for one in micros[1:]:
        taken = ledger.reserve(wallet, one, later, Random(0))
        shard = caught_up(taken.shards[0], taken.seen[0], shard)
        wallet = replace(wallet, shards=taken.shards)
    after = ledger.returned(wallet.shards[0], first.hold, posting)
    assert _told(shard) == _told(after)


def _told(shard: Shard) -> Shard:
    """A shard without what counts nothing."""
    lots = {grant: lot for grant, lot in shard.lots.items() if lot.micros}
    return replace(shard, lots=lots, spent={m: used for m, used in shard.spent.items() if used})


def test_several_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with ThreadPoolExecutor(8) as threads:
        every = list(threads.map(lambda _: Sqlite(path), range(8)))

    async def close() -> None:
        for records in every:
            await records.close()

    asyncio.run(close())


def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        server, tool = Sqlite(tmp_path / "records.db"), Sqlite(tmp_path / "records.db")
        await opened(server, shards=2, micros=2_000)

        async def one(records: Sqlite, n: int) -> None:
            await settle(records, await admit(records, draft(f"req_{n}"), seed=n), 10)

        await asyncio.gather(*(one((server, tool)[n % 2], n) for n in range(20)))
        assert await in_lots(server) == await balance(tool) == 1_800
        await server.close()
        await tool.close()

    asyncio.run(scenario())
