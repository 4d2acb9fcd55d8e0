"""The ledger check finds nothing in books that are kept, and whatever somebody changes in them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from shared import audit
from shared.audit import Audit
from shared.domain import Entry, Quote, Record
from shared.records import Page, Records
from shared.records.sqlite import Sqlite
from tests.records.scene import (
    KINDS,
    NOW,
    Run,
    account,
    admit,
    admit_batch,
    batch_draft,
    delivery,
    draft,
    ended_batch,
    grant,
    opened,
    release,
    runner,
    settle,
)

UNIT = 100
GRANTED = 10_000


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_PAGE", 2)


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return runner(request, tmp_path)


def asked(number: int, n: int = 3, unit: int = UNIT) -> Record:
    """A request for n pictures, the later the higher its number."""
    quote = Quote({"google:gemini-3.1-flash-image": unit}, unit * n, UNIT * n)
    at = NOW + timedelta(seconds=number)
    return replace(draft(f"req_{number}", at=at), n=n, quote=quote)


async def kept(records: Records) -> None:
    """Books with a request of every kind: req_1 settled whole, req_2 in part, req_3 failed, req_4
    deleted, req_5 by a test key, req_6 running, and enough small ones to fill pages, with one
    picture more than was asked and held for; req_12 is queued. Batch bat_1 has ended, bat_2 is
    open, bat_3 was refused."""
    await opened(records, shards=3, micros=GRANTED)
    await settle(records, await admit(records, asked(1)), 3 * UNIT, images=3)
    await settle(records, await admit(records, asked(2)), 2 * UNIT, images=2)
    await release(records, await admit(records, asked(3)))
    deleted = await settle(records, await admit(records, asked(4)), UNIT, images=1)
    await records.delete_request(deleted)
    await settle(records, await admit(records, replace(asked(5, unit=0), sandbox=True)), 0)
    await admit(records, asked(6))
    for number in range(7, 12):
        await settle(records, await admit(records, asked(number, n=1)), UNIT, images=2)
    await admit(records, replace(asked(12, n=1), status="queued"))
    batch = await admit_batch(records, batch_draft("bat_1", 3 * UNIT))
    batch = await records.advance_batch(*delivery(batch, "0", UNIT))
    batch, last = delivery(batch, "1", UNIT, UNIT)
    await records.advance_batch(ended_batch(batch), last)
    batch = await admit_batch(records, batch_draft("bat_2", 4 * UNIT, NOW + timedelta(seconds=3)))
    await records.advance_batch(*delivery(batch, "0", UNIT, UNIT))
    await records.note_batch(replace(ended_batch(batch_draft("bat_3")), status="failed"))


CHARGED = (3 + 2 + 1 + 5 + 2 + 1) * UNIT


def test_kept_books_add_up(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.create_account(account("another"))
        await kept(records)
        found = await audit.check(records)
        assert found == Audit(2, 11, 1 + 9 + 3, GRANTED - CHARGED, ())

    run(scenario)


def test_expired_credit_adds_up_while_held_and_once_it_is_back(run: Run) -> None:
    async def scenario(records: Records) -> None:
        await records.create_account(account(shards=2))
        await records.grant(grant(1000, "old", life=timedelta(minutes=1)))
        running = await admit(records, asked(1))
        later = NOW + timedelta(hours=1)
        await records.grant(grant(1000, "new"))
        for number in range(2, 5):
            await admit(records, asked(number), at=later)
            assert (await audit.check(records)).findings == ()
        await settle(records, running, UNIT, images=1)
        assert (await audit.check(records)).findings == ()

    run(scenario)


def checked(path: Path) -> list[tuple[str, str]]:
    async def check() -> Audit:
        records = Sqlite(path)
        try:
            return await audit.check(records)
        finally:
            await records.close()

    return [(found.subject, found.message) for found in asyncio.run(check()).findings]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept books in a file, written once."""
    path = tmp_path_factory.mktemp("books") / "darkroom.db"

    async def write() -> None:
        records = Sqlite(path)
        await kept(records)
        await records.close()

    asyncio.run(write())
    assert checked(path) == []
    return path


@pytest.fixture
def books(written: Path, tmp_path: Path) -> Path:
    """A copy of the kept books, to change."""
    path = tmp_path / "darkroom.db"
    shutil.copy(written, path)
    return path


def tamper(path: Path, sql: str) -> None:
    db = sqlite3.connect(path)
    try:
        assert db.execute(sql).rowcount > 0, "nothing was changed"
        db.commit()
    finally:
        db.close()


