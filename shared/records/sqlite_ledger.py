"""SQLite's part in moving money: what a hold and its end write beside the row that has it."""

from __future__ import annotations

from collections.abc import Sequence

from shared import ledger
from shared.batch_domain import Batch
from shared.domain import Entry, Hold, Record, UsageRow
from shared.ledger import Posting, Reservation, Shard
from shared.records import Stale, documents
from shared.records.sqlite_file import SqliteFile


class SqliteLedger(SqliteFile):
    """A file in which accounts have wallets, a ledger and usage. All of it is work for `_read` and
    `_write`."""

    def _reserve(self, begun: Record | Batch, taken: Reservation) -> None:
        """Raises Stale when a guarded shard has changed since it was read."""
        for shard in taken.shards:
            if not self._update_shard(begun.account_id, shard):
                raise Stale
        for entry in documents.expiries(begun, taken):
            self._insert_entry(entry)

    def _give_back(self, account_id: str, hold: Hold, posting: Posting, *, ran: bool) -> None:
        for shard in self._shards(account_id):
            if shard.index in ledger.touched(hold):
                self._update_shard(account_id, ledger.returned(shard, hold, posting, ran=ran))

    def _shards(self, account_id: str) -> tuple[Shard, ...]:
        sql = "SELECT * FROM shards WHERE account_id = :id ORDER BY number"
        rows = self._all(sql, {"id": account_id})
        return tuple(documents.to_shard(row, row["number"], str(row["version"])) for row in rows)

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

    def _insert_entry(self, entry: Entry) -> None:
        self._run(
            "INSERT INTO entries VALUES (:id, :account_id, :kind, :micros, :at, :request_id,"
            " :grant_id, :expires_at)",
            documents.from_entry(entry),
        )

    def _add_usage(self, account_id: str, usage: Sequence[UsageRow]) -> None:
        for row in usage:
            self._run(
                "INSERT INTO usage VALUES (:account_id, :day, :model, :provider, :requests,"
                " :images, :micros) ON CONFLICT DO UPDATE SET requests = requests"
                " + excluded.requests, images = images + excluded.images,"
                " micros = micros + excluded.micros",
                {**vars(row), "account_id": account_id},
            )
