"""The results of a provider's batch, read line by line: each picture stored, its item's result
written down with some others, and the place in the file with them. Time is up after any line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from shared import batch_jobs, delivery, log, names, settlement
from shared.batch_domain import Job
from shared.batch_items import ItemResult
from shared.batch_lines import Kept
from shared.batch_shift import Ended, Shift, failed, with_job
from shared.batch_transport import Door
from shared.catalogue.rows import Route
from shared.domain import Image, Usage
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    ProviderError,
    ProviderUnavailable,
)
from shared.providers import Outcome, Progress
from shared.results import Result

AT_ONCE = 4
"""Lines in hand: each may hold a picture of many megabytes several times over."""


async def collect(shift: Shift, place: int) -> None:
    """Go on with a job's results from where they were left."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    try:
        door = await shift.app.batch_transport.door(group.route, shift.errand(shift.batch.id))
        progress = await shift.app.batch_transport.look(job.token, door)
        collector = await _Collector.of(shift, place, door)
        complete = await collector.run(progress)
    except DarkroomError as error:
        if error.details.get(HTTP_STATUS) == 404 or isinstance(error, ProviderError):
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

    @classmethod
    async def of(cls, shift: Shift, place: int, door: Door) -> _Collector:
        """With the items that have no result yet."""
        job = shift.batch.jobs[place]
        items = await shift.items(job.group, job.first, job.last, whole=False)
        return cls(shift, place, door, {str(item.index): item for item in items})

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
            self._offset = 0
            await self._save(replace(self._job, file=self._job.file + 1))
        return True

    @property
    def _job(self) -> Job:
        return self._shift.batch.jobs[self._place]

    async def _take(self, lines: AsyncIterator[tuple[bytes, int]]) -> bool:
        """Some lines at once, written down in order; False if time was up before the last."""
        at_hand: list[asyncio.Task[Ended | None]] = []
        ends: list[int] = []
        try:
            async for line, end in lines:
                at_hand.append(asyncio.create_task(self._read(line)))
                ends.append(end)
                if len(at_hand) >= AT_ONCE:
                    await self._write(await at_hand.pop(0), ends.pop(0))
                    if self._shift.over:
                        await self._write_all(at_hand, ends)
                        return False
        finally:
            # Whatever stopped the file: what came before it counts.
            await self._write_all(at_hand, ends)
        return True

    async def _write_all(self, at_hand: list[asyncio.Task[Ended | None]], ends: list[int]) -> None:
        while at_hand:
            await self._write(await at_hand.pop(0), ends.pop(0))
        await self._save()

    async def _write(self, ended: Ended | None, end: int) -> None:
        self._offset = end
        if ended is not None and self._shift.add(ended):
            await self._save()

    async def _save(self, job: Job | None = None) -> None:
        after = replace(job or self._job, offset=self._offset)
        await self._shift.save(lambda batch: with_job(batch, self._place, after))

    async def _read(self, line: bytes) -> Ended | None:
        """A line as an item's result; None for one that is nobody's, or has been there."""
        try:
            outcome = await asyncio.to_thread(self._door.adapter.read_line, line)
        except ProviderError as error:
            log.event("batch.line_unread", severity="WARNING", cause=error.message)
            return None
        item = self._items.pop(outcome.key, None) if outcome else None
        if outcome is None or item is None:
            return None
        return await self._ended(item, outcome)

    async def _ended(self, item: Kept, outcome: Outcome) -> Ended:
        try:
            transport = self._shift.app.batch_transport
            result = await transport.result(outcome, item.request, self._door)
            return await stored(self._shift, item, result)
        except DarkroomError as error:
            error.provider = self._door.route.provider
            return failed(item, error)


async def stored(shift: Shift, item: Kept, result: Result) -> Ended:
    """A result's pictures put into storage, and what the item came to."""
    app, owner = shift.app, names.item(shift.batch.id, item.index)
    pictures = await delivery.converted(item.request, result)
    written = await delivery.store(app, owner, pictures, result.route)
    if not written:
        why = result.error or ProviderError("The provider's picture could not be used.")
        why.provider = why.provider or result.route.provider
        return failed(item, why, cancelled=why.details.get("reason") == "cancelled")
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
    return replace(ended, result=told)


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
    )


async def _finish(shift: Shift, place: int, progress: Progress, door: Door) -> None:
    """Close a job: an item that its results leave out has failed."""
    job = shift.batch.jobs[place]
    why, cancelled = _left_out(shift, progress)
    why.provider = door.route.provider
    for item in await shift.items(job.group, job.first, job.last, whole=False):
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


async def _counted(lines: tuple[bytes, ...], offset: int) -> AsyncIterator[tuple[bytes, int]]:
    """Lines at hand, from that number on, each with the number after it."""
    for number, line in enumerate(lines[offset:], offset):
        yield line, number + 1
