"""What only the Firestore backend promises: how few round trips it takes, that a lost answer costs
nothing, and that production has every index its queries need. Seen on the gRPC channel.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from random import Random

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.types import StructuredQuery

from shared.records import HoldEnded, RequestFilter, Stale
from shared.records.firestore import INDEXES, Firestore
from tests.emulators.firestore_wire import Wire
from tests.records.scene import NOW, admit, balance, decide, draft, in_lots, opened, settle

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
        await records.entries("acc", 5, None)
        await records.usage("acc", "2026-01-01", "2026-12-31")
        await records.keys("acc")
        await records.accounts()

    run(wire, scenario)
    assert len(wire.queries) == 21
    for query in wire.queries:
        _assert_indexed(query)


def _assert_indexed(query: StructuredQuery) -> None:
    """Firestore merges indexes that end in the query's order and name only fields it compares for
    equality, all of which they have to name between them."""
    composite = query.where.composite_filter.filters
    alone = [query.where] if query.where.field_filter.op else []
    filters = [one.field_filter for one in (*composite, *alone)]
    equal = StructuredQuery.FieldFilter.Operator.EQUAL
    equalities = {one.field.field_path for one in filters if one.op == equal}
    ranges = {one.field.field_path for one in filters if one.op != equal}
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
