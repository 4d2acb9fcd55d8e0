"""The results of a provider's batch, read line by line: each picture stored, its item's result
written down with some others, and the place in the file with them. Time is up after any line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from shared import apart, batch_jobs, delivery, log, names, settlement
from shared.batch_domain import Job
from shared.batch_items import ItemResult
from shared.batch_lines import Kept
from shared.batch_shift import Ended, Shift, failed, with_job
from shared.batch_transport import Door, is_gone
from shared.catalogue.rows import Route
from shared.domain import Image, Picture, Usage
from shared.errors import (
    DarkroomError,
    ProviderError,
    ProviderUnavailable,
)
from shared.providers import Outcome, Progress
from shared.results import Result, known

_Read = Ended | ProviderUnavailable | None
AT_ONCE = 32
AT_ONCE_BYTES = 16 * 2**20
"""Lines in hand, and their weight, where there are several: each may hold a picture of many
megabytes, which is there several times over while it is read."""


async def collect(shift: Shift, place: int) -> None:
    """Go on with a job's results from where they were left. What goes wrong on the way is tried
    again: only what its provider has no more is lost."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    try:
        door = await shift.app.batch_transport.door(group.route, shift.errand(shift.batch.id))
        progress = await shift.app.batch_transport.look(job.token, door)
        collector = await _Collector.of(shift, place, door)
        complete = await collector.run(progress)
    except DarkroomError as error:
        if is_gone(error):
            await batch_jobs.refused(shift, place, error)
            return
        log.event("batch.not_collected", severity="WARNING", job=job.name, cause=error.message)
        later = replace(shift.batch.jobs[place], look_at=shift.now + batch_jobs.REST)
        await shift.save(lambda batch: with_job(batch, place, later))
        return
    if complete:
        await _finish(shift, place, progress, door)


class _Collector:
    """One job's results on their way into storage."""

    def __init__(self, shift: Shift, place: int, door: Door, items: dict[str, Kept]) -> None:
        self._shift = shift
        self._place = place
        self._door = door
        self._items = items
        self._offset = shift.batch.jobs[place].offset
        self._read_any = self._offset > 0
        self._unread = False

    @classmethod
    async def of(cls, shift: Shift, place: int, door: Door) -> _Collector:
        """With the items that have no result yet."""
        job = shift.batch.jobs[place]
        items = {str(item.index): item for item in await shift.items_of(job)}
        return cls(shift, place, door, items)

    async def run(self, progress: Progress) -> bool:
        """Read until the end, or until time is up: whether it is the end. Raises DarkroomError,
        with everything before it written down."""
        if progress.lines:
            return await self._take(_counted(progress.lines, self._job.offset))
        while self._job.file < len(progress.files):
            file = progress.files[self._job.file]
            lines = self._shift.app.batch_transport.lines(file, self._job.offset, self._door)
            if not await self._take(lines):
                return False
            if self._job.file + 1 == len(progress.files):
                break
            self._offset, self._read_any, self._unread = 0, False, False
            await self._save(replace(self._job, file=self._job.file + 1))
        return True

    @property
    def _job(self) -> Job:
        return self._shift.batch.jobs[self._place]

    async def _take(self, lines: AsyncGenerator[tuple[bytes, int]]) -> bool:
        """Some lines at once, written down in order; False if time was up before the last. Raises
        ProviderUnavailable where the file stops short, with all before that written down."""
        hand: deque[tuple[asyncio.Task[_Read], int]] = deque()
        try:
            complete, fault = await self._follow(lines, hand)
            while hand:
                # Whole lines, also where what comes after them is missing.
                fault = await self._write(hand) or fault
        finally:
            # What comes after a line that could not be written down is read again.
            for task, _ in hand:
                task.cancel()
            await asyncio.gather(*(task for task, _ in hand), return_exceptions=True)
        if fault is None and self._unread and not self._read_any:
            fault = ProviderUnavailable("What came for the results were none.")
            self._offset = self._job.offset
        await self._save()
        if fault is not None:
            raise fault
        return complete

    async def _follow(
        self, lines: AsyncGenerator[tuple[bytes, int]], hand: deque[tuple[asyncio.Task[_Read], int]]
    ) -> tuple[bool, ProviderUnavailable | None]:
        """Whether the end was reached, or what came in its place."""
        ended_at = self._offset
        async with aclosing(lines):
            try:
                async for line, end in lines:
                    cut = end - ended_at == len(line) and len(line) > 0
                    hand.append((asyncio.create_task(self._read(line, cut=cut)), end))
                    ended_at = end
                    while len(hand) >= AT_ONCE or self._heavy(hand, end):
                        fault = await self._write(hand)
                        if fault is not None or self._shift.over:
                            return False, fault
            except ProviderUnavailable as error:
                return False, error
        return True, None

    def _heavy(self, hand: deque[tuple[asyncio.Task[_Read], int]], end: int) -> bool:
        """Whether the lines in hand, which reach to that byte, are too much together."""
        return len(hand) > 1 and end - self._offset > AT_ONCE_BYTES

    async def _write(
        self, hand: deque[tuple[asyncio.Task[_Read], int]]
    ) -> ProviderUnavailable | None:
        """The oldest line in hand; a fault if the file was cut off in the middle of it."""
        task, end = hand[0]
        read = await task
        hand.popleft()
        if isinstance(read, ProviderUnavailable):
            return read
        self._offset = end
        if read is not None and self._shift.add(read):
            await self._save()
        return None

    async def _save(self, job: Job | None = None) -> None:
        after = replace(job or self._job, offset=self._offset)
        await self._shift.save(lambda batch: with_job(batch, self._place, after))

    async def _read(self, line: bytes, *, cut: bool) -> _Read:
        """A line as an item's result; None for one that is nobody's, or has been there."""
        try:
            little = len(line) <= apart.ANSWER_BYTES
            outcome = await apart.run(little, self._door.adapter.read_line, line)
        except ProviderError as error:
            if cut:
                return ProviderUnavailable("The results stop in the middle of a line.")
            log.event("batch.line_unread", severity="WARNING", cause=error.message)
            self._unread = True
            return None
        if outcome is None:
            return None
        self._read_any = True
        item = self._items.pop(outcome.key, None)
        return None if item is None else await self._ended(item, outcome)

    async def _ended(self, item: Kept, outcome: Outcome) -> Ended:
        transport = self._shift.app.batch_transport
        try:
            result = await transport.result(outcome, item.request, self._door)
            pictures = await delivery.converted(item.request, result)
        except Exception as fault:
            error = known(fault)
            error.provider = self._door.route.provider
            lost = transport.lost_micros(error, item.request, self._door)
            return replace(failed(item, error), cost_micros=lost)
        return await stored(self._shift, item, result, pictures)


