"""What only the Firestore backend promises: how few round trips it takes, that a lost answer costs
nothing, and that production has every index its queries need. Seen on the gRPC channel.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.async_batch import AsyncWriteBatch

from shared.admission import Admission
from shared.domain import ApiKey, Notice
from shared.errors import NotFound
from shared.pacing import Meter
from shared.records import HoldEnded, RequestFilter, Stale, documents
from shared.records.firestore import INDEXES, TTL, UNINDEXED, Firestore
from tests.emulators.firestore_wire import Wire
from tests.records.firestore_indexes import Asked, alone, asked, served
from tests.records.scene import (
    NOW,
    admit,
    admit_batch,
    balance,
    batch_draft,
    begin,
    decide,
    delivery,
    draft,
    ended_batch,
    in_lots,
    notice_of,
    opened,
    settle,
)

pytestmark = pytest.mark.emulator

NOTICE = notice_of("bat_1")
GROUPS = (
    "accounts",
    "batches",
    "entries",
    "keys",
    "notices",
    "providers",
    "requests",
    "shards",
    "usage",
)
"""Every collection group there is."""

Scenario = Callable[[Firestore], Awaitable[None]]


def run(wire: Wire, scenario: Scenario) -> None:
    """Play a scenario on a database of its own; what it would have waited is noted."""

    async def sleep(seconds: float) -> None:
        wire.waits.append(seconds)

    async def whole() -> None:
        project = f"demo-{uuid.uuid4().hex[:20]}"
        records = Firestore(project, "darkroom", Random(0), sleep)
        try:
            await scenario(records)
        finally:
            await records.close()

    asyncio.run(whole())


def test_a_request_takes_two_calls_to_admit_and_one_to_end(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records, shards=8)
        assert await wire.counted(records.look("acc", "req_1")) == ["BatchGetDocuments"]
        standing = await records.look("acc", "req_1")
        held, reservation = decide(standing, draft("req_1", 9_000))
        assert len(reservation.shards) == 8
        assert await wire.counted(begin(records, held, reservation)) == ["Commit"]
        running = await records.request("acc", "req_1")
        assert running is not None
        assert await wire.counted(settle(records, running, 40)) == ["Commit"]

    run(wire, scenario)


def test_a_chunk_of_a_batch_takes_one_call_and_four_writes(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    commit = AsyncWriteBatch.commit

    async def counted(self: AsyncWriteBatch, *args: Any, **options: Any) -> Any:
        sizes.append(len(self))
        return await commit(self, *args, **options)

    async def scenario(records: Firestore) -> None:
        await opened(records, shards=8)
        begun = await admit_batch(records, batch_draft())
        assert begun.version
        monkeypatch.setattr(AsyncWriteBatch, "commit", counted)
        after, delivered = delivery(begun, "0", 10, 10)
        usage = tuple(replace(row, model=m) for row in delivered.usage for m in ("a", "b"))
        call = records.advance_batch(after, replace(delivered, usage=usage))
        assert await wire.counted(call) == ["Commit"]
        stored = await records.batch("acc", "bat_1")
        assert stored is not None
        call = records.advance_batch(ended_batch(stored), None, notice_of("bat_1"))
        assert await wire.counted(call) == ["Commit"]
        assert sizes == [4, 2]

    run(wire, scenario)


def test_a_chunk_whose_answer_was_lost_counts_once(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records)
        batch = await admit_batch(records, batch_draft())
        for key, received in (("0", True), ("1", False)):
            wire.faults.append((grpc.StatusCode.UNAVAILABLE, received))
            batch = await records.advance_batch(*delivery(batch, key, 10, 5))
            assert await records.batch("acc", "bat_1") == batch
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, True))
        noted = await records.note_batch(ended_batch(batch_draft("bat_2")))
        assert await records.batch("acc", "bat_2") == noted
        assert await balance(records) == 9_980
        assert await in_lots(records) == 9_910

    run(wire, scenario)


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
    ],
)
@pytest.mark.parametrize("received", [True, False])
def test_a_commit_without_an_answer_counts_once(
    wire: Wire, status: grpc.StatusCode, received: bool
) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records)
        standing = await records.look("acc", "req_1")
        held, reservation = decide(standing, draft("req_1"))
        wire.faults += [(status, received), (status, False)]
        running = await begin(records, held, reservation)
        assert await records.request("acc", "req_1") == running
        wire.faults += [(status, received), (status, False)]
        ended = await settle(records, running, 40)
        assert await records.request("acc", "req_1") == ended
        assert await in_lots(records) == await balance(records) == 9_960
        (shard,) = (await records.look("acc", None)).shards
        assert (shard.running, shard.in_minute(NOW)) == (0, 1)
        assert len(wire.waits) == 4

    run(wire, scenario)


def test_a_lost_answer_does_not_turn_anothers_write_into_ours(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records)
        standing = await records.look("acc", "req_1")
        running = await begin(records, *decide(standing, draft("req_1")))
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(Stale):
            await begin(records, *decide(standing, draft("req_1")))
        await settle(records, running, 40)
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(HoldEnded):
            await settle(records, running, 40)
        assert await balance(records) == 9_960

    run(wire, scenario)


def test_what_comes_at_once_shares_a_call(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records, shards=1)
        names = [f"req_{n}" for n in range(5)]
        looks = asyncio.gather(*(records.look("acc", name) for name in names))
        assert await wire.counted(looks) == ["BatchGetDocuments"]
        running = [await admit(records, draft(name)) for name in names]
        late = await admit(records, draft("req_late"))
        await settle(records, late, 1)
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, True))
        ends = asyncio.gather(*(settle(records, one, 10) for one in running))
        # The answer to the first is lost, so it is sent again, and what was written is looked at.
        assert await wire.counted(ends) == ["Commit", "Commit", "BatchGetDocuments"]
        assert await balance(records) == await in_lots(records) == 9_949
        ended = await asyncio.gather(*(records.request("acc", name) for name in names))
        assert [*ended] == [*await ends]

    run(wire, scenario)


def test_several_whose_answer_was_lost_are_begun_once(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records, shards=1)
        door = Admission(records, lambda: NOW, Random(0), records._sleep)
        standing = await records.look("acc", None)
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, True))
        drafts = [draft(f"req_{n}") for n in range(3)]
        begun = await asyncio.gather(*(door.reserve(standing, one) for one in drafts))
        assert [*await asyncio.gather(*(records.request("acc", r.id) for r in begun))] == begun
        assert await in_lots(records) == 9_700

    run(wire, scenario)


def test_what_firestore_does_not_take_is_said_and_keeps_none_out(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records, shards=1)
        door = Admission(records, lambda: NOW, Random(0), records._sleep)
        standing = await records.look("acc", None)
        large = replace(draft("req_large"), prompt="x" * 1_100_000)
        asked = [door.reserve(standing, one) for one in (draft("req_1"), large, draft("req_2"))]
        first, refused, second = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(refused, ValueError)
        assert await records.request("acc", "req_1") == first
        assert await records.request("acc", "req_2") == second
        assert await in_lots(records) == 9_800

    run(wire, scenario)


def test_an_outage_is_waited_for_and_then_told(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records)
        running = await admit(records, draft("req_1"))
        wire.faults += [(grpc.StatusCode.UNAVAILABLE, False)] * 7
        await settle(records, running, 40)
        assert len(wire.waits) == 7
        wire.faults += [(grpc.StatusCode.UNAVAILABLE, False)] * 8
        with pytest.raises(exceptions.ServiceUnavailable):
            await admit(records, draft("req_2"))

    run(wire, scenario)


async def everything_asked(records: Firestore) -> None:
    """Every query that the backend makes, with all filters that callers may combine."""
    await opened(records)
    await admit(records, draft("req_1"))
    for cursor in (None, documents.to_cursor(NOW, "x_1")):
        for number in range(16):
            where = RequestFilter(
                "running" if number & 1 else None,
                "generate" if number & 2 else None,
                "m" if number & 4 else None,
                "k" if number & 8 else None,
            )
            await records.requests("acc", where, 5, cursor)
        await records.batches("acc", None, 5, cursor)
        await records.batches("acc", "openai", 5, cursor)
        await records.entries("acc", 5, cursor)
    await records.made_before("acc", "c")
    await records.overdue(NOW, 5)
    await records.due_batches(NOW, 5)
    await records.due_notices(NOW, 5)
    for at in (None, NOW):
        await records.notices("dead", 5, at)
        await records.notices("due", 5, at)
    await records.usage("acc", "2026-01-01", "2026-12-31")
    await records.keys("acc")
    await records.accounts()
    with pytest.raises(NotFound):
        await records.revoke_key("key_1", NOW)


QUERYING = {
    "accounts",
    "batches",
    "due_batches",
    "due_notices",
    "entries",
    "keys",
    "made_before",
    "notices",
    "overdue",
    "requests",
    "revoke_key",
    "usage",
}
"""The methods that `everything_asked` tries."""


def test_every_query_is_tried() -> None:
    """A document by its name takes no collection: all that take one are methods that look in it."""
    methods = inspect.getmembers(Firestore, inspect.isfunction)
    assert {n for n, method in methods if ".collection(" in inspect.getsource(method)} == QUERYING


@pytest.fixture
def queries(wire: Wire) -> set[Asked]:
    run(wire, everything_asked)
    return {asked(query) for query in wire.queries}


def test_every_query_has_its_indexes_and_every_index_its_query(queries: set[Asked]) -> None:
    assert {query for query in queries if not served(query, INDEXES, UNINDEXED)} == set()
    for collection, indexes in INDEXES.items():
        for index in indexes:
            less = {**INDEXES, collection: [one for one in indexes if one != index]}
            assert not all(served(query, less, UNINDEXED) for query in queries), index


def test_what_every_request_writes_has_no_index_that_no_query_asks_for(
    wire: Wire, queries: set[Asked]
) -> None:
    stored: dict[str, set[str]] = {}

    async def scenario(records: Firestore) -> None:
        await opened(records)
        await settle(records, await admit(records, draft("req_1")), 40)
        await records.advance_batch(await admit_batch(records, batch_draft()), None, NOTICE)
        await records.update_notice(replace(await _noted(records), state="dead"))
        await records.put_meter("google", Meter())
        await records.create_key(ApiKey("key_1", "hash", "acc", False, NOW))
        for group in GROUPS:
            async for found in records._client.collection_group(group).stream():
                stored.setdefault(group, set()).update(found.to_dict())

    run(wire, scenario)
    assert set(stored) == set(GROUPS)
    for group, exempt in UNINDEXED.items():
        assert set(exempt) <= stored[group], group
    by_themselves = {(query.collection, alone(query)) for query in queries}
    for group in ("entries", "providers", "requests", "shards"):
        needed = {field for field in stored[group] if (group, field) in by_themselves}
        assert set(UNINDEXED[group]) == stored[group] - needed, group
    assert {group for group, field in TTL.items() if field not in UNINDEXED[group]} == set()


def test_an_index_that_is_missing_is_missed() -> None:
    """What production refuses: no index, another order, a field left over, an exempt field."""
    query = Asked("c", frozenset({"a", "b"}), ("t desc",))
    for indexes, answered in (
        ([("a", "b", "t desc")], True),
        ([("a", "t desc"), ("b", "t desc")], True),
        ([("a", "t desc")], False),
        ([("a", "b", "t")], False),
        ([("a", "b", "x", "t desc")], False),
        ([("t desc",)], False),
        ([], False),
    ):
        assert served(query, {"c": indexes}, {}) is answered, indexes
    for single in (Asked("c", frozenset("a"), ()), Asked("c", frozenset(), ("a desc",))):
        assert served(single, {}, {})
        assert not served(single, {}, {"c": ["a"]})


async def _noted(records: Firestore) -> Notice:
    notice = await records.notice(NOTICE.id)
    assert notice is not None
    return notice


def test_only_a_notice_that_has_ended_carries_the_time_firestore_deletes_it_at(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        async def expiry() -> datetime | None:
            document = await records._client.document("notices", NOTICE.id).get()
            field: datetime | None = document.get(TTL["notices"])
            return field

        await opened(records)
        await records.note_batch(ended_batch(batch_draft("bat_1")), NOTICE)
        assert await expiry() is None
        dead = await records.update_notice(replace(await _noted(records), state="dead"))
        assert await expiry() == NOW + documents.NOTICE_LIFE
        # Sent again: it must lose the time, or it is deleted before it is delivered.
        await records.update_notice(replace(dead, state="due"))
        assert await expiry() is None

    run(wire, scenario)