def body(field: str, value: str, item_id: str) -> str:
    table = "batches" if item_id.startswith("bat_") else "requests"
    change = f"body = json_set(body, '$.{field}', {value})"
    return f"UPDATE {table} SET {change} WHERE id = '{item_id}'"  # noqa: S608


ENTRY = (
    "INSERT INTO entries VALUES"
    " ('{}', 'acc', '{}', {}, '2026-11-21T10:00:00.000000+00:00', {}, {}, NULL)"
)


@pytest.mark.parametrize(
    ("sql", "subject", "message"),
    [
        (
            "UPDATE entries SET micros = micros - 1 WHERE kind = 'grant'",
            "acc",
            "the ledger comes to 0.008599, the wallet to 0.008600",
        ),
        (
            "UPDATE usage SET micros = micros + 1 WHERE model = 'gpt-image-1.5'",
            "acc",
            "the usage comes to 0.001401, the charges to 0.001400",
        ),
        (
            "UPDATE shards SET held = held + 1 WHERE number = 1",
            "shard 1",
            "as held, open requests and batches hold",
        ),
        (
            "UPDATE shards SET running = running + 1 WHERE number = 2",
            "shard 2",
            "open requests, there are",
        ),
        (
            "UPDATE shards SET lots = json_set(lots, '$.\"lot.grant1\".micros', -1)"
            " WHERE number = 0",
            "shard 0",
            "it has -0.000001 of lot.grant1",
        ),
        (
            "UPDATE shards SET lots = json_set(lots, '$.stray', json_object('micros', 5,"
            " 'expires_at', '2027-11-21T00:00:00+00:00')) WHERE number = 0",
            "stray",
            "0.000005 are left or held of it, 0.000000 granted and not expired",
        ),
        (
            "UPDATE shards SET lots = json_set(lots, '$.\"lot.grant1\".micros', 10001)",
            "lot.grant1",
            "0.010000 granted and not expired",
        ),
        (
            "DELETE FROM entries WHERE request_id = 'req_2'",
            "req_2",
            "it succeeded, and the ledger has no charge of it",
        ),
        (
            "UPDATE entries SET micros = -1 WHERE request_id = 'req_1'",
            "req_1",
            "it says 0.000300 were charged, the ledger 0.000001",
        ),
        (
            "UPDATE entries SET micros = -1 WHERE request_id = 'req_4'",
            "req_4",
            "it says 0.000100 were charged, the ledger 0.000001",
        ),
        (
            "DELETE FROM requests WHERE id = 'req_4'",
            "chg_4",
            "the account has no request req_4",
        ),
        (
            "UPDATE entries SET request_id = NULL WHERE request_id = 'req_1'",
            "chg_1",
            "the account has no request None",
        ),
        (ENTRY.format("x", "charge", 0, "'req_1'", "NULL"), "x", "req_1 is charged twice"),
        (ENTRY.format("x", "charge", 0, "'req_4'", "NULL"), "x", "req_4 is charged twice"),
        (
            ENTRY.format("x", "charge", -5, "'req_3'", "NULL"),
            "req_3",
            "it is failed, and the ledger charges 0.000005",
        ),
        (
            ENTRY.format("x", "charge", 0, "'req_6'", "NULL"),
            "req_6",
            "it is running, and the ledger charges 0.000000",
        ),
        (
            ENTRY.format("x", "expiry", -1401, "NULL", "'lot.grant1'"),
            "lot.grant1",
            "0.008600 are left or held of it, 0.008599 granted and not expired",
        ),
        (body("charged_micros", "299", "req_1"), "req_1", "0.000299 were charged for 3 images"),
        (body("charged_micros", "301", "req_1"), "req_1", "0.000301 were charged, 0.000300 held"),
        (body("charged_micros", "301", "req_4"), "req_4", "0.000301 were charged, 0.000300 held"),
        (body("charged_micros", "1", "req_3"), "req_3", "it is failed, and 0.000001 were charged"),
        (body("charged_micros", "1", "req_6"), "req_6", "it is running, and 0.000001 were charged"),
        (body("charged_micros", "1", "req_5"), "req_5", "charged for 1 images at 0.000000"),
        (body("images", "json('[]')", "req_1"), "req_1", "0.000300 were charged for 0 images"),
        (body("provider", "'x'", "req_1"), "req_1", "by x:gemini-3.1-flash-image, which was not"),
        (
            body("hold.micros", "900", "req_3"),
            "req_3",
            "its hold of 0.000900 has parts of",
        ),
        ("UPDATE requests SET status = 'running' WHERE id = 'req_3'", "shard", "open requests"),
        ("UPDATE requests SET status = 'failed' WHERE id = 'req_6'", "shard", "open requests"),
        ("UPDATE requests SET status = 'cancelled' WHERE id = 'req_1'", "req_1", "it is cancelled"),
        ("UPDATE requests SET status = 'failed' WHERE id = 'req_12'", "shard", "open requests"),
        (
            "DELETE FROM entries WHERE id = 'chg_1_1'",
            "bat_1",
            "it says 0.000200 were charged, the ledger 0.000100",
        ),
        (
            ENTRY.format("x", "charge", -5, "'bat_2'", "NULL"),
            "bat_2",
            "it says 0.000100 were charged, the ledger 0.000105",
        ),
        (ENTRY.format("x", "charge", -5, "'bat_3'", "NULL"), "bat_3", "the ledger 0.000005"),
        (
            ENTRY.format("x", "charge", -5, "'bat_9'", "NULL"),
            "bat_9",
            "the ledger charges 0.000005 for it, the account has no such batch",
        ),
        (
            "DELETE FROM batches WHERE id = 'bat_1'",
            "bat_1",
            "the ledger charges 0.000200 for it, the account has no such batch",
        ),
        ("DELETE FROM batches WHERE id = 'bat_2'", "shard", "requests and batches hold 0.0"),
        (body("charged_micros", "199", "bat_1"), "bat_1", "it says 0.000199 were charged"),
        (
            body("charged_micros", "201", "bat_2"),
            "bat_2",
            "0.000201 were charged and 0.000200 are held, 0.000400 were at first",
        ),
        (body("hold.micros", "1", "bat_2"), "bat_2", "its hold of 0.000001 has parts of 0.000200"),
        (body("hold.micros", "1", "bat_1"), "bat_1", "it has ended, and 0.000001 are still held"),
        (
            body("completed_at", "'2026-11-21T11:00:00+00:00'", "bat_2"),
            "bat_2",
            "it has ended, and 0.000200 are still held",
        ),
    ],
)
def test_whatever_is_changed_is_found_where_it_was_changed(
    books: Path, sql: str, subject: str, message: str
) -> None:
    tamper(books, sql)
    found = checked(books)
    assert [f for f in found if f[0].startswith(subject) and message in f[1]], found


