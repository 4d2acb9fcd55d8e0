"""What the tests of records act on: an account with credit, requests and batches, and the way to
admit and to end one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from shared import ledger
from shared.batch_domain import Batch, Counts, Delivered
from shared.domain import Account, Entry, Hold, Image, Limits, Notice, Quote, Record, UsageRow
from shared.ledger import CREDIT_LIFE, Reservation, Standing
from shared.records import Records, Stale
from shared.records.firestore import Firestore
from shared.records.sqlite import Sqlite

NOW = datetime(2026, 11, 21, 10, 5, 30, 123456, tzinfo=UTC)
_NOTHING_HELD = Hold(0, (), 0, "2026-11")

KINDS = ["sqlite", pytest.param("firestore", marks=pytest.mark.emulator)]
Run = Callable[[Callable[[Records], Awaitable[None]]], None]


def runner(request: pytest.FixtureRequest, folder: Path) -> Run:
    """Runs a scenario on a fresh backend of the kind that the fixture's `request` asks for."""

    def opened() -> Records:
        if request.param == "sqlite":
            return Sqlite(folder / "records.db")
        request.getfixturevalue("firestore_emulator")
        return Firestore(f"demo-{uuid.uuid4().hex[:20]}", "darkroom", Random(0), asyncio.sleep)

    async def whole(scenario: Callable[[Records], Awaitable[None]]) -> None:
        records = opened()
        try:
            await scenario(records)
        finally:
            await records.close()

    return lambda scenario: asyncio.run(whole(scenario))


def account(name: str = "acc", shards: int = 1, limits: Limits | None = None) -> Account:
    return Account(name, f"The {name}", NOW, limits or Limits(), shards)


def grant(
    micros: int, entry_id: str = "grant1", account_id: str = "acc", life: timedelta = CREDIT_LIFE
) -> Entry:
    lot = f"lot.{entry_id}"
    return Entry(entry_id, account_id, "grant", micros, NOW, None, lot, NOW + life)


def draft(request_id: str, micros: int = 100, at: datetime = NOW) -> Record:
    """A request as it is before admission, its hold still empty."""
    return Record(
        id=request_id,
        account_id="acc",
        key_id="key",
        operation="generate",
        status="running",
        model="gemini-3.1-flash-image",
        prompt="a lighthouse",
        parameters={},
        fingerprint="f" * 64,
        sandbox=False,
        quote=Quote({"google": micros}, micros, micros),
        hold=_NOTHING_HELD,
        created_at=at,
        lease_until=at + timedelta(minutes=5),
    )


def batch_draft(batch_id: str = "bat_1", micros: int = 100, at: datetime = NOW) -> Batch:
    """A batch as it is before admission, its hold still empty."""
    return Batch(
        id=batch_id,
        account_id="acc",
        key_id="key",
        status="accepted",
        mode="auto",
        fingerprint="f" * 64,
        sandbox=False,
        hold=_NOTHING_HELD,
        held_micros=micros,
        listed_micros=micros,
        counts=Counts(3),
        created_at=at,
        expires_at=at + timedelta(days=1),
        due_at=at + timedelta(minutes=5),
    )


def notice_of(subject: str, due_at: datetime = NOW) -> Notice:
    kind = "batch.ended" if subject.startswith("bat_") else "request.ended"
    url = "https://example.com/hook?é=" + "x" * 2000
    return Notice(f"msg_{subject}", "acc", subject, kind, url, "due", NOW, due_at)


def image(number: int) -> Image:
    name = f"images/req/{number}"
    return Image(f"img_{number}", name, "image/png", 8, 8, 70, "a" * 64)


async def opened(records: Records, shards: int = 1, micros: int = 10_000) -> None:
    """An account with credit."""
    await records.create_account(account(shards=shards))
    await records.grant(grant(micros))


def decide(
    standing: Standing, record: Record, at: datetime = NOW, seed: int = 0
) -> tuple[Record, Reservation]:
    reservation = ledger.reserve(standing, record.quote.micros, at, Random(seed))
    return replace(record, hold=reservation.hold), reservation


async def begin(records: Records, held: Record, reservation: Reservation) -> Record:
    """Begin one request alone."""
    (begun,) = await records.begin([(held, reservation)])
    return begun


async def admit(records: Records, record: Record, at: datetime = NOW, seed: int = 0) -> Record:
    """Look, decide and begin, again for as long as others come first."""
    random, longest_s = Random(seed), 0.02
    while True:
        standing = await records.look(record.account_id, record.id)
        held, reservation = decide(standing, record, at, random.randrange(1 << 30))
        try:
            return await begin(records, held, reservation)
        except Stale:
            await asyncio.sleep(random.uniform(0, longest_s))
            longest_s = min(0.5, 2 * longest_s)


def decide_batch(
    standing: Standing, batch: Batch, at: datetime = NOW, seed: int = 0
) -> tuple[Batch, Reservation]:
    reservation = ledger.reserve(standing, batch.held_micros, at, Random(seed), runs=False)
    return replace(batch, hold=reservation.hold), reservation


async def admit_batch(records: Records, batch: Batch, at: datetime = NOW, seed: int = 0) -> Batch:
    standing = await records.look(batch.account_id, None)
    return await records.begin_batch(*decide_batch(standing, batch, at, seed))


def delivery(
    batch: Batch, key: str, charged: int, freed: int = 0, model: str = "gpt-image-1.5"
) -> tuple[Batch, Delivered]:
    """A chunk of one item, and the batch after it."""
    piece, rest = ledger.draw(batch.hold, charged, freed)
    after = replace(batch, hold=rest, charged_micros=batch.charged_micros + charged)
    row = UsageRow("2026-11-21", model, "google", 1, 1, charged)
    return after, Delivered(key, NOW, piece, charged, (row,))


def ended_batch(batch: Batch) -> Batch:
    return replace(batch, status="succeeded", completed_at=NOW + timedelta(hours=1))


async def settle(
    records: Records, record: Record, micros: int, images: int = 1, at: datetime | None = None
) -> Record:
    ended = replace(
        record,
        status="succeeded",
        provider="google",
        images=tuple(image(n) for n in range(images)),
        charged_micros=micros,
        completed_at=at or record.created_at + timedelta(seconds=9),
    )
    return await records.finish(ended, ledger.post(record.hold, micros))


async def release(records: Records, record: Record) -> Record:
    ended = replace(record, status="failed", completed_at=record.created_at)
    return await records.finish(ended, ledger.post(record.hold, 0))


async def balance(records: Records, account_id: str = "acc") -> int:
    """The sum of every entry."""
    total, cursor = 0, None
    while True:
        page = await records.entries(account_id, 50, cursor)
        total += sum(entry.micros for entry in page.items)
        if page.cursor is None:
            return total
        cursor = page.cursor


async def in_lots(records: Records, account_id: str = "acc") -> int:
    """What lies in the lots of every shard, expired or not."""
    standing = await records.look(account_id, None)
    return sum(lot.micros for shard in standing.shards for lot in shard.lots.values())
