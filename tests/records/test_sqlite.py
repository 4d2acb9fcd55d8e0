"""What only the SQLite backend promises: one file, several processes, no newer schema."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from shared.records.sqlite import Sqlite
from shared.settings import BadSettings
from tests.records.scene import (
    NOW,
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
        return ["; ".join(step["detail"] for step in plan) for plan in plans]

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
