"""What SQLite does with webhooks that have expired: nobody else deletes them there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from shared.domain import Notice
from shared.records.documents import NOTICE_LIFE
from shared.records.sqlite import Sqlite
from tests.records.scene import NOW, batch_draft, ended_batch, notice_of, opened


def test_what_has_expired_is_deleted_with_the_next_that_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        records = Sqlite(tmp_path / "records.db")
        await opened(records)

        async def write(subject: str, notice: Notice) -> None:
            await records.note_batch(ended_batch(batch_draft(subject)), notice)

        for subject, state in (("bat_1", "delivered"), ("bat_2", "dead"), ("bat_3", "due")):
            await write(subject, replace(notice_of(subject), state=state))  # type: ignore[arg-type]
        asked: list[str] = []
        records._db.set_trace_callback(asked.append)
        for subject, at, left in (
            ("bat_4", NOW, ["msg_bat_1", "msg_bat_2", "msg_bat_3"]),
            ("bat_5", NOW + NOTICE_LIFE, ["msg_bat_3"]),
        ):
            await write(subject, replace(notice_of(subject), created_at=at))
            found = [await records.notice(f"msg_bat_{n}") for n in (1, 2, 3)]
            assert [notice.id for notice in found if notice] == left
        records._db.set_trace_callback(None)
        (delete, *_) = (sql for sql in asked if sql.startswith("DELETE"))
        (plan,) = records._db.execute(f"EXPLAIN QUERY PLAN {delete}").fetchall()
        assert "USING INDEX notices_due" in plan[-1]
        await records.close()

    asyncio.run(scenario())
