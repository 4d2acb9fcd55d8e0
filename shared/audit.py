"""The ledger check: whether every account's wallet, ledger, requests, batches and usage tell one
story. It only reads. Amounts are integer micro-dollars."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from shared.batch_domain import Batch
from shared.domain import Entry, Hold, Record
from shared.ledger import Shard, Standing
from shared.pricing import usd
from shared.records import Page, Records, RequestFilter

T = TypeVar("T")

_PAGE = 500
_TOGETHER = 50
_TRIES = 5


@dataclass(frozen=True)
class Finding:
    """Something that does not add up. `subject` is the id of what it is about: an account, a
    request, a batch, a ledger entry or a grant; or a shard's number."""

    account_id: str
    subject: str
    message: str


@dataclass(frozen=True)
class Audit:
    """How much was checked, and what of it does not add up."""

    accounts: int
    requests: int
    entries: int
    balance_micros: int
    findings: tuple[Finding, ...]


async def check(records: Records) -> Audit:
    """Check every account."""
    accounts = await records.accounts()
    return whole([await check_account(records, account.id) for account in accounts])


async def check_account(records: Records, account_id: str) -> Audit:
    """Check one. Requests and batches that are open are as they should be; one that starts or ends
    while its account is read makes it read the account again."""
    books = await _quiet_books(records, account_id)
    return Audit(1, books.requests, books.entries, books.micros, tuple(books.findings))


def whole(parts: Sequence[Audit]) -> Audit:
    """What was checked piece by piece."""
    return Audit(
        accounts=sum(part.accounts for part in parts),
        requests=sum(part.requests for part in parts),
        entries=sum(part.entries for part in parts),
        balance_micros=sum(part.balance_micros for part in parts),
        findings=tuple(finding for part in parts for finding in part.findings),
    )


@dataclass
class _Books:
    """What reading one account came to. `uncharged` and `unclaimed` hold requests that succeeded
    and charges whose other half has not been read yet; `said` is what each batch says it was
    charged, `posted` what the ledger says."""

    account_id: str
    requests: int = 0
    entries: int = 0
    micros: int = 0
    charged_micros: int = 0
    held: Counter[int] = field(default_factory=Counter)
    running: Counter[int] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    uncharged: dict[str, Record] = field(default_factory=dict)
    unclaimed: dict[str, Entry] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    posted: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def find(self, subject: str, message: str) -> None:
        self.findings.append(Finding(self.account_id, subject, message))

    def add_record(self, record: Record) -> None:
        self.requests += 1
        if record.open:
            self.running[record.hold.shard] += 1
            self.add_hold(record.hold)
        self.judge(record)
        charge = self.unclaimed.pop(record.id, None)
        if charge is not None:
            self.match(record, charge)
        elif record.status == "succeeded":
            self.uncharged[record.id] = record

    def add_hold(self, hold: Hold) -> None:
        for part in hold.parts:
            self.held[part.shard] += part.micros
            self.left[part.grant_id] += part.micros

    def add_batch(self, batch: Batch) -> None:
        self.said[batch.id] = batch.charged_micros
        if batch.open:
            self.add_hold(batch.hold)
        for problem in _batch_problems(batch):
            self.find(batch.id, problem)

    def add_entry(self, entry: Entry) -> None:
        self.entries += 1
        self.micros += entry.micros
        if entry.kind != "charge":
            self.granted[entry.grant_id or ""] += entry.micros
            return
        self.charged_micros -= entry.micros
        request_id = entry.request_id or ""
        if request_id.startswith("bat_"):
            self.posted[request_id] -= entry.micros
            return
        record = self.uncharged.pop(request_id, None)
        if record is not None:
            self.match(record, entry)
        elif request_id in self.unclaimed:
            self.find(entry.id, f"{request_id} is charged twice")
        else:
            self.unclaimed[request_id] = entry

    def judge(self, record: Record) -> None:
        """Look at a request alone."""
        for problem in _problems(record):
            self.find(record.id, problem)

    def match(self, record: Record, charge: Entry) -> None:
        """Look at a request and a charge of it together."""
        charged, asked = usd(-charge.micros), usd(record.charged_micros)
        if record.status != "succeeded":
            self.find(record.id, f"it is {record.status}, and the ledger charges {charged}")
        elif charged != asked:
            self.find(record.id, f"it says {asked} were charged, the ledger {charged}")

    def match_batches(self) -> None:
        """Look at every batch and the charges of it together."""
        for batch_id in sorted({*self.said, *self.posted}):
            posted = self.posted[batch_id]
            if batch_id not in self.said:
                charges = f"the ledger charges {usd(posted)} for it"
                self.find(batch_id, f"{charges}, the account has no such batch")
            elif posted != self.said[batch_id]:
                said = usd(self.said[batch_id])
                self.find(batch_id, f"it says {said} were charged, the ledger {usd(posted)}")

    def compare(self, standing: Standing, used_micros: int) -> None:
        """Set what was read against the wallet and the usage."""
        ledger, wallet = usd(self.micros), usd(standing.balance_micros())
        if ledger != wallet:
            self.find(self.account_id, f"the ledger comes to {ledger}, the wallet to {wallet}")
        used, charged = usd(used_micros), usd(self.charged_micros)
        if used != charged:
            self.find(self.account_id, f"the usage comes to {used}, the charges to {charged}")
        for shard in standing.shards:
            self.compare_shard(shard)
        for grant_id in sorted({*self.granted, *self.left}):
            if self.left[grant_id] > self.granted[grant_id]:
                left, granted = usd(self.left[grant_id]), usd(self.granted[grant_id])
                self.find(
                    grant_id, f"{left} are left or held of it, {granted} granted and not expired"
                )

    def compare_shard(self, shard: Shard) -> None:
        """Set a shard against what is open; batches hold credit and take no place."""
        name, held, running = f"shard {shard.index}", usd(shard.held), shard.running
        open_held, open_running = usd(self.held[shard.index]), self.running[shard.index]
        if held != open_held:
            self.find(name, f"it counts {held} as held, open requests and batches hold {open_held}")
        if running != open_running:
            self.find(name, f"it counts {running} open requests, there are {open_running}")
        for grant_id, lot in shard.lots.items():
            self.left[grant_id] += lot.micros
            if lot.micros < 0:
                self.find(name, f"it has {usd(lot.micros)} of {grant_id}")


