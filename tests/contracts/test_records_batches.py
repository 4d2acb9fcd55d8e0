"""One contract for both backends of records, SQLite on a file and Firestore over a real connection:
batches, whose one hold goes piece by piece."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import ledger
from shared.batch_domain import Batch, Counts, Group, Job
from shared.domain import Problem, UsageRow
from shared.errors import InvalidRequest
from shared.records import Records, Stale
from tests.records.scene import (
    KINDS,
    NOW,
    Run,
    account,
    admit,
    admit_batch,
    balance,
    batch_draft,
    decide_batch,
    delivery,
    draft,
    ended_batch,
    grant,
    in_lots,
    notice_of,
    opened,
    runner,
    settle,
)

DAY = "2026-11-21"


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def test_a_batch_comes_back_as_it_was_written(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        look_at = NOW + timedelta(seconds=7)
        asked = replace(
            batch_draft(),
            mode="fanout",
            groups=(
                Group("provider", "google:m", 2, 1, 1, low=2),
                Group("fanout", "x:m", 1, 1, rests=2),
            ),
            jobs=(
                Job(0, 0, 1, "running", "n", 0, 9, "t", look_at, 1, 2**40, again=True),
                Job(1, 0, 1, "closed", "n", 0, 9, outcome="expired"),
            ),
            wire={"endpoint": "/v1/images", "deep": [{"a": None}]},
            metadata={"a.b": "\ud800"},
            webhook_url="https://example.com/hook",
            idempotency_key="key ü",
            surface="openai",
            model="gpt-image-1.5",
        )
        begun = await admit_batch(records, asked)
        assert begun == replace(asked, hold=begun.hold, version=begun.version)
        assert await records.batch("acc", "bat_1") == begun
        ended = replace(
            begun,
            status="failed",
            groups=(replace(begun.groups[0], rest_until=look_at),),
            jobs=(replace(begun.jobs[0], look_at=None), *begun.jobs),
            counts=Counts(3, 1, 1, 1),
            done="/w==",
            results=("batches/bat_1/results/0", "batches/bat_1/results/1"),
            cancelling=True,
            worker="w",
            due_at=look_at,
            error=Problem("invalid_request", "Bad", details={"lines": [{"line": 1}]}),
            completed_at=look_at,
        )
        ended = await records.advance_batch(ended)
        assert ended.version != begun.version
        assert await records.batch("acc", "bat_1") == ended
        assert (await records.batches("acc", None, 9, None)).items == (ended,)

    run(scenario)


def test_a_batch_holds_credit_and_takes_no_concurrent_place(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await admit_batch(records, batch_draft(micros=300))
        (shard,) = (await records.look("acc", None)).shards
        assert (shard.running, shard.in_minute(NOW), shard.held) == (0, 1, 300)
        assert shard.in_month(NOW) == 300
        assert (await in_lots(records), await balance(records)) == (9_700, 10_000)

    run(scenario)


def test_a_batch_is_begun_once_and_only_from_what_has_not_changed(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=4)
        seen = await records.look("acc", None)
        tries = [records.begin_batch(*decide_batch(seen, batch_draft(), seed=n)) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        (begun,) = [result for result in results if isinstance(result, Batch)]
        assert sum(isinstance(result, Stale) for result in results) == 3
        assert await records.batch("acc", "bat_1") == begun
        taken = begun.hold.shard
        others = [decide_batch(seen, batch_draft("bat_2"), seed=n) for n in range(20)]
        with pytest.raises(Stale):
            await records.begin_batch(*next(one for one in others if one[0].hold.shard == taken))
        assert await records.batch("acc", "bat_2") is None
        assert await in_lots(records) == 9_900

    run(scenario)


def test_credit_that_a_batch_finds_expired_is_written_off(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, micros=500)
        await records.grant(grant(70, "short", life=timedelta(days=1)))
        tomorrow = NOW + timedelta(days=1)
        await admit_batch(records, batch_draft(micros=30, at=tomorrow), at=tomorrow)
        assert await in_lots(records) + 30 == await balance(records) == 500

    run(scenario)


def test_a_chunk_does_to_the_wallet_what_the_ledger_says(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=3, micros=90)
        await records.grant(grant(60, "newer", life=timedelta(days=400)))
        running = await admit(records, draft("req_1", 10))
        begun = await admit_batch(records, batch_draft(micros=120))
        before = (await records.look("acc", None)).shards
        after, delivered = delivery(begun, "0", 50, 40)
        written = await records.advance_batch(after, delivered)
        assert await records.batch("acc", "bat_1") == written
        posting = ledger.post(delivered.piece, 50)
        expected = [ledger.returned(s, delivered.piece, posting, ran=False) for s in before]
        shards = (await records.look("acc", None)).shards
        assert [replace(s, version="") for s in shards] == [
            replace(s, version="") for s in expected
        ]
        assert sum(s.running for s in shards) == 1
        assert sum(s.held for s in shards) == running.hold.micros + written.hold.micros == 40
        assert await balance(records) == await in_lots(records) + 40 == 100

    run(scenario)


def test_each_chunk_has_a_charge_of_its_own_where_it_is_charged_something(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        batch = await admit_batch(records, batch_draft(micros=100))
        for key, charged, freed in (("0", 30, 10), ("1", 0, 20), ("a-2", 25, 0)):
            after, delivered = delivery(batch, key, charged, freed)
            batch = await records.advance_batch(after, delivered)
        rest, delivered = delivery(batch, "end", 5, 10)
        batch = await records.advance_batch(ended_batch(rest), delivered)
        assert (batch.hold.micros, batch.hold.parts) == (0, ())
        entries = (await records.entries("acc", 9, None)).items
        charges = {e.id: (e.micros, e.request_id) for e in entries if e.kind == "charge"}
        assert charges == {
            "chg_1_0": (-30, "bat_1"),
            "chg_1_a-2": (-25, "bat_1"),
            "chg_1_end": (-5, "bat_1"),
        }
        assert {e.at for e in entries if e.kind == "charge"} == {delivered.at}
        assert await in_lots(records) == await balance(records) == 9_940

    run(scenario)


def test_the_usage_of_a_chunk_is_added_up_by_day_model_and_provider(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=2)
        await settle(records, await admit(records, replace(draft("req_1"), model="m/`1`")), 7)
        after, delivered = delivery(await admit_batch(records, batch_draft()), "0", 60)
        rows = (
            UsageRow(DAY, "m/`1`", "google", 2, 3, 20),
            UsageRow(DAY, "m/`1`", "google", 1, 1, 10),
            UsageRow(DAY, "m/`1`", "x.y", 1, 1, 10),
            UsageRow(DAY, "m2", "google", 1, 4, 10),
            UsageRow("2026-11-22", "m2", "google", 1, 1, 10),
        )
        after = await records.advance_batch(after, replace(delivered, usage=rows))
        later, delivered = delivery(after, "1", 0, 40)
        await records.advance_batch(later, replace(delivered, usage=()))
        assert list(await records.usage("acc", DAY, "2026-11-22")) == [
            UsageRow(DAY, "m/`1`", "google", 4, 5, 37),
            UsageRow(DAY, "m/`1`", "x.y", 1, 1, 10),
            UsageRow(DAY, "m2", "google", 1, 4, 10),
            UsageRow("2026-11-22", "m2", "google", 1, 1, 10),
        ]

    run(scenario)


def test_of_two_workers_on_one_batch_the_first_counts_and_the_other_did_nothing(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        begun = await admit_batch(records, batch_draft())
        chunks = [delivery(begun, str(n), 10 + n) for n in range(4)]
        tries = [records.advance_batch(*chunk, notice_of(f"bat_{n}"))
                 for n, chunk in enumerate(chunks)]  # fmt: skip
        results = await asyncio.gather(*tries, return_exceptions=True)
        (won,) = [result for result in results if isinstance(result, Batch)]
        assert sum(isinstance(result, Stale) for result in results) == 3
        with pytest.raises(Stale):
            await records.advance_batch(*delivery(begun, "9", 1))
        with pytest.raises(Stale):
            await records.advance_batch(replace(begun, id="bat_9"))
        assert await records.batch("acc", "bat_1") == won
        assert await balance(records) == 10_000 - won.charged_micros
        assert await in_lots(records) == 9_900
        assert [row.micros for row in await records.usage("acc", DAY, DAY)] == [won.charged_micros]
        assert len(await records.notices("due", 9)) == 1

    run(scenario)


def test_a_chunk_is_not_charged_twice(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        batch = await records.advance_batch(
            *delivery(await admit_batch(records, batch_draft()), "0", 10)
        )
        with pytest.raises((Stale, ValueError)):
            await records.advance_batch(*delivery(batch, "0", 10))
        assert await records.batch("acc", "bat_1") == batch
        assert await balance(records) == 9_990
        assert [row.requests for row in await records.usage("acc", DAY, DAY)] == [1]

    run(scenario)


def test_batches_and_requests_on_one_shard_wait_for_nobody_and_all_count(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        batches = [await admit_batch(records, batch_draft(f"bat_{n}")) for n in range(4)]
        requests = [await admit(records, draft(f"req_{n}")) for n in range(4)]

        async def work(batch: Batch) -> None:
            for n in range(5):
                batch = await records.advance_batch(*delivery(batch, str(n), 10, 10))

        ends = [settle(records, request, 30) for request in requests]
        await asyncio.gather(*(work(batch) for batch in batches), *ends)
        (shard,) = (await records.look("acc", None)).shards
        assert (shard.running, shard.held, shard.spent) == (0, 0, {"2026-11": 320})
        assert await in_lots(records) == await balance(records) == 10_000 - 320

    run(scenario)


def test_lists_of_batches_go_on_newest_first_and_see_only_account_and_surface(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await records.create_account(account("other"))
        await records.note_batch(replace(ended_batch(batch_draft("bat_x")), account_id="other"))
        for n in range(5):
            # Two and two at the same moment: the id decides.
            at = NOW + timedelta(seconds=n // 2)
            made = replace(batch_draft(f"bat_{n}", at=at), surface="openai" if n % 2 else "native")
            await admit_batch(records, made, at=at)

        async def ids(surface: str | None) -> list[list[str]]:
            pages, cursor = [], None
            while True:
                page = await records.batches("acc", surface, 2, cursor)
                pages.append([batch.id for batch in page.items])
                cursor = page.cursor
                if cursor is None:
                    return pages

        assert await ids(None) == [["bat_4", "bat_3"], ["bat_2", "bat_1"], ["bat_0"]]
        assert await ids("native") == [["bat_4", "bat_2"], ["bat_0"]]
        assert await ids("openai") == [["bat_3", "bat_1"]]
        assert await ids("") == [[]]
        with pytest.raises(InvalidRequest):
            await records.batches("acc", None, 2, "x")

    run(scenario)


def test_a_batch_is_shown_only_to_its_account_and_under_its_very_id(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await records.create_account(account("other"))
        await admit_batch(records, batch_draft())
        assert await records.batch("other", "bat_1") is None
        for batch_id in ("", ".", "a/b", "__x__", "bat_1/", "\ud800", "\x00", "x" * 5000):
            assert await records.batch("acc", batch_id) is None

    run(scenario)


def test_due_batches_come_oldest_first_and_not_once_they_have_ended(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        for n, minutes in enumerate((3, 1, 2, 4, 0)):
            due_at = NOW + timedelta(minutes=minutes)
            batch = await admit_batch(records, replace(batch_draft(f"bat_{n}", 0), due_at=due_at))
            if minutes == 0:
                await records.advance_batch(ended_batch(batch))
        before = NOW + timedelta(minutes=4)
        assert [b.id for b in await records.due_batches(before, 9)] == ["bat_1", "bat_2", "bat_0"]
        (first,) = await records.due_batches(before, 1)
        await records.advance_batch(replace(first, due_at=before, worker="w"))
        assert [b.id for b in await records.due_batches(before, 1)] == ["bat_2"]

    run(scenario)


def test_a_batch_that_came_to_nothing_is_noted_once_and_moves_no_money(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        before = (await records.look("acc", None)).shards
        refused = ended_batch(batch_draft())
        noted = await records.note_batch(refused)
        assert noted.version
        assert await records.note_batch(replace(refused, status="failed")) == noted
        assert await records.batch("acc", "bat_1") == noted
        assert list(await records.due_batches(NOW + timedelta(days=9), 9)) == []
        held = decide_batch(await records.look("acc", None), refused)[0]
        for wrong in (batch_draft("bat_2"), replace(held, id="bat_2")):
            with pytest.raises(ValueError, match="not ended, or holds"):
                await records.note_batch(wrong)
        assert await records.batch("acc", "bat_2") is None
        assert (await records.look("acc", None)).shards == before

    run(scenario)
