"""One SQLite file and the thread that owns it. What is stored in it is `sqlite`'s to know; here are
transactions, and rows as mappings from column to value, JSON columns decoded.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from shared.records import documents
from shared.settings import BadSettings

T = TypeVar("T")
Row = Mapping[str, Any]

_VERSION = 3
_LOCK_WAIT_S = 30.0
_WAL_TRIES = 200
_WAL_WAIT_S = 0.02
_SCHEMA = Path(__file__).with_name("schema.sql")
_JSON = ("limits", "lots", "spent", "calls")


class SqliteFile:
    """The file at `path`, which is made if need be. `_read` and `_write` run work in its thread, as
    one transaction; only such work calls `_run`, `_one` and `_all`. Raises BadSettings for a file
    that a newer version of this program has written, ValueError for a row that exists already."""

    def __init__(self, path: Path) -> None:
        self._db = _opened(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    def _run(self, sql: str, values: Row) -> bool:
        """Whether a row was written."""
        return self._db.execute(sql, _columns(values)).rowcount > 0

    def _one(self, sql: str, values: Row) -> Row | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _all(self, sql: str, values: Row | None = None) -> list[Row]:
        rows = self._db.execute(sql, _columns(values or {})).fetchall()
        return [{name: _value(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118

    async def _read(self, read: Callable[[], T]) -> T:
        return await self._in_thread("BEGIN", read)

    async def _write(self, write: Callable[[], T]) -> T:
        return await self._in_thread("BEGIN IMMEDIATE", write)

    async def _in_thread(self, begin: str, work: Callable[[], T]) -> T:
        def run() -> T:
            with _transaction(self._db, begin):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


@contextmanager
def _transaction(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.IntegrityError):
            raise ValueError(f"this is stored already or hangs on nothing: {error}") from error
        raise


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        _write_ahead(db)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise BadSettings(f"{path} was written by a newer version of this program")
        if version < _VERSION:
            made = (
                f"BEGIN IMMEDIATE; {_SCHEMA.read_text()} PRAGMA user_version = {_VERSION}; COMMIT"
            )
            db.executescript(made)
    except BaseException:
        db.close()
        raise
    return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. While another connection does so too, SQLite says the file is
    locked at once, however long it was told to wait."""
    for _ in range(_WAL_TRIES):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            time.sleep(_WAL_WAIT_S)
    db.execute("PRAGMA journal_mode = WAL")


def _columns(values: Row) -> dict[str, Any]:
    return {name: _column(name, value) for name, value in values.items()}


def _column(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return documents.iso(value)
    return documents.to_json(value) if name in _JSON else value


def _value(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON else value
