"""Batches in Firestore: `batches/{id}`. A chunk of results costs four writes while its piece of the
hold lies in one shard: the batch, the shard, the charge and the day's usage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from google.cloud.firestore import FieldFilter

from shared import ledger
from shared.batch_domain import Batch, Delivered
from shared.domain import Notice
from shared.ledger import Reservation
from shared.records import Page, Stale, documents
from shared.records.firestore_database import READ, Conflict, version_of
from shared.records.firestore_ledger import FirestoreLedger
from shared.records.firestore_notices import FirestoreNotices


class FirestoreBatches(FirestoreLedger, FirestoreNotices):
    """The part of `Records` that keeps batches."""

    async def begin_batch(self, batch: Batch, reservation: Reservation) -> Batch:
        ref, document = self._batch_ref(batch.id), documents.from_batch(batch)
        held = [(batch, reservation)]
        (version,) = await self._begun(batch.account_id, [(ref, document)], held)
        return replace(batch, version=version)

    async def batch(self, account_id: str, batch_id: str) -> Batch | None:
        found = await self._batch_ref(batch_id).get(**READ)
        batch = _to_batch(found) if found.exists else None
        return batch if batch and batch.account_id == account_id else None

    async def batches(
        self, account_id: str, surface: str | None, limit: int, cursor: str | None
    ) -> Page[Batch]:
        collection = self._client.collection("batches")
        wanted = {"surface": surface} if surface is not None else {}
        query = self._where(collection, account_id=account_id, **wanted)
        found = await self._newest(query, collection, "created_at", limit, cursor)
        batches = [_to_batch(one) for one in found]
        return documents.page(batches, limit, lambda batch: (batch.created_at, batch.id))

    async def advance_batch(
        self, batch: Batch, delivered: Delivered | None = None, notice: Notice | None = None
    ) -> Batch:
        def deliver(writes: Any) -> None:
            self._put_notice(writes, notice)
            if delivered is None:
                return
            piece = delivered.piece
            posting = ledger.post(piece, delivered.charged_micros)
            self._give_back(writes, batch.account_id, [(piece, posting, False)])
            entry = documents.batch_charge(batch, delivered)
            if entry:
                self._enter(writes, entry)
            self._use(writes, batch.account_id, piece.shard, delivered.usage)

        ref, document = self._batch_ref(batch.id), documents.from_batch(batch)
        try:
            version = await self._written(ref, document, batch.version, deliver)
        except Conflict as error:
            raise Stale from error
        return replace(batch, version=version)

    async def note_batch(self, batch: Batch, notice: Notice | None = None) -> Batch:
        documents.check_ended(batch)
        ref, also = self._batch_ref(batch.id), partial(self._put_notice, notice=notice)
        try:
            version = await self._written(ref, documents.from_batch(batch), also=also)
            return replace(batch, version=version)
        except Conflict:
            return _to_batch(await ref.get(**READ))

    async def due_batches(self, before: datetime, limit: int) -> Sequence[Batch]:
        due = self._where(self._client.collection("batches"), open=True)
        late = due.where(filter=FieldFilter("due_at", "<", before))
        return [_to_batch(one) for one in await late.order_by("due_at").limit(limit).get(**READ)]

    def _batch_ref(self, batch_id: str) -> Any:
        return self._ref("batches", batch_id)


def _to_batch(snapshot: Any) -> Batch:
    return documents.to_batch(snapshot.to_dict(), version_of(snapshot))