async def _quiet_books(records: Records, account_id: str) -> _Books:
    """The books of an account that stood still while it was read: everything that moves money
    changes a shard of the wallet."""
    for _ in range(_TRIES):
        before = await records.look(account_id, None)
        books = await _books(records, before)
        after = await records.look(account_id, None)
        if before.shards == after.shards:
            return books
    busy = Finding(account_id, account_id, "not checked: it changed whenever it was read")
    return _Books(account_id, books.requests, books.entries, books.micros, findings=[busy])


async def _books(records: Records, standing: Standing) -> _Books:
    account_id = standing.account.id
    books = _Books(account_id)
    entries = _pages(lambda cursor: records.entries(account_id, _PAGE, cursor))
    requests = _pages(lambda cursor: records.requests(account_id, RequestFilter(), _PAGE, cursor))
    async for batch in _pages(lambda cursor: records.batches(account_id, None, _PAGE, cursor)):
        books.add_batch(batch)
    async for item in _newest_first(entries, requests):
        if isinstance(item, Entry):
            books.add_entry(item)
        else:
            books.add_record(item)
    for request_id in books.uncharged:
        books.find(request_id, "it succeeded, and the ledger has no charge of it")
    await _claim(records, books)
    books.match_batches()
    usage = await records.usage(account_id, "0001-01-01", "9999-12-31")
    books.compare(standing, sum(row.micros for row in usage))
    return books


async def _claim(records: Records, books: _Books) -> None:
    """Find the requests of the charges left over: lists do not show deleted ones."""
    charges = list(books.unclaimed.values())
    for start in range(0, len(charges), _TOGETHER):
        some = charges[start : start + _TOGETHER]
        looks = (records.look(books.account_id, charge.request_id) for charge in some)
        for charge, standing in zip(some, await asyncio.gather(*looks), strict=True):
            record = standing.request
            if record is None or record.account_id != books.account_id:
                books.find(charge.id, f"the account has no request {charge.request_id}")
            elif record.status == "succeeded" and not record.deleted:
                books.find(charge.id, f"{record.id} is charged twice")
            else:
                if record.deleted:
                    books.judge(record)
                books.match(record, charge)


def _problems(record: Record) -> Iterator[str]:
    """What is wrong with a request taken alone. A deleted one no longer says what it made."""
    hold, charged = record.hold, record.charged_micros
    yield from _hold_problems(hold)
    if charged > hold.micros:
        yield f"{usd(charged)} were charged, {usd(hold.micros)} held"
    if record.status != "succeeded":
        if charged:
            yield f"it is {record.status}, and {usd(charged)} were charged"
    elif not record.deleted:
        route_key, images = f"{record.provider}:{record.model}", len(record.images)
        unit = record.quote.unit_micros.get(route_key)
        if unit is None:
            yield f"it was made by {route_key}, which was not quoted"
        elif record.basis == "row" and charged != unit * min(images, record.n):
            yield f"{usd(charged)} were charged for {images} images at {usd(unit)}"
        elif record.basis == "cache" and charged:
            yield f"{usd(charged)} were charged for pictures made before"


def _batch_problems(batch: Batch) -> Iterator[str]:
    """What is wrong with a batch taken alone."""
    charged, held = batch.charged_micros, batch.hold.micros
    yield from _hold_problems(batch.hold)
    if held and not batch.open:
        yield f"it has ended, and {usd(held)} are still held"
    if charged + held > batch.held_micros:
        first = usd(batch.held_micros)
        yield f"{usd(charged)} were charged and {usd(held)} are held, {first} were at first"


def _hold_problems(hold: Hold) -> Iterator[str]:
    parts = sum(part.micros for part in hold.parts)
    if parts != hold.micros:
        yield f"its hold of {usd(hold.micros)} has parts of {usd(parts)}"


async def _newest_first(
    entries: AsyncIterator[Entry], requests: AsyncIterator[Record]
) -> AsyncIterator[Entry | Record]:
    """Both lists as one by time, so that a request and its charge come close together and few
    wait for their other half."""
    entry, record = await anext(entries, None), await anext(requests, None)
    while entry is not None or record is not None:
        if entry is not None and (record is None or entry.at >= record.created_at):
            yield entry
            entry = await anext(entries, None)
        elif record is not None:
            yield record
            record = await anext(requests, None)


async def _pages(read: Callable[[str | None], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    cursor: str | None = None
    while True:
        page = await read(cursor)
        for item in page.items:
            yield item
        cursor = page.cursor
        if cursor is None:
            return
