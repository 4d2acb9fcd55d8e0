"""One contract for both backends of records, SQLite on a file and Firestore over a real connection:
webhooks to be sent, written with the end of what they are about."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared import ledger
from shared.domain import Notice, NoticeState, Record
from shared.records import HoldEnded, Records, Stale
from shared.records.documents import NOTICE_LIFE
from tests.records.scene import (
    KINDS,
    NOW,
    Run,
    admit,
    admit_batch,
    batch_draft,
    draft,
    ended_batch,
    notice_of,
    opened,
    runner,
)

STATES: tuple[NoticeState, ...] = ("delivered", "dead", "due")


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


async def end(records: Records, record: Record, notice: Notice | None) -> Record:
    failed = replace(record, status="failed", completed_at=NOW)
    return await records.finish(failed, ledger.post(record.hold, 0), notice)


async def stored(records: Records, notice_id: str) -> Notice:
    notice = await records.notice(notice_id)
    assert notice is not None
    return notice


async def written(records: Records, count: int) -> None:
    """Notices of as many requests, the later due the higher its number."""
    await opened(records)
    for n in range(count):
        running = await admit(records, draft(f"req_{n}", 0))
        await end(records, running, notice_of(f"req_{n}", NOW + timedelta(minutes=n)))


def test_a_notice_is_written_with_the_end_of_a_request_and_of_a_batch(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        running = await admit(records, draft("req_1"))
        begun = await admit_batch(records, batch_draft())
        assert await records.notice("msg_req_1") is None
        await end(records, running, notice_of("req_1"))
        await records.advance_batch(ended_batch(begun), None, notice_of("bat_1"))
        for subject in ("req_1", "bat_1"):
            found = await stored(records, f"msg_{subject}")
            assert found.version
            assert replace(found, version="") == notice_of(subject)
        await end(records, await admit(records, draft("req_2")), None)
        assert len(await records.notices("due", 9)) == 2
        for odd in ("", "a/b", "\ud800", "msg_req_2"):
            assert await records.notice(odd) is None

    run(scenario)


def test_a_notice_is_written_with_what_came_to_nothing_and_only_once(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        refused = replace(draft("req_1"), status="failed", completed_at=NOW)
        failed = ended_batch(batch_draft("bat_1"))
        await records.note(refused, notice_of("req_1"))
        await records.note_batch(failed, notice_of("bat_1"))
        for subject in ("req_1", "bat_1"):
            found = await stored(records, f"msg_{subject}")
            assert replace(found, version="") == notice_of(subject)
            await records.update_notice(replace(found, state="delivered"))
        await records.note(refused, notice_of("req_1"))
        await records.note_batch(failed, notice_of("bat_1"))
        assert not await records.notices("due", 9)
        held = await admit(records, draft("req_2"))
        await records.note(replace(refused, id="req_2"), notice_of("req_2"))
        await records.note(replace(refused, id="req_3"))
        assert not await records.notices("due", 9)
        assert await records.request("acc", "req_2") == held

    run(scenario)


def test_a_request_that_ends_again_leaves_its_notice_as_it_is(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        running = await admit(records, draft("req_1"))
        tries = [end(records, running, notice_of("req_1")) for _ in range(3)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, HoldEnded) for result in results) == 2
        sent = replace(await stored(records, "msg_req_1"), state="delivered")
        sent = await records.update_notice(sent)
        with pytest.raises(HoldEnded):
            await end(records, running, notice_of("req_1"))
        assert await stored(records, "msg_req_1") == sent

    run(scenario)


def test_a_notice_that_is_there_keeps_nothing_from_ending(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await end(records, await admit(records, draft("req_1")), notice_of("req_1"))
        await end(records, await admit(records, draft("req_2")), notice_of("req_1", NOW))
        assert [n.id for n in await records.notices("due", 9)] == ["msg_req_1"]

    run(scenario)


def test_of_two_changes_from_one_reading_the_first_counts(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await written(records, 1)
        seen = await stored(records, "msg_req_0")
        later = replace(seen, due_at=NOW + timedelta(hours=1), failure="503 " + "é" * 3000)
        tries = [records.update_notice(replace(later, tries=n)) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        (won,) = [result for result in results if isinstance(result, Notice)]
        assert sum(isinstance(result, Stale) for result in results) == 3
        assert won.version != seen.version
        assert await stored(records, "msg_req_0") == won
        again = await records.update_notice(won)
        assert again.version != won.version
        with pytest.raises(Stale):
            await records.update_notice(replace(again, id="msg_other"))

    run(scenario)


def test_due_notices_come_oldest_first_and_not_once_they_are_sent(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await written(records, 5)
        for n, state in ((0, "delivered"), (3, "dead"), (4, "dead")):
            notice = await stored(records, f"msg_req_{n}")
            await records.update_notice(replace(notice, state=state, due_at=NOW))  # type: ignore[arg-type]

        async def due(minutes: int, limit: int) -> list[str]:
            found = await records.due_notices(NOW + timedelta(minutes=minutes), limit)
            return [notice.subject for notice in found]

        assert await due(9, 9) == ["req_1", "req_2"]
        assert await due(9, 1) == ["req_1"]
        assert await due(2, 9) == ["req_1"]
        assert await due(1, 9) == []
        assert [n.subject for n in await records.notices("dead", 9)] == ["req_3", "req_4"]
        assert [n.subject for n in await records.notices("delivered", 9)] == ["req_0"]
        assert [n.subject for n in await records.notices("due", 1)] == ["req_1"]

    run(scenario)


def test_what_ended_is_forgotten_after_its_life_and_what_is_due_never(run: Run) -> None:
    ends = NOW + NOTICE_LIFE

    async def scenario(records: Records) -> None:
        await written(records, 3)
        for n, state in ((0, "delivered"), (1, "dead")):
            notice = replace(await stored(records, f"msg_req_{n}"), due_at=NOW)
            await records.update_notice(replace(notice, state=state))  # type: ignore[arg-type]

        async def seen(at: datetime | None) -> list[str]:
            ids = [f"msg_req_{n}" for n in range(3)]
            alone = [one.id for i in ids if (one := await records.notice(i, at))]
            listed = [one for s in STATES for one in await records.notices(s, 9, at)]
            assert [one.id for one in listed] == alone
            return [one.subject for one in listed]

        assert await seen(ends - timedelta(microseconds=1)) == ["req_0", "req_1", "req_2"]
        assert await seen(ends) == await seen(ends + timedelta(days=900)) == ["req_2"]

    run(scenario)


def test_what_is_due_again_is_not_forgotten_with_what_it_was(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await written(records, 1)
        dead = replace(await stored(records, "msg_req_0"), state="dead")
        again = replace(await records.update_notice(dead), state="due")
        await records.update_notice(again)
        assert await records.notice("msg_req_0", NOW + 2 * NOTICE_LIFE)
        # What is written later must not take it along.
        running = await admit(records, draft("req_1"))
        late = replace(notice_of("req_1"), created_at=NOW + 2 * NOTICE_LIFE)
        await end(records, running, late)
        assert await records.notice("msg_req_0")

    run(scenario)
