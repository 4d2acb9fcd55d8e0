"""A laptop's queue: events in one SQLite file, delivered by the process that serves. One that fails
is tried again after 1 s, 2 s, 4 s up to a minute, and is dead after eight tries.

A row goes when its event has been delivered, so what was being delivered when the process died is
delivered again. An event that is published while the same one waits is merged with it: `version`
then says that a delivery that had begun before does not count for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from shared import log
from shared.events import Dead, Deliver, Event, Topic

T = TypeVar("T")
CONCURRENCY: dict[Topic, int] = {"requests": 16, "batch-callbacks": 4}
"""How many events of a topic are delivered at once."""
TRIES = 8
LONGEST_WAIT_S = 60.0
LOOK_EVERY_S = 1.0
"""How often the file is looked at for what waited, or what a tool has put into it."""
_LONGEST_ERROR = 500
_LOCK_WAIT_S = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    topic      TEXT NOT NULL,
    account_id TEXT NOT NULL,
    subject    TEXT NOT NULL,
    version    INTEGER NOT NULL DEFAULT 0,
    tries      INTEGER NOT NULL DEFAULT 0,
    due_at     TEXT NOT NULL,
    dead_at    TEXT,
    error      TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS waiting ON events (topic, account_id, subject)
    WHERE dead_at IS NULL;
CREATE INDEX IF NOT EXISTS due ON events (topic, due_at) WHERE dead_at IS NULL;
"""
_PUBLISH = """
INSERT INTO events (topic, account_id, subject, due_at) VALUES (?, ?, ?, ?)
ON CONFLICT (topic, account_id, subject) WHERE dead_at IS NULL DO UPDATE SET version = version + 1
"""
_DUE = """
SELECT * FROM events WHERE dead_at IS NULL AND topic = ? AND due_at <= ?
ORDER BY due_at, id LIMIT ?
"""


@dataclass(frozen=True)
class _Taken:
    id: int
    event: Event
    version: int
    tries: int


