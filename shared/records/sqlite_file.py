"""One SQLite file and the thread that owns it. What is stored in it is `sqlite`'s to know; here are
transactions, and rows as mappings from column to value, JSON columns decoded.

Writes that come while the thread is at others are one transaction, each in a savepoint of its own:
what several have to wait for is one time the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from shared.records import documents
from shared.settings import BadSettings

T = TypeVar("T")
Row = Mapping[str, Any]

_VERSION = 4
_LOCK_WAIT_S = 30.0
_WAL_TRIES = 200
_WAL_WAIT_S = 0.02
_MOST_AT_ONCE = 100
_SCHEMA = Path(__file__).with_name("schema.sql")
_JSON = ("limits", "lots", "spent", "calls")


@dataclass
class _Work:
    """What somebody waits for, and what came of it."""

    call: Callable[[], Any]
    writes: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def resolve(self) -> None:
        """Tell who waits, if anybody still does."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class SqliteFile:
    """The file at `path`, which is made if need be. `_read` and `_write` run work in its thread, as
    one transaction; only such work calls `_run`, `_one` and `_all`. Raises BadSettings for a file
    that a newer version of this program has written, ValueError for a row that exists already."""

    def __init__(self, path: Path) -> None:
        self._db = _opened(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")
        self._summoned = False
        self._waiting: deque[_Work] = deque()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    def _run(self, sql: str, values: Row) -> bool:
        """Whether a row was written."""
        return self._db.execute(sql, _columns(values)).rowcount > 0

    def _one(self, sql: str, values: Row) -> Row | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _all(self, sql: str, values: Row | None = None) -> Sequence[Row]:
        cursor = self._db.execute(sql, _columns(values) if values else {})
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        for name in _JSON:
            if name in names:
                for row in rows:
                    row[name] = json.loads(row[name])
        return rows

    async def _read(self, read: Callable[[], T]) -> T:
        return await self._in_thread(read, writes=False)

    async def _write(self, write: Callable[[], T]) -> T:
        return await self._in_thread(write, writes=True)

    async def _in_thread(self, call: Callable[[], T], *, writes: bool) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Work(call, writes, loop, future))
        self._summon()
        return await future

    def _summon(self) -> None:
        """Have the thread look at what waits, unless it is about to."""
        if not self._summoned:
            self._summoned = True
            self._thread.submit(self._do_what_waits)

    def _do_what_waits(self) -> None:
        """Everything that has come by now, as much of it as one transaction should have."""
        # Before the first look: what comes after it summons anew.
        self._summoned = False
        some: list[_Work] = []
        while self._waiting and len(some) < _MOST_AT_ONCE:
            work = self._waiting.popleft()
            # Nobody waits any more for what is cancelled, and it has not begun.
            if not work.future.cancelled():
                some.append(work)
        for writes in (False, True):
            alike = [work for work in some if work.writes is writes]
            if alike:
                _do(self._db, alike, "BEGIN IMMEDIATE" if writes else "BEGIN")
                _resolve(alike)
        if self._waiting:
            self._summon()


def _do(db: sqlite3.Connection, some: Sequence[_Work], begin: str) -> None:
    """Do all of it in one transaction, in which what fails undoes only itself."""
    try:
        db.execute(begin)
        for work in some:
            _do_one(db, work, alone=len(some) == 1)
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        for work in some:
            work.error = work.error or error


def _do_one(db: sqlite3.Connection, work: _Work, *, alone: bool) -> None:
    """Raises what undoes the whole transaction."""
    if not alone:
        db.execute("SAVEPOINT one")
    try:
        work.result = work.call()
    except BaseException as error:
        work.error = error
        if isinstance(error, sqlite3.IntegrityError):
            work.error = ValueError(f"this is stored already or hangs on nothing: {error}")
            work.error.__cause__ = error
        # Some errors, a full disk for one, have ended the transaction with all that was in it.
        if alone or not db.in_transaction:
            raise
        db.execute("ROLLBACK TO one")
    if not alone:
        db.execute("RELEASE one")


def _resolve(some: Sequence[_Work]) -> None:
    """Tell all who wait, with one call to each event loop."""
    for loop in {work.loop for work in some}:
        ended = [work for work in some if work.loop is loop]
        with contextlib.suppress(RuntimeError):
            # It may be closed by now.
            loop.call_soon_threadsafe(_tell, ended)


def _tell(ended: Sequence[_Work]) -> None:
    for work in ended:
        work.resolve()


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
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
