"""How requests end in Firestore. Ends of one account and shard that come while another is being
written share a commit: what a busy account has little of is writes to the same documents
(cloud.google.com/firestore/docs/best-practices, 2026-11: about one a second each).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from shared.domain import Entry, Notice, Record
from shared.groups import Groups
from shared.ledger import Posting
from shared.records import HoldEnded, documents
from shared.records.firestore_database import Conflict
from shared.records.firestore_ledger import FirestoreLedger
from shared.records.firestore_notices import FirestoreNotices

_MOST_TOGETHER = 50
_LASTING = frozenset({"id", "account_id", "operation", "idempotency_key", "created_at"})


@dataclass(frozen=True)
class End:
    """The end of a request, as it is to be written."""

    record: Record
    posting: Posting
    notice: Notice | None
    document: Mapping[str, Any]
    entry: Entry | None


class FirestoreEnds(FirestoreLedger, FirestoreNotices):
    """The part of `Records` that ends requests."""

    @cached_property
    def _ends(self) -> Groups[End, Record]:
        return Groups(self._ended, _MOST_TOGETHER)

    async def finish(
        self, record: Record, posting: Posting, notice: Notice | None = None
    ) -> Record:
        end = End(record, posting, notice, changes_of(record), documents.charge(record, posting))
        # Ends touch the same documents where their holds are in the same shard.
        return await self._ends.ask(f"{record.account_id}/{record.hold.shard}", end)

    async def _ended(self, ends: Sequence[End], late: bool) -> Sequence[Record | Exception]:
        """End some holds of one account and shard with one commit; what cannot be in it, one by
        one: within a commit, a second end of the same hold would pass for the first."""
        distinct = len({end.record.id for end in ends}) == len(ends)
        try:
            if distinct:
                return await self._ended_together(ends)
        except (HoldEnded, ValueError):
            if len(ends) == 1:
                raise
        return [await self._ended_alone(end) for end in ends]

    async def _ended_alone(self, end: End) -> Record | Exception:
        try:
            return (await self._ended_together([end]))[0]
        except Exception as error:
            return error

    async def _ended_together(self, ends: Sequence[End]) -> Sequence[Record]:
        """Raises HoldEnded, ValueError; then nothing was written."""
        account_id, shard = ends[0].record.account_id, ends[0].record.hold.shard
        charged = [end for end in ends if end.entry]

        def also(writes: Any) -> None:
            back = [(end.record.hold, end.posting, True) for end in ends]
            self._give_back(writes, account_id, back)
            for end in charged:
                self._enter(writes, end.entry)
            usage = [documents.usage_of(end.record, end.posting) for end in charged]
            self._use(writes, account_id, shard, usage)
            for end in ends:
                self._put_notice(writes, end.notice)

        changes = [
            (self._request_ref(end.record.id), end.document, end.record.version) for end in ends
        ]
        try:
            versions = await self._written_all(changes, also)
        except Conflict as error:
            raise HoldEnded from error
        ended = zip(ends, versions, strict=True)
        return [replace(end.record, version=version) for end, version in ended]

    def _request_ref(self, request_id: str) -> Any:
        return self._ref("requests", request_id)


def changes_of(record: Record) -> dict[str, Any]:
    """What of a stored request may be another by now: each field less costs time at the client."""
    document = document_of(record)
    return {name: value for name, value in document.items() if name not in _LASTING}


def document_of(record: Record) -> dict[str, Any]:
    """As it is stored, but for its `writer`."""
    return {**documents.from_record(record), "cache_key": record.cache_key}
