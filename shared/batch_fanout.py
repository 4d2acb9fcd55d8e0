"""A group's items one call each, some at once, as fast as their provider's limits allow. An item is
marked before it is sent: one that a dead worker had begun is looked for in storage, never sent
again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from shared import batch_jobs, delivery, log, names, pricing, routing, sources
from shared.batch_collect import stored, succeeded
from shared.batch_lines import Kept
from shared.batch_shift import Ended, Shift, failed, running, with_group
from shared.errors import (
    DarkroomError,
    OutcomeUnknown,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
)

AT_ONCE = 8
ITEM_S = 280.0
"""What an item may take: with STEP_S less than the function has."""
_RESTS = (RateLimited, QuotaExceeded, ProviderUnavailable)
"""What says that nothing was done, and that the same is worth another try later."""
_ANY_TYPE = "application/octet-stream"


class _Rest(Exception):
    """Nothing was done for an item, and its provider wants a pause."""

    def __init__(self, error: DarkroomError) -> None:
        super().__init__(error.message)
        self.error = error


async def make(shift: Shift, number: int) -> None:
    """Make a group's next chunk, as much of it as there is time for."""
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
    await shift.save(lambda batch: with_group(running(batch), number, after))


async def _worker(shift: Shift, left: Iterator[Kept], rests: list[_Rest]) -> None:
    """Item after item, until there is none, no time, or a pause to be made."""
    while not shift.over and not rests:
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
    app, batch = shift.app, shift.batch
    owner, mark = names.item(batch.id, item.index), names.batch_begun(batch.id, item.index)
    try:
        request = await sources.load(item.request, shift.loader)
        open_to = app.transport.open_to(test=batch.sandbox)
        routes = routing.plan(request, app.catalogue, open_to, app.today()).routes
    except DarkroomError as error:
        return failed(item, error)
    if not await app.storage.put(mark, b"", _ANY_TYPE, {}):
        return await _salvaged(shift, item, owner)
    deadline = asyncio.get_running_loop().time() + min(request.timeout_s, ITEM_S)
    result = await app.transport.run(request, routes, shift.errand(owner, deadline))
    why = result.error
    if not result.pictures and why is not None and type(why) in _RESTS and not why.paid:
        await app.storage.delete(mark)
        raise _Rest(why)
    return await stored(shift, item, result)


async def _salvaged(shift: Shift, item: Kept, owner: str) -> Ended:
    """An item that a dead worker had begun: delivered if its pictures are there."""
    images, route_key = await delivery.found(shift.app, owner)
    if not images:
        lost = OutcomeUnknown("The instance that made this item died. Nothing was charged.")
        return failed(item, lost)
    route = shift.app.catalogue.route(route_key)
    unit = pricing.unit_micros(item.request, route, shift.app.catalogue)
    delivered = min(len(images), item.request.n)
    charged = min(unit * delivered, item.held_micros * delivered // item.request.n)
    return succeeded(item, images, route, charged)
