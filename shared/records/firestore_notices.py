"""Webhooks to be sent, in Firestore: `notices/{id}`. Those that have ended carry `expires_at`: its
TTL policy deletes them then, or within a day after (cloud.google.com/firestore/docs/ttl, 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from google.cloud.firestore import FieldFilter

from shared.domain import Notice, NoticeState
from shared.records import Stale, documents
from shared.records.firestore_database import READ, Conflict, FirestoreDatabase, version_of


class FirestoreNotices(FirestoreDatabase):
    """The part of `Records` that keeps webhooks until they are delivered."""

    async def notice(self, notice_id: str, at: datetime | None = None) -> Notice | None:
        found = await self._ref("notices", notice_id).get(**READ)
        notice = _to_notice(found) if found.exists else None
        return notice if notice and not documents.expired(notice, at) else None

    async def update_notice(self, notice: Notice) -> Notice:
        ref, document = self._ref("notices", notice.id), _document(notice)
        try:
            return replace(notice, version=await self._written(ref, document, notice.version))
        except Conflict as error:
            raise Stale from error

    async def due_notices(self, before: datetime, limit: int) -> Sequence[Notice]:
        due = self._where(self._client.collection("notices"), state="due")
        late = due.where(filter=FieldFilter("due_at", "<", before))
        return [_to_notice(one) for one in await late.order_by("due_at").limit(limit).get(**READ)]

    async def notices(
        self, state: NoticeState, limit: int, at: datetime | None = None
    ) -> Sequence[Notice]:
        found = self._where(self._client.collection("notices"), state=state)
        if at and state != "due":
            alive = FieldFilter("due_at", ">", at - documents.NOTICE_LIFE)
            found = found.where(filter=alive)
        return [_to_notice(one) for one in await found.order_by("due_at").limit(limit).get(**READ)]

    def _put_notice(self, writes: Any, notice: Notice | None) -> None:
        """Add a notice, if there is one. Its subject ends once, so it replaces none; a `create`
        would let one that is there after all keep the subject from ending."""
        if notice:
            writes.set(self._ref("notices", notice.id), _document(notice))


def _document(notice: Notice) -> Mapping[str, Any]:
    # None, too, is written: a notice that is due again must lose the time it had.
    return {**documents.from_notice(notice), "expires_at": documents.expiry_of(notice)}


def _to_notice(snapshot: Any) -> Notice:
    return documents.to_notice(snapshot.to_dict(), version_of(snapshot))
