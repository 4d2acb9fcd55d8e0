"""Firestore's part in moving money: what a hold and its end write beside the document that has it.
The end only increments, so that it waits for nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore import Increment
from google.cloud.firestore_v1.field_path import FieldPath

from shared.batch_domain import Batch
from shared.domain import Entry, Hold, Record, UsageRow
from shared.ledger import Posting, Reservation, held_in, touched
from shared.records import Stale, documents
from shared.records.firestore_database import Conflict, FirestoreDatabase

_COUNTS = ("requests", "images", "micros")

Returned = tuple[Hold, Posting, bool]
"""A hold, what its end gives back, and whether it had a place among the running ones."""


class FirestoreLedger(FirestoreDatabase):
    """A database in which accounts have wallets, a ledger and usage."""

    async def _begun(
        self,
        account_id: str,
        created: Sequence[tuple[Any, Mapping[str, Any]]],
        held: Sequence[tuple[Record | Batch, Reservation]],
    ) -> Sequence[str]:
        """Create the documents of what has reserved this, each decided on what the one before left;
        returns their versions. Raises Stale when a guarded shard has changed since it was read, or
        a document exists."""

        def reserve(writes: Any) -> None:
            changed = {shard.index: shard for _, taken in held for shard in taken.shards}
            for index, shard in changed.items():
                # A new writer gives a new version to a shard that stays as it was.
                document = {**documents.from_shard(shard), "writer": secrets.token_hex(10)}
                unchanged = self._unchanged(shard.version)
                writes.update(self._shard_ref(account_id, index), document, unchanged)
            for begun, taken in held:
                for entry in documents.expiries(begun, taken):
                    self._enter(writes, entry)

        try:
            return await self._written_all([(*one, None) for one in created], reserve)
        except Conflict as error:
            raise Stale from error

    def _give_back(self, writes: Any, account_id: str, ended: Sequence[Returned]) -> None:
        """What `ledger.returned` does to every shard, as increments that need no reading."""
        sums: dict[int, dict[str, Any]] = {}
        for hold, posting, ran in ended:
            for index in sorted(touched(hold)):
                fields = sums.setdefault(index, {})
                for name, back in _back(index, hold, posting, ran=ran):
                    added = isinstance(back, int) and name in fields
                    fields[name] = fields[name] + back if added else back
        for index, fields in sums.items():
            written = {
                name: Increment(back) if isinstance(back, int) else back
                for name, back in fields.items()
            }
            if written:
                writes.update(self._shard_ref(account_id, index), written)

    def _enter(self, writes: Any, entry: Entry | None) -> None:
        if entry is None:
            return
        ref = self._ref("accounts", entry.account_id, "entries", entry.id)
        writes.create(ref, documents.from_entry(entry))

    def _use(self, writes: Any, account_id: str, shard: int, usage: Sequence[UsageRow]) -> None:
        """Add to the totals of a day, one write each, in the document of that shard."""
        days: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
        for row in usage:
            providers = days.setdefault(row.day, {}).setdefault(row.model, {})
            counts = providers.setdefault(row.provider, dict.fromkeys(_COUNTS, 0))
            for name in _COUNTS:
                counts[name] += getattr(row, name)
        for day, models in days.items():
            rows = {
                model: {
                    provider: {name: Increment(count) for name, count in counts.items()}
                    for provider, counts in providers.items()
                }
                for model, providers in models.items()
            }
            ref = self._ref("accounts", account_id, "usage", f"{day}-{shard}")
            writes.set(ref, {"day": day, "rows": rows}, merge=True)

    def _account_ref(self, account_id: str) -> Any:
        return self._ref("accounts", account_id)

    def _shard_ref(self, account_id: str, index: int) -> Any:
        return self._ref("accounts", account_id, "shards", str(index))


def _back(
    index: int, hold: Hold, posting: Posting, *, ran: bool
) -> Iterator[tuple[str, int | datetime]]:
    """What one end adds to the fields of a shard, by name, or sets them to."""
    held = held_in(hold, index)
    if held:
        yield "held", -held
    if ran and index == hold.shard:
        yield "running", -1
    for part in posting.freed:
        if part.shard == index:
            yield path("lots", part.grant_id, "micros"), part.micros
            yield path("lots", part.grant_id, "expires_at"), part.expires_at
            yield path("spent", hold.month), -part.micros


def path(*names: str | None) -> str:
    """The name of a nested field, whatever its parts are called."""
    return str(FieldPath(*names).to_api_repr())
