"""A group's items one call each, some at once, as fast as their provider's limits allow. An item is
marked before it is sent: one that a dead worker had begun is looked for in storage, never sent
again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from shared import batch_jobs, delivery, log, names, pricing, routing, settlement, sources
from shared.batch_collect import stored, succeeded
from shared.batch_lines import Kept
from shared.batch_shift import Ended, Shift, failed, running, with_group
from shared.catalogue.rows import Route
from shared.domain import ImageRequest
from shared.errors import DarkroomError, OutcomeUnknown
from shared.results import Result, known

AT_ONCE = 8
LATE_S = 60.0
"""After its worker's time, until when an item that was taken may still be sent."""
_PAUSES = {error.code for error in batch_jobs.RESTS}
_ANY_TYPE = "application/octet-stream"


class _Rest(Exception):
    """Nothing was done for an item, and its provider wants a pause."""

    def __init__(self, error: DarkroomError) -> None:
        super().__init__(error.message)
        self.error = error


async def make(shift: Shift, number: int) -> None:
    """Make a group's next chunk, as much of it as there is time for."""
    if shift.batch.status == "accepted":
        await shift.save(running)
    group = shift.batch.groups[number]
    items = await shift.items(number, group.sent, group.sent + 1, whole=True)
    left = iter(items)
    rests: list[_Rest] = []
    work = (_worker(shift, left, rests) for _ in range(AT_ONCE))
    # All to their end, whatever happens to one: what is begun may be paid for.
    for fault in await asyncio.gather(*work, return_exceptions=True):
        if fault is not None:
            raise fault
    if rests:
        error = rests[0].error
        log.event("batch.rests", severity="WARNING", batch=shift.batch.id, cause=error.message)
        after = replace(
            group,
            rests=group.rests + 1,
            rest_until=shift.now + batch_jobs.pause(group.rests, error),
        )
    elif next(left, None) is None:
        after = replace(group, sent=group.sent + 1, rests=0, rest_until=None)
    else:
        after = group
    await shift.save(lambda batch: with_group(batch, number, after))


async def _worker(shift: Shift, left: Iterator[Kept], rests: list[_Rest]) -> None:
    """Item after item, until there is none, no time, or a pause to be made."""
    while not shift.over and not rests:
        await shift.heed()
        if shift.cancelled():
            return
        item = next(left, None)
        if item is None:
            return
        try:
            ended = await _made(shift, item)
        except _Rest as rest:
            rests.append(rest)
            return
        if shift.add(ended):
            await shift.save()


async def _made(shift: Shift, item: Kept) -> Ended:
    """One item's pictures, or why there are none. Raises _Rest where nothing was done."""
    app, owner = shift.app, names.item(shift.batch.id, item.index)
    try:
        request = await sources.load(item.request, shift.loader)
        routes = _priced(shift, item, request)
    except Exception as fault:
        return failed(item, known(fault))
    if not await _marked(shift, item):
        return await salvaged(shift, item)
    left_s = (shift.until - shift.now).total_seconds() + LATE_S
    deadline = asyncio.get_running_loop().time() + min(request.timeout_s, max(0.0, left_s))
    result = await app.transport.run(request, routes, shift.errand(owner, deadline))
    if not result.pictures and result.error is not None and _undone(result):
        await app.storage.delete(names.batch_begun(shift.batch.id, item.index))
        raise _Rest(result.error)
    try:
        pictures = await delivery.converted(request, result)
    except Exception as fault:
        return failed(item, known(fault))
    return await stored(shift, item, result, pictures)


def _priced(shift: Shift, item: Kept, request: ImageRequest) -> tuple[Route, ...]:
    """The routes that what is held for the item covers. Raises DarkroomError."""
    app, test = shift.app, shift.batch.sandbox
    open_to = app.transport.open_to(test=test)
    routes = routing.plan(request, app.catalogue, open_to, app.today()).routes
    if test:
        return routes
    return pricing.affordable(request, routes, app.catalogue, item.held_micros)


async def _marked(shift: Shift, item: Kept) -> bool:
    """Whether this worker may send the item: nobody else has marked it before."""
    mark = names.batch_begun(shift.batch.id, item.index)
    ours = (shift.batch.worker or "").encode()
    if await shift.app.storage.put(mark, ours, _ANY_TYPE, {}):
        return True
    # A write whose answer was lost meets itself when it is repeated.
    found = await shift.app.storage.get(mark)
    return found is not None and found.data == ours


def _undone(result: Result) -> bool:
    """Whether nothing of an item was done, and its provider wants a pause: each attempt says so."""
    error = result.error
    return (
        type(error) in batch_jobs.RESTS
        and not (error is not None and error.paid)
        and all(attempt.outcome in _PAUSES for attempt in result.attempts)
    )


async def salvaged(shift: Shift, item: Kept) -> Ended:
    """An item that a dead worker had begun: delivered if its pictures are there."""
    images, route_key = await delivery.found(shift.app, names.item(shift.batch.id, item.index))
    if not images:
        lost = OutcomeUnknown("The instance that made this item died. Nothing was charged.")
        return failed(item, lost)
    route, n = shift.app.catalogue.route(route_key), item.request.n
    unit = pricing.unit_micros(item.request, route, shift.app.catalogue)
    delivered = min(len(images), n)
    charged = min(unit * delivered, item.held_micros * delivered // n)
    ended = succeeded(item, images, route, charged)
    short = settlement.shortfall(n, route.provider, len(images), None)
    return replace(ended, result=replace(ended.result, error=short))