async def stored(shift: Shift, item: Kept, result: Result, pictures: tuple[Picture, ...]) -> Ended:
    """A result's pictures put into storage, and what the item came to. Raises what storage
    does."""
    app, owner = shift.app, names.item(shift.batch.id, item.index)
    written = await delivery.store(app, owner, pictures, result.route)
    if not written:
        why = result.error or ProviderError("The provider's picture could not be used.")
        why.provider = why.provider or result.route.provider
        lost = failed(item, why, cancelled=why.details.get("reason") == "cancelled")
        return replace(lost, cost_micros=_cost(result))
    images = tuple(image for image, _ in written)
    charged = settlement.charge_of(result, len(images), item.request.n, item.held_micros)
    short = settlement.shortfall(item.request.n, result.route.provider, len(images), result.error)
    ended = succeeded(item, images, result.route, charged)
    told = replace(
        ended.result,
        text=result.text,
        usage=replace(result.usage, images=len(images)),
        error=short,
    )
    return replace(ended, result=told, cost_micros=_cost(result))


def _cost(result: Result) -> int:
    """What a provider's batch cost for an item. A call of its own has told its cost already."""
    return 0 if result.attempts else result.charge_micros


def succeeded(item: Kept, images: tuple[Image, ...], route: Route, charged_micros: int) -> Ended:
    """An item with pictures."""
    return Ended(
        ItemResult(
            index=item.index,
            custom_id=item.custom_id,
            status="succeeded",
            n=item.request.n,
            images=images,
            charged_micros=charged_micros,
            usage=Usage(images=len(images)),
            model=route.model,
            provider=route.provider,
        ),
        item.held_micros,
        route.model,
    )


async def _finish(shift: Shift, place: int, progress: Progress, door: Door) -> None:
    """Close a job: an item that its results leave out has failed, once they were asked for again
    from their end on, for a file may stop short without a sign."""
    job = shift.batch.jobs[place]
    left_out = await shift.items_of(job)
    if left_out and progress.state == "succeeded" and progress.files and not job.again:
        later = replace(job, again=True, look_at=shift.now + batch_jobs.REST)
        await shift.save(lambda batch: with_job(batch, place, later))
        return
    why, cancelled = _left_out(shift, progress)
    why.provider = door.route.provider
    for item in left_out:
        if shift.add(failed(item, why, cancelled=cancelled)):
            await shift.save()
    closed = replace(job, state="closed", look_at=None)
    await shift.save(lambda batch: with_job(batch, place, closed))


def _left_out(shift: Shift, progress: Progress) -> tuple[DarkroomError, bool]:
    """Why an item has no line, and whether it was cancelled."""
    if progress.state == "cancelled" and shift.batch.cancelling:
        return ProviderUnavailable("The batch was cancelled before this item was made."), True
    if progress.state == "expired":
        return ProviderUnavailable("The provider did not get to this item in time."), False
    said = progress.message or "The provider's results leave this item out."
    return ProviderError(said), False


async def _counted(lines: tuple[bytes, ...], offset: int) -> AsyncGenerator[tuple[bytes, int]]:
    """Lines at hand, from that byte of all of them on, each with its end."""
    end = 0
    for line in lines:
        end += len(line) + 1
        if end > offset:
            yield line, end
