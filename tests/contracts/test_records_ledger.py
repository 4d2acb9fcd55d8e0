"""One contract for both backends of records, SQLite on a file and Firestore over a real connection:
money and quotas, whoever comes first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from shared import ledger
from shared.domain import (
    Record,
)
from shared.records import HoldEnded, Records, Stale
from tests.records.scene import (
    KINDS,
    NOW,
    Run,
    account,
    admit,
    balance,
    begin,
    decide,
    draft,
    grant,
    in_lots,
    opened,
    release,
    runner,
    settle,
)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def test_a_grant_is_split_over_the_shards_once_for_an_entry_id(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.create_account(account(shards=3))
        await asyncio.gather(*(records.grant(grant(100, "one")) for _ in range(3)))
        await records.grant(grant(1, "two"))
        shards = (await records.look("acc", None)).shards
        assert [s.index for s in shards] == [0, 1, 2]
        assert [s.lots["lot.one"].micros for s in shards] == [34, 33, 33]
        assert shards[0].lots["lot.one"].expires_at == grant(100).expires_at
        assert await in_lots(records) == await balance(records) == 101
        assert set((await records.entries("acc", 9, None)).items) == {
            grant(100, "one"),
            grant(1, "two"),
        }

    run(scenario)


def test_a_request_is_admitted_once(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=4)
        standing = await records.look("acc", "req_1")
        tries = [begin(records, *decide(standing, draft("req_1"), seed=n)) for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Record) for result in results) == 1
        assert sum(isinstance(result, Stale) for result in results) == 3
        after = await records.look("acc", "req_1")
        assert after.request in results
        assert sum(shard.running for shard in after.shards) == 1
        assert await in_lots(records) == 9_900

    run(scenario)


def test_several_are_begun_together_or_not_at_all(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=2, micros=1_000)
        wallet = await records.look("acc", None)
        held = []
        for n in range(4):
            one, taken = decide(wallet, draft(f"req_{n}", 200), seed=n)
            after = {shard.index: shard for shard in taken.shards}
            wallet = replace(wallet, shards=tuple(after.get(s.index, s) for s in wallet.shards))
            held.append((one, taken))
        begun = await records.begin(held)
        assert [record.id for record in begun] == ["req_0", "req_1", "req_2", "req_3"]
        found = await records.look_for("acc", ["req_3", None, "req_9", "req_0"])
        assert [standing.request for standing in found] == [begun[3], None, None, begun[0]]
        shards = found[0].shards
        assert sum(s.held for s in shards) == sum(record.hold.micros for record in begun) == 800
        assert sum(s.running for s in shards) == 4
        assert await in_lots(records) == 200
        more = [decide(found[0], draft(name, 50)) for name in ("req_5", "req_0")]
        with pytest.raises(Stale):
            await records.begin(more)
        assert await records.request("acc", "req_5") is None
        assert await in_lots(records) == 200
        await asyncio.gather(*(settle(records, one, 10) for one in begun))
        assert await in_lots(records) == await balance(records) == 960

    run(scenario)


def test_what_an_end_gives_back_between_look_and_hold_is_not_lost(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, micros=1_000)
        first = await admit(records, draft("req_1", 300))
        seen = await records.look("acc", None)
        await settle(records, first, 120)
        await records.grant(grant(50, "later"))
        try:
            second = await begin(records, *decide(seen, draft("req_2", 400)))
        except Stale:
            second = await admit(records, draft("req_2", 400))
        (shard,) = (await records.look("acc", None)).shards
        assert (shard.running, shard.held) == (1, 400)
        assert shard.spent == {"2026-11": 520}
        assert await in_lots(records) + 400 == await balance(records) == 930
        await settle(records, second, 400)
        assert await in_lots(records) == await balance(records) == 530

    run(scenario)


def test_an_end_that_comes_too_late_keeps_none_from_ending(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        every = [await admit(records, draft(f"req_{n}")) for n in range(4)]
        await release(records, every[1])
        ends = [settle(records, one, 10) for one in (*every, every[2])]
        results = await asyncio.gather(*ends, return_exceptions=True)
        ways = ["HoldEnded" if isinstance(one, HoldEnded) else "Record" for one in results]
        assert ways[:2] == ["Record", "HoldEnded"]
        assert sorted(ways) == ["HoldEnded"] * 2 + ["Record"] * 3
        assert await in_lots(records) == await balance(records) == 9_970
        (row,) = await records.usage("acc", "2026-11-21", "2026-11-21")
        assert (row.requests, row.micros) == (3, 30)

    run(scenario)


def test_an_ended_request_is_not_begun_again(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        ended = await release(records, await admit(records, draft("req_1")))
        standing = await records.look("acc", "req_1")
        with pytest.raises(Stale):
            await begin(records, *decide(standing, draft("req_1", 50)))
        assert await records.request("acc", "req_1") == ended

    run(scenario)


def test_two_holds_from_the_same_look_do_not_both_take_from_a_shard(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, micros=100)
        standing = await records.look("acc", None)
        await begin(records, *decide(standing, draft("req_1")))
        with pytest.raises(Stale):
            await begin(records, *decide(standing, draft("req_2")))
        assert await records.request("acc", "req_2") is None
        assert await in_lots(records) == 0

    run(scenario)


def test_a_guarded_shard_changes_its_version_even_where_it_stays_as_it_was(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=2)
        standing = await records.look("acc", None)
        held, reservation = decide(standing, draft("req_1"))
        untouched = standing.shards[1 - held.hold.shard]
        guarded = replace(
            reservation,
            seen=(*reservation.seen, untouched),
            shards=(*reservation.shards, untouched),
        )
        await begin(records, held, guarded)
        after = (await records.look("acc", None)).shards[untouched.index]
        assert after.version != untouched.version
        assert replace(after, version=untouched.version) == untouched

    run(scenario)


def test_a_hold_ends_exactly_once(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        running = await admit(records, draft("req_1"))
        ends = [settle(records, running, 60), release(records, running), release(records, running)]
        results = await asyncio.gather(*ends, return_exceptions=True)
        (won,) = [result for result in results if isinstance(result, Record)]
        assert sum(isinstance(result, HoldEnded) for result in results) == 2
        with pytest.raises(HoldEnded):
            await settle(records, running, 60)
        assert await records.request("acc", "req_1") == won
        charged = 60 if won.status == "succeeded" else 0
        assert await in_lots(records) == await balance(records) == 10_000 - charged
        assert (await records.look("acc", None)).shards[0].running == 0

    run(scenario)


def test_settlements_of_different_requests_on_one_shard_all_count(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        running = [await admit(records, draft(f"req_{n}")) for n in range(6)]
        assert (await records.look("acc", None)).shards[0].running == 6
        await asyncio.gather(*(settle(records, one, 10 * n) for n, one in enumerate(running)))
        (shard,) = (await records.look("acc", None)).shards
        assert shard.running == 0
        assert shard.spent == {"2026-11": 150}
        assert await in_lots(records) == await balance(records) == 10_000 - 150

    run(scenario)


def test_an_end_does_to_the_wallet_what_the_ledger_says(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=3, micros=90)
        await records.grant(grant(60, "newer", life=timedelta(days=400)))
        running = await admit(records, draft("req_1", 120))
        before = (await records.look("acc", None)).shards
        posting = ledger.post(running.hold, 70)
        await settle(records, running, 70)
        after = (await records.look("acc", None)).shards
        expected = [ledger.returned(shard, running.hold, posting) for shard in before]
        assert [replace(s, version="") for s in after] == [replace(s, version="") for s in expected]

    run(scenario)


def test_the_charge_is_posted_only_for_what_succeeded(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records)
        await release(records, await admit(records, draft("req_1")))
        free = await settle(records, await admit(records, draft("req_2")), 0)
        paid = await settle(records, await admit(records, draft("req_3")), 40)
        entries = (await records.entries("acc", 9, None)).items
        charges = {entry.request_id: entry for entry in entries if entry.kind == "charge"}
        assert {name: charge.micros for name, charge in charges.items()} == {
            free.id: 0,
            paid.id: -40,
        }
        assert charges[paid.id].at == paid.completed_at
        failed = replace(await admit(records, draft("req_4")), status="failed", completed_at=NOW)
        with pytest.raises(ValueError, match="cannot be charged"):
            await records.finish(failed, ledger.post(failed.hold, 1))

    run(scenario)


def test_credit_found_expired_is_written_off(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, micros=500)
        await records.grant(grant(70, "short", life=timedelta(days=1)))
        late = await admit(records, draft("req_1", 20))
        tomorrow = NOW + timedelta(days=1)
        await admit(records, draft("req_2", 30, at=tomorrow), at=tomorrow)
        await release(records, late)
        assert await in_lots(records) + 30 == await balance(records) == 520
        await admit(records, draft("req_3", 30, at=tomorrow), at=tomorrow)
        assert await in_lots(records) + 60 == await balance(records) == 500
        entries = (await records.entries("acc", 9, None)).items
        lost = [(e.micros, e.grant_id, e.at) for e in entries if e.kind == "expiry"]
        assert sorted(lost) == [(-50, "lot.short", tomorrow), (-20, "lot.short", tomorrow)]

    run(scenario)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_balance_is_what_lies_in_lots_and_open_holds(run: Run, seed: int) -> None:
    async def scenario(records: Records) -> None:
        random = Random(seed)
        await opened(records, shards=3, micros=900)
        await records.grant(grant(300, "short", life=timedelta(hours=6)))
        holds: dict[str, Record] = {}
        for n in range(25):
            at = NOW + timedelta(hours=n / 2)
            asked = draft(f"req_{n}", random.randrange(0, 60), at=at)
            running = await admit(records, asked, at=at, seed=random.randrange(99))
            holds[running.id] = running
            for ended in random.sample(sorted(holds), random.randrange(2)):
                one = holds.pop(ended)
                if random.random() < 0.3:
                    await release(records, one)
                else:
                    await settle(records, one, random.randrange(one.hold.micros + 1))
        held = sum(record.hold.micros for record in holds.values())
        assert await balance(records) == await in_lots(records) + held
        assert (await records.look("acc", None)).balance_micros() == await balance(records)
        await asyncio.gather(*(release(records, record) for record in holds.values()))
        assert await balance(records) == await in_lots(records)
        assert sum(s.running for s in (await records.look("acc", None)).shards) == 0

    run(scenario)


@pytest.mark.thorough
def test_two_hundred_requests_at_once_are_admitted_and_settled_to_the_last_micro(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await opened(records, shards=8, micros=200 * 100)
        in_flight = asyncio.Semaphore(12)

        async def one(n: int) -> None:
            async with in_flight:
                running = await admit(records, draft(f"req_{n}"), seed=n)
                await settle(records, running, min(n, 100))

        async with asyncio.timeout(60):
            await asyncio.gather(*(one(n) for n in range(200)))
        charged = sum(min(n, 100) for n in range(200))
        shards = (await records.look("acc", None)).shards
        assert sum(shard.running for shard in shards) == 0
        assert sum(shard.in_minute(NOW) for shard in shards) == 200
        assert sum(shard.in_month(NOW) for shard in shards) == charged
        assert await in_lots(records) == await balance(records) == 200 * 100 - charged
        (row,) = await records.usage("acc", "2026-11-21", "2026-11-21")
        assert (row.requests, row.micros) == (200, charged)

    run(scenario)
