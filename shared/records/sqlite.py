"""Records in one SQLite file, for a laptop: every call runs in one worker thread, every write is a
transaction that is on the disk before it returns. Several processes may open the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain import Account, ApiKey, Entry, Limits, Notice, Record, UsageRow
from shared.errors import NotFound
from shared.ledger import MAX_SHARDS, Posting, Reservation, Shard, Standing
from shared.pacing import Meter
from shared.records import HoldEnded, Page, RequestFilter, Stale, documents
from shared.records.sqlite_batches import SqliteBatches
from shared.records.sqlite_file import Row


class Sqlite(SqliteBatches):
    """`Records` in the file at `path`, which is made if need be. Raises BadSettings for a file
    that a newer version of this program has written."""

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
        (standing,) = await self.look_for(account_id, [request_id])
        return standing

    async def look_for(
        self, account_id: str, request_ids: Sequence[str | None]
    ) -> Sequence[Standing]:
        def read() -> Sequence[Standing]:
            account, shards = self._known(account_id), self._shards(account_id)
            found = [self._record(name) if name else None for name in request_ids]
            return [Standing(account, shards, request) for request in found]

        return await self._read(read)

    async def begin(self, held: Sequence[tuple[Record, Reservation]]) -> Sequence[Record]:
        def write() -> Sequence[Record]:
            written = [self._insert_record(record) for record, _ in held]
            self._reserve(written[0].account_id, held)
            return written

        return await self._write(write)

    async def advance(self, record: Record) -> Record:
        documents.check_open(record)
        return await self._write(lambda: self._replace_record(record))

    async def note(self, record: Record, notice: Notice | None = None) -> Record:
        documents.check_ended(record)

        def write() -> Record:
            stored = self._record(record.id)
            if stored is None:
                self._put_notice(notice)
            return stored or self._insert_record(record)

        return await self._write(write)

    async def finish(
        self, record: Record, posting: Posting, notice: Notice | None = None
    ) -> Record:
        entry = documents.charge(record, posting)

        def write() -> Record:
            try:
                written = self._replace_record(record)
            except Stale as error:
                raise HoldEnded from error
            self._give_back(record.account_id, record.hold, posting, ran=True)
            if entry:
                self._insert_entry(entry)
                self._add_usage(record.account_id, [documents.usage_of(record, posting)])
            self._put_notice(notice)
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
        sql = _listing(where, go_on=cursor is not None)
        rows = await self._read(lambda: self._all(sql, wanted))
        found = [_to_record(row) for row in rows]
        return documents.page(found, limit, lambda record: (record.created_at, record.id))

    async def made_before(self, account_id: str, cache_key: str) -> Record | None:
        sql = (
            "SELECT * FROM requests WHERE account_id = :account AND NOT deleted"
            " AND status = 'succeeded' AND json_extract(body, '$.cache_key') = :key"
            " ORDER BY created_at DESC LIMIT 1"
        )
        row = await self._read(lambda: self._one(sql, {"account": account_id, "key": cache_key}))
        return _to_record(row) if row else None

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
                "SELECT * FROM requests WHERE status IN ('queued', 'running')"
                " AND lease_until < :before ORDER BY lease_until, id LIMIT :limit",
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

    async def meter(self, provider_id: str) -> Meter:
        sql = "SELECT * FROM meters WHERE provider_id = :id"
        row = await self._read(lambda: self._one(sql, {"id": provider_id}))
        return documents.to_meter(row, str(row["version"])) if row else Meter()

    async def put_meter(self, provider_id: str, meter: Meter) -> None:
        row = {**documents.from_meter(meter), "id": provider_id}

        def write() -> None:
            if meter.version:
                written = self._run(
                    "UPDATE meters SET calls = :calls, free_day = :free_day,"
                    " free_day_count = :free_day_count, free_minute = :free_minute,"
                    " free_minute_count = :free_minute_count, spent_day = :spent_day,"
                    " spent_micros = :spent_micros, version = version + 1"
                    " WHERE provider_id = :id AND version = :version",
                    {**row, "version": int(meter.version)},
                )
            else:
                written = self._run(
                    "INSERT INTO meters VALUES (:id, :calls, :free_day, :free_day_count,"
                    " :free_minute, :free_minute_count, :spent_day, :spent_micros, 1)"
                    " ON CONFLICT (provider_id) DO NOTHING",
                    row,
                )
            if not written:
                raise Stale

        await self._write(write)

    def _account(self, account_id: str) -> Account | None:
        row = self._one("SELECT * FROM accounts WHERE id = :id", {"id": account_id})
        return documents.to_account(row) if row else None

    def _known(self, account_id: str) -> Account:
        account = self._account(account_id)
        if account is None:
            raise _no_account(account_id)
        return account

    def _record(self, request_id: str) -> Record | None:
        row = self._one("SELECT * FROM requests WHERE id = :id", {"id": request_id})
        return _to_record(row) if row else None

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
            "UPDATE requests SET status = :status, model = :model,"
            " lease_until = :lease_until, deleted = :deleted, body = :body, version = version + 1"
            " WHERE id = :id AND version = :version",
            {**documents.from_record(record), "version": version},
        )
        if not written:
            raise Stale
        return replace(record, version=str(version + 1))


def _listing(where: RequestFilter, *, go_on: bool) -> str:
    """The query of a list. What is not asked for is not in it, and what leaves out most requests is
    said as its index says it, or the index could not serve."""
    only = {
        "status": " AND status = :status",
        "operation": " AND operation = :operation",
        "model": " AND model = :model",
        "idempotency_key": " AND idempotency_key = :idempotency_key",
    }
    sql = "SELECT * FROM requests WHERE account_id = :account AND NOT deleted"
    sql += "".join(text for name, text in only.items() if getattr(where, name) is not None)
    if where.status not in (None, "succeeded"):
        sql += " AND status <> 'succeeded'"
    if where.operation not in (None, "generate"):
        sql += " AND operation <> 'generate'"
    if go_on:
        sql += " AND (created_at, id) < (:at, :last)"
    return f"{sql} ORDER BY created_at DESC, id DESC LIMIT :limit"


def _to_record(row: Row) -> Record:
    return documents.to_record(row, str(row["version"]))


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"There is no account {account_id}.")
