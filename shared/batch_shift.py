"""One worker's time with one batch: it holds the batch's lease, and is the only one who changes it
meanwhile, but for its caller, who may cancel it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared import batch_lines, ledger, log, metrics, names
from shared.app import App
from shared.batch_domain import Batch, Counts, Delivered, Group, Job
from shared.batch_items import ItemResult
from shared.batch_lines import Kept, is_set
from shared.domain import Caller, Hold, Notice, UsageRow
from shared.errors import DarkroomError, problem_of
from shared.exchange import Errand
from shared.records import Stale
from shared.routing import AUTO
from shared.sources import Loader

STEP_S = 240.0
"""After which no new piece of work is begun: the function has 540 seconds."""
LEASE = timedelta(minutes=20)
"""Longer than a call may take that was begun at the last moment: nobody else comes before."""
HEED_S = 5.0
"""How soon a worker notices that its batch was cancelled."""
MOST_A_PIECE = 200
LONGEST_PIECE_S = 30.0
_TRIES = 10


Change = Callable[[Batch], Batch]


class Lost(Exception):
    """Somebody else has the lease by now."""


@dataclass(frozen=True)
class Ended:
    """An item's result, the model that was to make it, what was held for it, and what a provider's
    batch cost the operator for it."""

    result: ItemResult
    held_micros: int
    model: str
    cost_micros: int = 0


@dataclass
class Shift:
    """A batch in hand. `until` is the time after which only what has begun is brought to an end;
    `waiting` are results that are not written down yet."""

    app: App
    batch: Batch
    until: datetime
    waiting: list[Ended] = field(default_factory=list)
    since: datetime | None = None
    heeded: datetime | None = None
    _unsure: bool = False
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def now(self) -> datetime:
        """The time."""
        return self.app.clock()

    @property
    def over(self) -> bool:
        """Whether nothing new should be begun."""
        return self.now >= self.until

    def cancelled(self) -> bool:
        """Whether its caller wants no more of it."""
        return self.batch.cancelling

    @property
    def loader(self) -> Loader:
        """What its items may load images with."""
        batch = self.batch
        return self.app.loader(Caller(batch.account_id, batch.key_id, batch.sandbox))

    def errand(self, subject: str, deadline: float = 0.0) -> Errand:
        """A way to a provider for it."""
        return Errand(subject, self.batch.sandbox, deadline)

    def done(self) -> bytearray:
        """A bit for each item that has a result, the waiting ones too."""
        bits = batch_lines.unpack(self.batch.done, self.batch.counts.total)
        for ended in self.waiting:
            _set(bits, ended.result.index)
        return bits

    async def items(self, group: int, first: int, last: int, *, whole: bool) -> list[Kept]:
        """The items of some chunks that have no result yet. Raises LookupError."""
        batch, found, done = self.batch, list[Kept](), self.done()
        for chunk in range(first, last):
            name = names.batch_chunk(batch.id, batch.intake, group, chunk)
            blob = await self.app.storage.get(name)
            if blob is None:
                raise LookupError(f"{name} is gone")
            found += batch_lines.kept(blob.data, done, whole=whole)
        return found

    def add(self, ended: Ended) -> bool:
        """Take a result; whether there are enough now to be written down."""
        self.waiting.append(ended)
        self.since = self.since or self.now
        most = max(1, min(MOST_A_PIECE, self.batch.counts.total // 20))
        late = (self.now - self.since).total_seconds() >= LONGEST_PIECE_S
        return len(self.waiting) >= most or late

    async def items_of(self, job: Job) -> list[Kept]:
        """The items of a job that have no result yet, without what it took to send them."""
        items = await self.items(job.group, job.first, job.last, whole=False)
        return [item for item in items if job.low <= item.index < job.high]

    async def heed(self) -> None:
        """See from time to time whether the batch was cancelled meanwhile. Raises Lost."""
        heeded = self.heeded or self.now
        self.heeded = heeded
        if (self.now - heeded).total_seconds() >= HEED_S:
            self.heeded = self.now
            async with self._writing:
                self.batch = await self._again()

    async def save(self, change: Change | None = None) -> None:
        """Write down the results that wait and another change of the batch, as one. What cannot be
        written waits on. Raises Lost."""
        async with self._writing:
            if self._unsure:
                # A write whose answer was lost may have been done.
                self.batch = await self._again()
                done = batch_lines.unpack(self.batch.done, self.batch.counts.total)
                written = [one for one in self.waiting if is_set(done, one.result.index)]
                self.waiting = [one for one in self.waiting if not is_set(done, one.result.index)]
                self._count(written)
                self._unsure = False
            waiting = list(self.waiting)
            if not waiting:
                if change is not None:
                    await self._changed(change)
                return
            name = f"{len(self.batch.results):06d}-{self.app.new_id()[:10]}"
            data = batch_lines.keep_results(one.result for one in waiting)
            path = names.batch_result(self.batch.id, name)
            await self.app.storage.put(path, data, "application/jsonl", {})
            now, charged = self.now, _charged(waiting)

            def apply(batch: Batch) -> tuple[Batch, Delivered]:
                piece, rest = _drawn(batch, waiting)
                delivered = Delivered(name, now, piece, charged, _usage(waiting, now))
                after = replace(_with_results(batch, waiting, name), hold=rest)
                return (change(after) if change else after), delivered

            self._unsure = True
            await self._write(apply)
            self._unsure = False
            # Those that came meanwhile wait for the next time.
            del self.waiting[: len(waiting)]
            self.since = self.now if self.waiting else None
        self._count(waiting)
        counts = self.batch.counts
        log.event("batch.progress", batch=self.batch.id, ended=counts.ended, total=counts.total)

    def _count(self, ended: Sequence[Ended]) -> None:
        """Say what items came to, by the model that made them or was to."""
        pieces: dict[tuple[str, str | None], list[Ended]] = {}
        for one in ended:
            meant = one.model
            if meant != AUTO:
                meant = self.app.catalogue.named(meant, self.app.today()).id
            made_by = one.result.model or meant, one.result.provider
            pieces.setdefault(made_by, []).append(one)
        for made_by, several in pieces.items():
            results, cost = [one.result for one in several], sum(o.cost_micros for o in several)
            metrics.batch_charged(made_by, results, cost, sandbox=self.batch.sandbox)

    async def _changed(self, change: Change) -> None:
        await self._write(lambda batch: (change(batch), None))

    async def release(self, due_at: datetime) -> None:
        """Give the lease back. Raises Lost."""
        await self.save(lambda batch: replace(batch, worker=None, due_at=due_at))

    async def end(self, ended: Change, notice: Callable[[Batch], Notice | None]) -> None:
        """End the batch, and free what is still held. Raises Lost."""

        def apply(batch: Batch) -> tuple[Batch, Delivered | None]:
            piece, rest = ledger.draw(batch.hold, 0, batch.hold.micros)
            freed = Delivered("end", self.now, piece, 0) if piece.micros else None
            return ended(replace(batch, hold=rest, worker=None)), freed

        await self._write(apply, notice)

    async def _write(
        self,
        apply: Callable[[Batch], tuple[Batch, Delivered | None]],
        notice: Callable[[Batch], Notice | None] = lambda _: None,
    ) -> None:
        for _ in range(_TRIES):
            after, delivered = apply(replace(self.batch, due_at=self.now + LEASE))
            try:
                self.batch = await self.app.records.advance_batch(after, delivered, notice(after))
                return
            except Stale:
                self.batch = await self._again()
        raise Lost

    async def _again(self) -> Batch:
        """The batch as it is stored: as we wrote it, unless its caller has cancelled it, which its
        providers are to hear of soon. Raises Lost."""
        found = await self.app.records.batch(self.batch.account_id, self.batch.id)
        if found is None or found.worker != self.batch.worker:
            raise Lost
        if found.cancelling and not self.batch.cancelling:
            return called_back(found, self.now)
        return found


async def claim(app: App, batch: Batch) -> Shift | None:
    """The batch in hand; None if somebody else has it."""
    now = app.clock()
    if batch.worker is not None and batch.due_at > now:
        return None
    try:
        taken = await app.records.advance_batch(
            replace(batch, worker=app.new_id()[:10], due_at=now + LEASE)
        )
    except Stale:
        return None
    return Shift(app, taken, now + timedelta(seconds=STEP_S))


def failed(item: Kept, why: DarkroomError, *, cancelled: bool = False) -> Ended:
    """An item that brought nothing."""
    return Ended(
        ItemResult(
            index=item.index,
            custom_id=item.custom_id,
            status="cancelled" if cancelled else "failed",
            n=item.request.n,
            error=None if cancelled else problem_of(why),
            provider=why.provider,
        ),
        item.held_micros,
        item.request.model,
    )


def with_job(batch: Batch, number: int, job: Job) -> Batch:
    """The batch with another state of a job, or one job more."""
    jobs = list(batch.jobs)
    jobs[number : number + 1] = [job]
    return replace(batch, jobs=tuple(jobs))


def without_job(batch: Batch, number: int) -> Batch:
    """The batch without a job."""
    return replace(batch, jobs=(*batch.jobs[:number], *batch.jobs[number + 1 :]))


def called_back(batch: Batch, now: datetime) -> Batch:
    """The batch with its running jobs to be looked at now, so that they are called back."""
    jobs = (replace(job, look_at=now) if job.state == "running" else job for job in batch.jobs)
    return replace(batch, jobs=tuple(jobs))


def with_group(batch: Batch, number: int, group: Group) -> Batch:
    """The batch with another state of a group."""
    groups = list(batch.groups)
    groups[number] = group
    return replace(batch, groups=tuple(groups))


def running(batch: Batch) -> Batch:
    """The batch once something of it was begun."""
    return replace(batch, status="running") if batch.status == "accepted" else batch


def _with_results(batch: Batch, waiting: Sequence[Ended], name: str) -> Batch:
    bits = batch_lines.unpack(batch.done, batch.counts.total)
    for one in waiting:
        _set(bits, one.result.index)
    return replace(
        batch,
        results=(*batch.results, name),
        done=batch_lines.pack(bytes(bits)),
        counts=_counted(batch.counts, waiting),
        charged_micros=batch.charged_micros + _charged(waiting),
    )


def _set(bits: bytearray, index: int) -> None:
    bits[index >> 3] |= 1 << (index & 7)


def _drawn(batch: Batch, waiting: Sequence[Ended]) -> tuple[Hold, Hold]:
    charged, held = _charged(waiting), sum(one.held_micros for one in waiting)
    return ledger.draw(batch.hold, charged, held - charged)


def _charged(waiting: Sequence[Ended]) -> int:
    return sum(one.result.charged_micros for one in waiting)


def _counted(counts: Counts, waiting: Sequence[Ended]) -> Counts:
    ways = Counter(one.result.status for one in waiting)
    return replace(
        counts,
        succeeded=counts.succeeded + ways["succeeded"],
        failed=counts.failed + ways["failed"],
        cancelled=counts.cancelled + ways["cancelled"],
    )


def _usage(waiting: Sequence[Ended], now: datetime) -> tuple[UsageRow, ...]:
    """What they add to the day, by model and provider."""
    rows: dict[tuple[str, str], UsageRow] = {}
    for result in (one.result for one in waiting):
        if result.status != "succeeded":
            continue
        key = result.model, result.provider or "unknown"
        row = rows.get(key, UsageRow(ledger.day_of(now), *key, 0, 0, 0))
        rows[key] = replace(
            row,
            requests=row.requests + 1,
            images=row.images + len(result.images),
            micros=row.micros + result.charged_micros,
        )
    return tuple(rows.values())
