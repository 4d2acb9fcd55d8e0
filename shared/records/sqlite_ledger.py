"""SQLite's part in moving money: what a hold and its end write beside the row that has it.

A shard's version counts what was taken from it: what ends give back leaves it as it is, and makes
nothing stale that was decided on before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared import ledger
from shared.batch_domain import Batch
from shared.domain import Entry, Hold, Record, UsageRow
from shared.ledger import Lot, Posting, Reservation, Shard
from shared.records import Stale, documents
from shared.records.sqlite_file import SqliteFile


class SqliteLedger(SqliteFile):
    """A file in which accounts have wallets, a ledger and usage. All of it is work for `_read` and
    `_write`."""

    def _reserve(self, account_id: str, held: Sequence[tuple[Record | Batch, Reservation]]) -> None:
        """What is held for several, each decided on what the one before left. Raises Stale when
        something was taken from a guarded shard since it was read."""
        stored = {shard.index: shard for shard in self._shards(account_id)}
        now: dict[int, Shard] = {}
        for begun, taken in held:
            for seen, shard in zip(taken.seen, taken.shards, strict=True):
                if stored[shard.index].version != shard.version:
                    raise Stale
                now[shard.index] = caught_up(shard, seen, now.get(shard.index, stored[seen.index]))
            for entry in documents.expiries(begun, taken):
                self._insert_entry(entry)
        for shard in now.values():
            self._update_shard(account_id, shard, taken=True)

    def _give_back(self, account_id: str, hold: Hold, posting: Posting, *, ran: bool) -> None:
        touched = ledger.touched(hold)
        for shard in self._shards(account_id):
            if shard.index in touched:
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

    def _update_shard(self, account_id: str, shard: Shard, *, taken: bool = False) -> None:
        """Write a shard that was read in the same transaction, in a new version if something was
        taken from it."""
        self._run(
            "UPDATE shards SET lots = :lots, minute = :minute, minute_count = :minute_count,"
            " day = :day, day_count = :day_count, spent = :spent, running = :running,"
            " held = :held, version = version + :taken"
            " WHERE account_id = :account_id AND number = :number",
            {
                **documents.from_shard(shard),
                "account_id": account_id,
                "number": shard.index,
                "taken": int(taken),
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


def caught_up(after: Shard, seen: Shard, stored: Shard) -> Shard:
    """A shard as a reservation leaves it that was decided on when it was `seen`, with what ends
    have given back to it since, of which it is now `stored`."""
    if stored == seen:
        return after
    lots, spent = dict(after.lots), dict(after.spent)
    for grant, lot in stored.lots.items():
        back = lot.micros - (seen.lots[grant].micros if grant in seen.lots else 0)
        if back:
            left = lots[grant].micros if grant in lots else 0
            lots[grant] = Lot(left + back, lot.expires_at)
    for month, micros in stored.spent.items():
        if micros != seen.spent.get(month, 0):
            spent[month] = spent.get(month, 0) + micros - seen.spent.get(month, 0)
    return replace(
        after,
        lots=lots,
        spent=spent,
        running=after.running + stored.running - seen.running,
        held=after.held + stored.held - seen.held,
    )
