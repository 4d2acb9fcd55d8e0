"""What only the Firestore backend promises: how few round trips it takes, that a lost answer costs
nothing, and that production has every index its queries need. Seen on the gRPC channel.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.async_batch import AsyncWriteBatch
from google.cloud.firestore_v1.types import StructuredQuery

from shared.records import HoldEnded, RequestFilter, Stale
from shared.records.firestore import INDEXES, Firestore
from tests.emulators.firestore_wire import Wire
from tests.records.scene import (
    NOW,
    admit,
    admit_batch,
    balance,
    batch_draft,
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
        assert await wire.counted(records.begin(held, reservation)) == ["Commit"]
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
        running = await records.begin(held, reservation)
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
        running = await records.begin(*decide(standing, draft("req_1")))
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(Stale):
            await records.begin(*decide(standing, draft("req_1")))
        await settle(records, running, 40)
        wire.faults.append((grpc.StatusCode.UNAVAILABLE, False))
        with pytest.raises(HoldEnded):
            await settle(records, running, 40)
        assert await balance(records) == 9_960

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


def test_every_query_has_its_indexes(wire: Wire) -> None:
    async def scenario(records: Firestore) -> None:
        await opened(records)
        await admit(records, draft("req_1"))
        for number in range(16):
            where = RequestFilter(
                "running" if number & 1 else None,
                "generate" if number & 2 else None,
                "m" if number & 4 else None,
                "k" if number & 8 else None,
            )
            await records.requests("acc", where, 5, None)
        await records.overdue(NOW, 5)
        await records.batches("acc", None, 5, None)
        await records.batches("acc", "openai", 5, None)
        await records.due_batches(NOW, 5)
        await records.due_notices(NOW, 5)
        await records.notices("dead", 5)
        await records.entries("acc", 5, None)
        await records.usage("acc", "2026-01-01", "2026-12-31")
        await records.keys("acc")
        await records.accounts()

    run(wire, scenario)
    assert len(wire.queries) == 26
    for query in wire.queries:
        _assert_indexed(query)


def _assert_indexed(query: StructuredQuery) -> None:
    """Firestore merges indexes that end in the query's order and name only fields it compares for
    equality, all of which they have to name between them."""
    composite = query.where.composite_filter.filters
    alone = [query.where] if query.where.field_filter.op else []
    filters = [one.field_filter for one in (*composite, *alone)]
    operator = StructuredQuery.FieldFilter.Operator
    # "in" is as many queries for equality, which share an index.
    equal = (operator.EQUAL, operator.IN)
    equalities = {one.field.field_path for one in filters if one.op in equal}
    ranges = {one.field.field_path for one in filters if one.op not in equal}
    descending = StructuredQuery.Direction.DESCENDING
    order = tuple(
        one.field.field_path + (" desc" if one.direction == descending else "")
        for one in query.order_by
        if one.field.field_path != "__name__"
    ) or tuple(sorted(ranges))
    if len(order) + len(equalities) <= 1:
        return
    named: set[str] = set()
    for index in INDEXES[query.from_[0].collection_id]:
        first, last = index[: -len(order)], index[-len(order) :]
        if last == order and set(first) <= equalities:
            named |= set(first)
    assert named == equalities
