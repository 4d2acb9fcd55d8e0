"""Batches in SQLite: the table `batches`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared import ledger
from shared.batch_domain import Batch, Delivered
from shared.domain import Notice
from shared.ledger import Reservation
from shared.records import Page, Stale, documents
from shared.records.sqlite_file import Row
from shared.records.sqlite_ledger import SqliteLedger
from shared.records.sqlite_notices import SqliteNotices


class SqliteBatches(SqliteLedger, SqliteNotices):
    """The part of `Records` that keeps batches."""

    async def begin_batch(self, batch: Batch, reservation: Reservation) -> Batch:
        def write() -> Batch:
            written = self._insert_batch(batch)
            self._reserve(batch.account_id, [(batch, reservation)])
            return written

        return await self._write(write)

    async def batch(self, account_id: str, batch_id: str) -> Batch | None:
        # SQLite takes no text with lone surrogates, and JSON can bring them.
        if not batch_id.isprintable():
            return None
        batch = await self._read(lambda: self._batch(batch_id))
        return batch if batch and batch.account_id == account_id else None

    async def batches(
        self, account_id: str, surface: str | None, limit: int, cursor: str | None
    ) -> Page[Batch]:
        at, last = documents.from_cursor(cursor) if cursor else (None, None)
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM batches WHERE account_id = :account"
                " AND (:surface IS NULL OR surface = :surface)"
                " AND (:at IS NULL OR (created_at, id) < (:at, :last))"
                " ORDER BY created_at DESC, id DESC LIMIT :limit",
                {
                    "account": account_id,
                    "surface": surface,
                    "at": at,
                    "last": last,
                    "limit": limit + 1,
                },
            )
        )
        found = [_to_batch(row) for row in rows]
        return documents.page(found, limit, lambda batch: (batch.created_at, batch.id))

    async def advance_batch(
        self, batch: Batch, delivered: Delivered | None = None, notice: Notice | None = None
    ) -> Batch:
        def write() -> Batch:
            written = self._replace_batch(batch)
            if delivered:
                self._deliver(batch, delivered)
            self._put_notice(notice)
            return written

        return await self._write(write)

    async def note_batch(self, batch: Batch, notice: Notice | None = None) -> Batch:
        documents.check_ended(batch)

        def write() -> Batch:
            stored = self._batch(batch.id)
            if stored is None:
                self._put_notice(notice)
            return stored or self._insert_batch(batch)

        return await self._write(write)

    async def due_batches(self, before: datetime, limit: int) -> Sequence[Batch]:
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM batches WHERE open AND due_at < :before"
                " ORDER BY due_at, id LIMIT :limit",
                {"before": before, "limit": limit},
            )
        )
        return [_to_batch(row) for row in rows]

    def _deliver(self, batch: Batch, delivered: Delivered) -> None:
        posting = ledger.post(delivered.piece, delivered.charged_micros)
        self._give_back(batch.account_id, delivered.piece, posting, ran=False)
        entry = documents.batch_charge(batch, delivered)
        if entry:
            self._insert_entry(entry)
        self._add_usage(batch.account_id, delivered.usage)

    def _batch(self, batch_id: str) -> Batch | None:
        row = self._one("SELECT * FROM batches WHERE id = :id", {"id": batch_id})
        return _to_batch(row) if row else None

    def _insert_batch(self, batch: Batch) -> Batch:
        """Raises Stale for an id that is taken."""
        written = self._run(
            "INSERT INTO batches VALUES (:id, :account_id, :surface, :open, :created_at, :due_at,"
            " :body, 1) ON CONFLICT (id) DO NOTHING",
            documents.from_batch(batch),
        )
        if not written:
            raise Stale
        return replace(batch, version="1")

    def _replace_batch(self, batch: Batch) -> Batch:
        """Raises Stale when another version than the batch's is stored."""
        version = int(batch.version)
        written = self._run(
            "UPDATE batches SET open = :open, due_at = :due_at, body = :body,"
            " version = version + 1 WHERE id = :id AND version = :version",
            {**documents.from_batch(batch), "version": version},
        )
        if not written:
            raise Stale
        return replace(batch, version=str(version + 1))


def _to_batch(row: Row) -> Batch:
    return documents.to_batch(row, str(row["version"]))