class Interrupted(Sqlite):
    """A backend where something happens each time that a page of the ledger is read."""

    def __init__(self, path: Path, happens: Callable[[Records], Awaitable[None]]) -> None:
        super().__init__(path)
        self.happens = happens

    async def entries(self, account_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        await self.happens(self)
        return await super().entries(account_id, limit, cursor)


def interrupted(path: Path, happens: Callable[[Records], Awaitable[None]]) -> Audit:
    async def check() -> Audit:
        records = Interrupted(path, happens)
        try:
            return await audit.check(records)
        finally:
            await records.close()

    return asyncio.run(check())


def test_requests_that_run_and_are_deleted_meanwhile_are_no_findings(books: Path) -> None:
    pages = 0

    async def happens(records: Records) -> None:
        nonlocal pages
        pages += 1
        if pages in (1, 3):
            ended = await settle(records, await admit(records, asked(20 + pages, n=1)), UNIT)
            await records.delete_request(ended)
        if pages == 4:
            running = (await records.look("acc", "req_6")).request
            assert running is not None
            await settle(records, running, UNIT)
        if pages == 6:
            batch = await records.batch("acc", "bat_2")
            assert batch is not None
            await records.advance_batch(*delivery(batch, "1", UNIT))
        if pages == 12:
            first = (await records.look("acc", "req_1")).request
            assert first is not None
            await records.delete_request(first)

    found = interrupted(books, happens)
    assert pages > 12
    assert found.findings == ()
    assert found.balance_micros == GRANTED - CHARGED - 4 * UNIT


def test_an_account_that_never_stands_still_is_said_to_be_unchecked(
    books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PAGE", 100)
    number = 100

    async def happens(records: Records) -> None:
        nonlocal number
        number += 1
        await settle(records, await admit(records, asked(number, n=1)), UNIT)

    (only,) = interrupted(books, happens).findings
    assert (only.account_id, only.subject) == ("acc", "acc")
    assert "not checked" in only.message
