"""Records in one SQLite file, for a laptop: every call runs in one worker thread, every write is a
transaction that is on the disk before it returns. Several processes may open the same file.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from shared import ledger
from shared.domain import Account, ApiKey, Entry, Limits, Record, UsageRow
from shared.errors import NotFound
from shared.ledger import MAX_SHARDS, Posting, Reservation, Shard, Standing
from shared.records import HoldEnded, Page, RequestFilter, Stale, documents
from shared.settings import BadSettings

T = TypeVar("T")
Row = Mapping[str, Any]

_VERSION = 1
_LOCK_WAIT_S = 30.0
_SCHEMA = Path(__file__).with_name("schema.sql")


class Sqlite:
    """`Records` in the file at `path`, which is made if need be. Raises BadSettings for a file
    that a newer version of this program has written."""

    def __init__(self, path: Path) -> None:
        self._db = _opened(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite")

    async def create_account(self, account: Account) -> None:
        if not 1 <= account.shards <= MAX_SHARDS:
            raise ValueError(f"an account has 1 to {MAX_SHARDS} shards, not {account.shards}")

        def write() -> None:
            self._run(
                "INSERT INTO accounts VALUES (:id, :name, :created_at, :limits, :shards)",
                documents.from_account(account),
            )
            for index in range(account.shards):
                self._insert_shard(account.id, Shard(index))

        await self._write(write)

    async def account(self, account_id: str) -> Account | None:
        return await self._read(lambda: self._account(account_id))

    async def accounts(self) -> Sequence[Account]:
        rows = await self._read(lambda: self._all("SELECT * FROM accounts ORDER BY name, id"))
        return [documents.to_account(row) for row in rows]

    async def set_limits(self, account_id: str, limits: Limits) -> None:
        sql = "UPDATE accounts SET limits = :limits WHERE id = :id"
        changed = await self._write(lambda: self._run(sql, {"limits": limits, "id": account_id}))
        if not changed:
            raise _no_account(account_id)

    async def create_key(self, key: ApiKey) -> None:
        def write() -> None:
            self._known(key.account_id)
            self._run(
                "INSERT INTO keys VALUES"
                " (:id, :key_hash, :account_id, :test, :created_at, :revoked_at)",
                documents.from_key(key),
            )

        await self._write(write)

    async def key(self, key_hash: str) -> ApiKey | None:
        sql = "SELECT * FROM keys WHERE key_hash = :hash"
        row = await self._read(lambda: self._one(sql, {"hash": key_hash}))
        return documents.to_key(row) if row else None

    async def keys(self, account_id: str) -> Sequence[ApiKey]:
        sql = "SELECT * FROM keys WHERE account_id = :id ORDER BY created_at, id"
        rows = await self._read(lambda: self._all(sql, {"id": account_id}))
        return [documents.to_key(row) for row in rows]

    async def revoke_key(self, key_id: str, at: datetime) -> None:
        sql = "UPDATE keys SET revoked_at = coalesce(revoked_at, :at) WHERE id = :id"
        if not await self._write(lambda: self._run(sql, {"at": at, "id": key_id})):
            raise NotFound(f"There is no key {key_id}.")

    async def grant(self, entry: Entry) -> None:
        def write() -> None:
            account = self._known(entry.account_id)
            lots = documents.granted(entry, account.shards)
            if self._one("SELECT id FROM entries WHERE id = :id", {"id": entry.id}):
                return
            self._insert_entry(entry)
            for shard, lot in zip(self._shards(account.id), lots, strict=True):
                grant_id = entry.grant_id or ""
                left = shard.lots[grant_id].micros if grant_id in shard.lots else 0
                lots_now = {**shard.lots, grant_id: replace(lot, micros=left + lot.micros)}
                self._update_shard(account.id, replace(shard, lots=lots_now))

        await self._write(write)

    async def look(self, account_id: str, request_id: str | None) -> Standing:
        def read() -> Standing:
            request = self._record(request_id) if request_id else None
            return Standing(self._known(account_id), self._shards(account_id), request)

        return await self._read(read)

    async def begin(self, record: Record, reservation: Reservation) -> Record:
        def write() -> Record:
            written = self._insert_record(record)
            for shard in reservation.shards:
                if not self._update_shard(record.account_id, shard):
                    raise Stale
            for entry in documents.expiries(record, reservation):
                self._insert_entry(entry)
            return written

        return await self._write(write)

    async def finish(self, record: Record, posting: Posting) -> Record:
        entry = documents.charge(record, posting)

        def write() -> Record:
            try:
                written = self._replace_record(record)
            except Stale as error:
                raise HoldEnded from error
            for shard in self._shards(record.account_id):
                if shard.index in ledger.touched(record.hold):
                    ended = ledger.returned(shard, record.hold, posting)
                    self._update_shard(record.account_id, ended)
            if entry:
                self._insert_entry(entry)
                self._add_usage(record, posting)
            return written

        return await self._write(write)

    async def request(self, account_id: str, request_id: str) -> Record | None:
        # SQLite takes no text with lone surrogates, and JSON can bring them.
        if not request_id.isprintable():
            return None
        record = await self._read(lambda: self._record(request_id))
        return record if record and record.account_id == account_id and not record.deleted else None

    async def requests(
        self, account_id: str, where: RequestFilter, limit: int, cursor: str | None
    ) -> Page[Record]:
        at, last = documents.from_cursor(cursor) if cursor else (None, None)
        wanted = {**vars(where), "account": account_id, "at": at, "last": last, "limit": limit + 1}
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM requests WHERE account_id = :account AND NOT deleted"
                " AND (:status IS NULL OR status = :status)"
                " AND (:operation IS NULL OR operation = :operation)"
                " AND (:model IS NULL OR model = :model)"
                " AND (:idempotency_key IS NULL OR idempotency_key = :idempotency_key)"
                " AND (:at IS NULL OR (created_at, id) < (:at, :last))"
                " ORDER BY created_at DESC, id DESC LIMIT :limit",
                wanted,
            )
        )
        found = [_to_record(row) for row in rows]
        return documents.page(found, limit, lambda record: (record.created_at, record.id))

    async def delete_request(self, record: Record) -> None:
        gone = documents.tombstone(record)

        def write() -> None:
            current = self._record(record.id)
            if current is None or not current.deleted:
                self._replace_record(gone)

        await self._write(write)

    async def overdue(self, before: datetime, limit: int) -> Sequence[Record]:
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM requests WHERE status = 'running' AND lease_until < :before"
                " ORDER BY lease_until, id LIMIT :limit",
                {"before": before, "limit": limit},
            )
        )
        return [_to_record(row) for row in rows]

    async def entries(self, account_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        at, last = documents.from_cursor(cursor) if cursor else (None, None)
        wanted = {"account": account_id, "at": at, "last": last, "limit": limit + 1}
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM entries WHERE account_id = :account"
                " AND (:at IS NULL OR (at, id) < (:at, :last))"
                " ORDER BY at DESC, id DESC LIMIT :limit",
                wanted,
            )
        )
        found = [documents.to_entry(row) for row in rows]
        return documents.page(found, limit, lambda entry: (entry.at, entry.id))

    async def usage(self, account_id: str, first_day: str, last_day: str) -> Sequence[UsageRow]:
        rows = await self._read(
            lambda: self._all(
                "SELECT day, model, provider, requests, images, micros FROM usage"
                " WHERE account_id = :account AND day BETWEEN :first AND :last"
                " ORDER BY day, model, provider",
                {"account": account_id, "first": first_day, "last": last_day},
            )
        )
        return [UsageRow(**row) for row in rows]

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()

    def _account(self, account_id: str) -> Account | None:
        row = self._one("SELECT * FROM accounts WHERE id = :id", {"id": account_id})
        return documents.to_account(row) if row else None

    def _known(self, account_id: str) -> Account:
        account = self._account(account_id)
        if account is None:
            raise _no_account(account_id)
        return account

    def _shards(self, account_id: str) -> tuple[Shard, ...]:
        sql = "SELECT * FROM shards WHERE account_id = :id ORDER BY number"
        rows = self._all(sql, {"id": account_id})
        return tuple(documents.to_shard(row, row["number"], str(row["version"])) for row in rows)

    def _record(self, request_id: str) -> Record | None:
        row = self._one("SELECT * FROM requests WHERE id = :id", {"id": request_id})
        return _to_record(row) if row else None

    def _insert_shard(self, account_id: str, shard: Shard) -> None:
        self._run(
            "INSERT INTO shards VALUES (:account_id, :number, :lots, :minute, :minute_count,"
            " :day, :day_count, :spent, :running, :held, 1)",
            {**documents.from_shard(shard), "account_id": account_id, "number": shard.index},
        )

    def _update_shard(self, account_id: str, shard: Shard) -> bool:
        """Whether the shard still had the version it was read with."""
        return self._run(
            "UPDATE shards SET lots = :lots, minute = :minute, minute_count = :minute_count,"
            " day = :day, day_count = :day_count, spent = :spent, running = :running,"
            " held = :held, version = version + 1"
            " WHERE account_id = :account_id AND number = :number AND version = :version",
            {
                **documents.from_shard(shard),
                "account_id": account_id,
                "number": shard.index,
                "version": int(shard.version),
            },
        )

    def _insert_record(self, record: Record) -> Record:
        """Raises Stale for an id that is taken."""
        written = self._run(
            "INSERT INTO requests VALUES (:id, :account_id, :status, :operation, :model,"
            " :idempotency_key, :created_at, :lease_until, :deleted, :body, 1)"
            " ON CONFLICT (id) DO NOTHING",
            documents.from_record(record),
        )
        if not written:
            raise Stale
        return replace(record, version="1")

    def _replace_record(self, record: Record) -> Record:
        """Raises Stale when another version than the record's is stored."""
        version = int(record.version)
        written = self._run(
            "UPDATE requests SET status = :status, model = :model, created_at = :created_at,"
            " lease_until = :lease_until, deleted = :deleted, body = :body, version = version + 1"
            " WHERE id = :id AND version = :version",
            {**documents.from_record(record), "version": version},
        )
        if not written:
            raise Stale
        return replace(record, version=str(version + 1))

    def _insert_entry(self, entry: Entry) -> None:
        self._run(
            "INSERT INTO entries VALUES (:id, :account_id, :kind, :micros, :at, :request_id,"
            " :grant_id, :expires_at)",
            documents.from_entry(entry),
        )

    def _add_usage(self, record: Record, posting: Posting) -> None:
        row = documents.usage_of(record, posting)
        self._run(
            "INSERT INTO usage VALUES (:account_id, :day, :model, :provider, :requests, :images,"
            " :micros) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,"
            " images = images + excluded.images, micros = micros + excluded.micros",
            {**vars(row), "account_id": record.account_id},
        )

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
        db.execute("PRAGMA journal_mode = WAL")
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


def _to_record(row: Row) -> Record:
    return documents.to_record(row, str(row["version"]))


_JSON = ("limits", "lots", "spent")


def _columns(values: Row) -> dict[str, Any]:
    return {name: _column(name, value) for name, value in values.items()}


def _column(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return documents.iso(value)
    return documents.to_json(value) if name in _JSON else value


def _value(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON else value


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"There is no account {account_id}.")