class Local:
    """Satisfies `Events` with the file at `path`, opened when it is first needed. `pump` delivers;
    one process at a time may, while others publish, list and replay."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._clock = clock
        self._sleep = sleep
        self._db: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="events")
        self._delivering: set[int] = set()
        self._awake = asyncio.Event()

    async def publish(self, event: Event) -> None:
        now = self._clock()
        await self._write(lambda db: _publish(db, event, now))
        self._awake.set()

    async def dead(self, limit: int) -> Sequence[Dead]:
        sql = "SELECT * FROM events WHERE dead_at IS NOT NULL ORDER BY dead_at, id LIMIT ?"
        return [_dead(row) for row in await self._write(lambda db: _all(db, sql, limit))]

    async def replay(self, dead_id: str) -> bool:
        now = self._clock()

        def revive(db: sqlite3.Connection) -> bool:
            rows = _all(db, "SELECT * FROM events WHERE id = ? AND dead_at IS NOT NULL", dead_id)
            for row in rows:
                event = _event(row)
                db.execute("DELETE FROM events WHERE id = ?", (row["id"],))
                _publish(db, event, now)
                # It may have met the same event in the middle of its tries.
                db.execute(
                    f"UPDATE events SET tries = 0, due_at = ? WHERE {_SAME} AND dead_at IS NULL",  # noqa: S608
                    (_text(now), *_key(event)),
                )
            return bool(rows)

        found = await self._write(revive)
        self._awake.set()
        return found

    async def pump(self, deliver: Deliver) -> None:
        """Deliver whatever is due until this is cancelled; what is being delivered then is
        cancelled with it, and delivered again by the next pump."""
        async with asyncio.TaskGroup() as deliveries:
            deliveries.create_task(self._keep_looking())
            while True:
                self._awake.clear()
                try:
                    for taken in await self._take():
                        deliveries.create_task(self._attempt(taken, deliver))
                except Exception as error:
                    log.crash("events.not_read", error)
                await self._awake.wait()

    async def deliver_due(self, deliver: Deliver) -> int:
        """One round of what `pump` does: try what is due and has room, wait until all of it has
        ended, and return how many were tried."""
        taken = await self._take()
        await asyncio.gather(*(self._attempt(one, deliver) for one in taken))
        return len(taken)

    async def close(self) -> None:
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    async def _keep_looking(self) -> None:
        while True:
            await self._sleep(LOOK_EVERY_S)
            self._awake.set()

    async def _take(self) -> list[_Taken]:
        # As of before the file is read: a row that is read may be gone by the time it is looked at.
        busy = frozenset(self._delivering)
        now = _text(self._clock())

        def find(db: sqlite3.Connection) -> list[_Taken]:
            # Those that are busy came first, so they are among as many as a topic has at once.
            due = (_all(db, _DUE, topic, now, most) for topic, most in CONCURRENCY.items())
            rows = (row for topic in due for row in topic if row["id"] not in busy)
            return [_Taken(row["id"], _event(row), row["version"], row["tries"]) for row in rows]

        taken = await self._write(find)
        self._delivering.update(one.id for one in taken)
        return taken

    async def _attempt(self, taken: _Taken, deliver: Deliver) -> None:
        try:
            try:
                await deliver(taken.event)
            except Exception as error:
                await self._failed(taken, error)
            else:
                await self._delivered(taken)
            self._awake.set()
        except Exception as error:
            # It is still in the file, and due: tried again when that is next looked at.
            log.crash("events.not_written", error)
        finally:
            self._delivering.discard(taken.id)

    async def _delivered(self, taken: _Taken) -> None:
        now = _text(self._clock())

        def end(db: sqlite3.Connection) -> None:
            sql = "DELETE FROM events WHERE id = ? AND version = ?"
            if not db.execute(sql, (taken.id, taken.version)).rowcount:
                sql = "UPDATE events SET tries = 0, due_at = ?, error = NULL WHERE id = ?"
                db.execute(sql, (now, taken.id))

        await self._write(end)

    async def _failed(self, taken: _Taken, error: Exception) -> None:
        tries, now = taken.tries + 1, self._clock()
        died = tries >= TRIES
        log.event(
            "event.died" if died else "event.failed",
            severity="ERROR" if died else "WARNING",
            topic=taken.event.topic,
            subject=taken.event.subject,
            tries=tries,
            private=repr(error),
        )
        said = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        due = now + timedelta(seconds=min(LONGEST_WAIT_S, 2.0**taken.tries))

        def keep(db: sqlite3.Connection) -> None:
            if died:
                sql = f"DELETE FROM events WHERE {_SAME} AND dead_at IS NOT NULL"  # noqa: S608
                db.execute(sql, _key(taken.event))
            sql = "UPDATE events SET tries = ?, due_at = ?, dead_at = ?, error = ? WHERE id = ?"
            dead_at = _text(now) if died else None
            db.execute(sql, (tries, _text(due), dead_at, said, taken.id))

        await self._write(keep)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the file's thread, as one transaction."""

        def run() -> T:
            if self._db is None:
                self._db = _opened(self._path)
            with self._db as db:
                db.execute("BEGIN IMMEDIATE")
                return work(db)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


_SAME = "topic = ? AND account_id = ? AND subject = ?"


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        db.execute("PRAGMA synchronous = FULL")
        # It fails only while another connection does the same, which is then true of the file.
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _all(db: sqlite3.Connection, sql: str, *values: str | int) -> list[sqlite3.Row]:
    return db.execute(sql, values).fetchall()


def _publish(db: sqlite3.Connection, event: Event, now: datetime) -> None:
    db.execute(_PUBLISH, (*_key(event), _text(now)))


def _key(event: Event) -> tuple[str, str, str]:
    return event.topic, event.account_id, event.subject


def _event(row: sqlite3.Row) -> Event:
    return Event(row["topic"], row["account_id"], row["subject"])


def _dead(row: sqlite3.Row) -> Dead:
    died_at = datetime.fromisoformat(row["dead_at"])
    return Dead(str(row["id"]), _event(row), row["tries"], died_at, row["error"])


def _text(at: datetime) -> str:
    """UTC and of one length, so that the order of the texts is that of the times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
