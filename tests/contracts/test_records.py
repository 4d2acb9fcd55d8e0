"""One contract for both backends of records, SQLite on a file and Firestore over a real connection:
what is stored and how it is found again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import ledger
from shared.domain import (
    ApiKey,
    Attempt,
    Entry,
    Limits,
    Operation,
    Problem,
    Record,
    Status,
    Task,
    Usage,
    UsageRow,
)
from shared.errors import InvalidRequest, NotFound
from shared.records import HoldEnded, Records, RequestFilter, Stale
from tests.records.scene import (
    KINDS,
    NOW,
    Run,
    account,
    admit,
    balance,
    draft,
    grant,
    image,
    in_lots,
    opened,
    release,
    runner,
    settle,
)

EVERYTHING = RequestFilter()
DAY = "2026-11-21"


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def test_accounts_are_found_listed_by_name_and_limited_anew(run: Run) -> None:
    async def scenario(records: Records) -> None:
        first, second = account("b", shards=3), account("a", limits=Limits(rpm=5))
        await records.create_account(first)
        await records.create_account(second)
        with pytest.raises(ValueError, match="already"):
            await records.create_account(first)
        with pytest.raises(ValueError, match="shards"):
            await records.create_account(account("c", shards=ledger.MAX_SHARDS + 1))
        assert await records.account("b") == first
        assert await records.account("nobody") is None
        assert list(await records.accounts()) == [second, first]
        limits = Limits(rpd=7, monthly_micros=10**15)
        await records.set_limits("a", limits)
        assert await records.account("a") == replace(second, limits=limits)
        assert (await records.look("a", None)).account.limits == limits

    run(scenario)


def test_an_unknown_account_is_not_found(run: Run) -> None:
    async def scenario(records: Records) -> None:
        key = ApiKey("key", "0" * 64, "nobody", True, NOW)
        for call in (
            records.look("nobody", "req_1"),
            records.set_limits("nobody", Limits()),
            records.grant(grant(5, account_id="nobody")),
            records.create_key(key),
        ):
            with pytest.raises(NotFound):
                await call
        assert await records.key(key.key_hash) is None

    run(scenario)


def test_a_key_is_found_by_its_hash_until_and_after_it_is_revoked(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        older = ApiKey("key_1", "1" * 64, "acc", False, NOW)
        newer = ApiKey("key_2", "2" * 64, "acc", True, NOW + timedelta(seconds=1))
        await records.create_key(newer)
        await records.create_key(older)
        with pytest.raises(ValueError, match="already"):
            await records.create_key(older)
        assert await records.key("1" * 64) == older
        assert list(await records.keys("acc")) == [older, newer]
        await records.revoke_key("key_1", NOW)
        await records.revoke_key("key_1", NOW + timedelta(days=1))
        assert await records.key("1" * 64) == replace(older, revoked_at=NOW)
        with pytest.raises(NotFound):
            await records.revoke_key("key_3", NOW)

    run(scenario)


def test_a_record_comes_back_as_it_was_written(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        asked = replace(
            draft("req_1"),
            prompt='"é\n漢' * 100_000 + "\ud800",
            parameters={"seed": 2**70, "deep": [[1, [None]], {"__x__": 0.5}], "": True},
            metadata={"a.b/c`d": "\x00\udfff", "__name__": "x"},
            idempotency_key="key ü",
            previous_request_id="req_0",
            status="queued",
            deferred=True,
            webhook_url="https://example.com/hook",
        )
        queued = await admit(records, asked)
        assert (await records.look("acc", "req_1")).request == queued
        task = Task("x:m", "token", NOW + timedelta(seconds=1), 2)
        running = await records.advance(replace(queued, status="running", task=task))
        assert (await records.look("acc", "req_1")).request == running
        ended = replace(
            running,
            status="succeeded",
            provider="google",
            images=(image(0), image(1)),
            text="Here.",
            charged_micros=30,
            usage=Usage(1, 2, 3, 4, 5),
            attempts=(Attempt("laozhang", "rate_limited", 429, 5), Attempt("google", "x", None, 1)),
            error=Problem("partially_blocked", "One", param="n", details={"a": [1]}),
            completed_at=NOW + timedelta(seconds=2),
        )
        ended = await records.finish(ended, ledger.post(running.hold, 30))
        assert ended.version != running.version
        assert await records.request("acc", "req_1") == ended
        assert (await records.requests("acc", EVERYTHING, 9, None)).items == (ended,)

    run(scenario)


def test_a_request_goes_on_from_what_was_read_and_only_while_it_is_open(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        queued = await admit(records, replace(draft("req_1"), status="queued"))
        shards = (await records.look("acc", None)).shards
        later = replace(queued, status="running", lease_until=NOW + timedelta(minutes=9))
        tries = [records.advance(replace(later, provider=str(n))) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        (won,) = [result for result in results if isinstance(result, Record)]
        assert sum(isinstance(result, Stale) for result in results) == 3
        assert won.version != queued.version
        assert await records.request("acc", "req_1") == won
        with pytest.raises(HoldEnded):
            await release(records, queued)
        with pytest.raises(ValueError, match="has ended"):
            await records.advance(replace(won, status="cancelled"))
        assert (await records.look("acc", None)).shards == shards
        ended = await release(records, won)
        with pytest.raises(Stale):
            await records.advance(won)
        assert await records.request("acc", "req_1") == ended
        assert await in_lots(records) == 10_000

    run(scenario)


def test_a_request_may_end_while_it_is_queued(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        queued = await admit(records, replace(draft("req_1"), status="queued"))
        gone = replace(queued, status="cancelled", completed_at=NOW)
        ended = await records.finish(gone, ledger.post(queued.hold, 0))
        assert await records.request("acc", "req_1") == ended
        (shard,) = (await records.look("acc", None)).shards
        assert (shard.running, shard.held) == (0, 0)
        assert await in_lots(records) == await balance(records) == 10_000

    run(scenario)


def test_a_request_that_came_to_nothing_is_noted_once_and_moves_no_money(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        before = (await records.look("acc", None)).shards
        refused = replace(draft("req_1"), status="failed", completed_at=NOW)
        noted = await records.note(refused)
        assert noted.version
        assert await records.note(replace(refused, prompt="another")) == noted
        assert await records.request("acc", "req_1") == noted
        held = await admit(records, draft("req_2"))
        for wrong in (draft("req_3"), replace(refused, id="req_3", hold=held.hold)):
            with pytest.raises(ValueError, match="not ended, or holds"):
                await records.note(wrong)
        assert await records.request("acc", "req_3") is None
        assert await records.note(replace(refused, id="req_2")) == held
        await release(records, held)
        after = (await records.look("acc", None)).shards
        assert [s.lots for s in after] == [s.lots for s in before]

    run(scenario)


def test_lists_go_on_where_they_stopped_newest_first(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        for n in range(5):
            # Two and two at the same moment: the id decides.
            at = NOW + timedelta(seconds=n // 2)
            await settle(records, await admit(records, draft(f"req_{n}", at=at), at=at), n)
        seen: list[str] = []
        lines: list[Entry] = []
        cursor = None
        for size in (2, 2, 1):
            page = await records.requests("acc", EVERYTHING, 2, cursor)
            assert len(page.items) == size
            seen += [record.id for record in page.items]
            cursor = page.cursor
        assert cursor is None
        assert seen == ["req_4", "req_3", "req_2", "req_1", "req_0"]
        for _ in range(3):
            entries = await records.entries("acc", 2, cursor)
            lines += entries.items
            cursor = entries.cursor
        assert cursor is None
        assert [(e.at, e.id) for e in lines] == sorted(((e.at, e.id) for e in lines), reverse=True)
        assert len({e.id for e in lines}) == 6

    run(scenario)


def test_a_cursor_that_was_not_made_here_is_refused(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        for cursor in ("x", "!", "e30=", "WzEsMl0=", "WyIyMDI2IiwgMV0=", "é"):
            for call in (
                records.requests("acc", EVERYTHING, 5, cursor),
                records.entries("acc", 5, cursor),
            ):
                with pytest.raises(InvalidRequest) as refused:
                    await call
                assert refused.value.param == "cursor"

    run(scenario)


def test_filters_combine_and_see_only_the_account(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await records.create_account(account("other"))
        await records.grant(grant(500, "grant2", "other"))
        await admit(records, replace(draft("req_0"), account_id="other"))
        kinds: list[tuple[Operation, str]] = [("generate", "m1"), ("edit", "m1"), ("edit", "m2")]
        for n, (operation, model) in enumerate(kinds * 2):
            asked = replace(
                draft(f"req_{n + 1}", at=NOW + timedelta(seconds=n)),
                operation=operation,
                model=model,
                idempotency_key=f"k{n}",
            )
            running = await admit(records, asked)
            if n >= 3:
                await settle(records, running, 1)

        async def ids(
            status: Status | None = None,
            operation: Operation | None = None,
            model: str | None = None,
            key: str | None = None,
        ) -> list[str]:
            where = RequestFilter(status, operation, model, key)
            return [r.id for r in (await records.requests("acc", where, 9, None)).items]

        assert await ids() == ["req_6", "req_5", "req_4", "req_3", "req_2", "req_1"]
        assert await ids(status="running") == ["req_3", "req_2", "req_1"]
        assert await ids(operation="edit", model="m1") == ["req_5", "req_2"]
        assert await ids("succeeded", "edit", "m2", "k5") == ["req_6"]
        assert await ids(key="k9") == []

    run(scenario)


def test_a_request_is_shown_only_to_its_account_and_under_its_very_id(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await records.create_account(account("other"))
        await admit(records, draft("req_1"))
        assert await records.request("other", "req_1") is None
        odd = ["", ".", "..", "a/b", "__x__", "req_1/", "REQ_1", "\ud800", "\x00", "x" * 5000, "é"]
        for request_id in odd:
            assert await records.request("acc", request_id) is None

    run(scenario)


def test_a_deleted_request_is_forgotten_but_its_id_and_its_charge_stay(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        running = await admit(records, replace(draft("req_1"), metadata={"a": "b"}))
        with pytest.raises(ValueError, match="not ended"):
            await records.delete_request(running)
        ended = await settle(records, running, 40)
        await records.delete_request(ended)
        await records.delete_request(ended)
        assert await records.request("acc", "req_1") is None
        assert (await records.requests("acc", EVERYTHING, 9, None)).items == ()
        left = (await records.look("acc", "req_1")).request
        assert left is not None
        assert left.deleted
        assert (left.prompt, left.parameters, left.metadata) == ("", {}, {})
        assert (left.images, left.text, left.charged_micros) == ((), None, 40)
        assert left.fingerprint == ended.fingerprint
        assert await balance(records) == 9_960
        assert [row.images for row in await records.usage("acc", DAY, DAY)] == [1]
        with pytest.raises(Stale):
            await records.delete_request(replace(ended, id="req_2"))

    run(scenario)


def test_usage_sums_what_succeeded_by_day_model_and_provider(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=3)
        models = ["gpt-image-1.5", "gpt-image-1.5", "hunyuan/3d `x`"]
        for n, model in enumerate(models):
            running = await admit(records, replace(draft(f"req_{n}"), model=model), seed=n)
            await settle(records, running, 10 + n, images=n)
        midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        late = await admit(records, draft("req_3"))
        await settle(records, late, 5, at=midnight)
        await release(records, await admit(records, draft("req_4")))
        first = [
            UsageRow(DAY, "gpt-image-1.5", "google", 2, 1, 21),
            UsageRow(DAY, "hunyuan/3d `x`", "google", 1, 2, 12),
        ]
        second = [UsageRow("2026-11-22", "gemini-3.1-flash-image", "google", 1, 1, 5)]
        assert list(await records.usage("acc", DAY, DAY)) == first
        assert list(await records.usage("acc", "2026-11-22", "2026-12-31")) == second
        assert list(await records.usage("acc", "2026-01-01", "2026-12-31")) == first + second
        assert list(await records.usage("acc", "2026-12-01", "2026-12-31")) == []

    run(scenario)


def test_overdue_requests_come_oldest_lease_first(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        for n, minutes in enumerate((3, 1, 2, 4, 0)):
            lease = NOW + timedelta(minutes=minutes)
            status: Status = "running" if n % 2 else "queued"
            asked = replace(draft(f"req_{n}"), status=status, lease_until=lease)
            running = await admit(records, asked)
            if minutes == 0:
                await release(records, running)
        before = NOW + timedelta(minutes=4)
        assert [r.id for r in await records.overdue(before, 9)] == ["req_1", "req_2", "req_0"]
        (first,) = await records.overdue(before, 1)
        await settle(records, first, 10)
        assert [r.id for r in await records.overdue(before, 1)] == ["req_2"]

    run(scenario)


def test_what_was_made_before_is_the_latest_that_succeeded_and_is_still_there(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await records.create_account(account("other"))
        assert await records.made_before("acc", "k") is None
        for n in range(3):
            at = NOW + timedelta(minutes=n)
            asked = replace(draft(f"req_{n}", 0, at=at), cache_key="k")
            await settle(records, await admit(records, asked), 0, at=at)
        failed = replace(draft("req_9", 0, at=NOW + timedelta(hours=1)), cache_key="k")
        await release(records, await admit(records, failed))
        await admit(records, replace(draft("req_8", 0), cache_key="k"))
        found = await records.made_before("acc", "k")
        assert found is not None and (found.id, found.cache_key) == ("req_2", "k")
        assert await records.made_before("acc", "other") is None
        assert await records.made_before("other", "k") is None
        await records.delete_request(found)
        found = await records.made_before("acc", "k")
        assert found is not None and found.id == "req_1"

    run(scenario)
