"""Firestore's part in moving money: what a hold and its end write beside the document that has it.
The end only increments, so that it waits for nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from google.cloud.firestore import Increment
from google.cloud.firestore_v1.field_path import FieldPath

from shared.batch_domain import Batch
from shared.domain import Entry, Hold, Record, UsageRow
from shared.ledger import Posting, Reservation, held_in, touched
from shared.records import Stale, documents
from shared.records.firestore_database import Conflict, FirestoreDatabase

_COUNTS = ("requests", "images", "micros")


class FirestoreLedger(FirestoreDatabase):
    """A database in which accounts have wallets, a ledger and usage."""

    async def _begun(
        self, ref: Any, document: Mapping[str, Any], begun: Record | Batch, taken: Reservation
    ) -> str:
        """Create the document of what has reserved this; returns its version. Raises Stale when a
        guarded shard has changed since it was read, or the document exists."""

        def reserve(writes: Any) -> None:
            for shard in taken.shards:
                # A new writer gives a new version to a shard that stays as it was.
                changed = {**documents.from_shard(shard), "writer": secrets.token_hex(10)}
                unchanged = self._unchanged(shard.version)
                writes.update(self._shard_ref(begun.account_id, shard.index), changed, unchanged)
            for entry in documents.expiries(begun, taken):
                self._enter(writes, entry)

        try:
            return await self._written(ref, document, also=reserve)
        except Conflict as error:
            raise Stale from error

    def _give_back(
        self, writes: Any, account_id: str, hold: Hold, posting: Posting, *, ran: bool
    ) -> None:
        """What `ledger.returned` does to every shard, as increments that need no reading."""
        for index in sorted(touched(hold)):
            fields = _back(index, hold, posting, ran=ran)
            if fields:
                writes.update(self._shard_ref(account_id, index), fields)

    def _enter(self, writes: Any, entry: Entry) -> None:
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


def _back(index: int, hold: Hold, posting: Posting, *, ran: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    held = held_in(hold, index)
    if held:
        fields["held"] = Increment(-held)
    if ran and index == hold.shard:
        fields["running"] = Increment(-1)
    freed = [part for part in posting.freed if part.shard == index]
    for part in freed:
        fields[path("lots", part.grant_id, "micros")] = Increment(part.micros)
        fields[path("lots", part.grant_id, "expires_at")] = part.expires_at
    if freed:
        fields[path("spent", hold.month)] = Increment(-sum(part.micros for part in freed))
    return fields


def path(*names: str | None) -> str:
    """The name of a nested field, whatever its parts are called."""
    return str(FieldPath(*names).to_api_repr())
