"""Webhooks to be sent, in SQLite: the table `notices`. Those that have expired are deleted with the
next one that is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain import Notice, NoticeState
from shared.records import Stale, documents
from shared.records.sqlite_file import Row, SqliteFile


class SqliteNotices(SqliteFile):
    """The part of `Records` that keeps webhooks until they are delivered."""

    async def notice(self, notice_id: str, at: datetime | None = None) -> Notice | None:
        # SQLite takes no text with lone surrogates.
        if not notice_id.isprintable():
            return None
        sql = "SELECT * FROM notices WHERE id = :id"
        row = await self._read(lambda: self._one(sql, {"id": notice_id}))
        notice = _to_notice(row) if row else None
        return notice if notice and not documents.expired(notice, at) else None

    async def update_notice(self, notice: Notice) -> Notice:
        version = int(notice.version)
        written = await self._write(
            lambda: self._run(
                "UPDATE notices SET state = :state, due_at = :due_at, body = :body,"
                " version = version + 1 WHERE id = :id AND version = :version",
                {**documents.from_notice(notice), "version": version},
            )
        )
        if not written:
            raise Stale
        return replace(notice, version=str(version + 1))

    async def due_notices(self, before: datetime, limit: int) -> Sequence[Notice]:
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM notices WHERE state = 'due' AND due_at < :before"
                " ORDER BY due_at, id LIMIT :limit",
                {"before": before, "limit": limit},
            )
        )
        return [_to_notice(row) for row in rows]

    async def notices(
        self, state: NoticeState, limit: int, at: datetime | None = None
    ) -> Sequence[Notice]:
        since = at - documents.NOTICE_LIFE if at and state != "due" else None
        rows = await self._read(
            lambda: self._all(
                "SELECT * FROM notices WHERE state = :state"
                " AND (:since IS NULL OR due_at > :since) ORDER BY due_at, id LIMIT :limit",
                {"state": state, "limit": limit, "since": since},
            )
        )
        return [_to_notice(row) for row in rows]

    def _put_notice(self, notice: Notice | None) -> None:
        """Write a notice, if there is one. Its subject ends once, so it replaces none; and one
        that is there after all must not keep the subject from ending."""
        if notice:
            self._run(
                "DELETE FROM notices WHERE state IN ('delivered', 'dead') AND due_at <= :before",
                {"before": notice.created_at - documents.NOTICE_LIFE},
            )
            self._run(
                "INSERT INTO notices VALUES (:id, :state, :due_at, :body, 1) ON CONFLICT (id)"
                " DO UPDATE SET state = excluded.state, due_at = excluded.due_at,"
                " body = excluded.body, version = version + 1",
                documents.from_notice(notice),
            )


def _to_notice(row: Row) -> Notice:
    return documents.to_notice(row, str(row["version"]))
