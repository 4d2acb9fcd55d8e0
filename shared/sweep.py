"""Finish what a dead instance left: a running record whose lease has ended is settled if its
pictures lie in storage, released if they do not."""

from __future__ import annotations

import asyncio
from datetime import datetime

from shared import log, names, pixels
from shared.app import App
from shared.domain import Image, Record
from shared.errors import OutcomeUnknown
from shared.records import HoldEnded
from shared.settlement import image_of, release, settle

_BATCH = 100
_ROUNDS = 100


async def sweep(app: App, before: datetime) -> int:
    """End every running record whose lease ended before that time; returns how many. One that
    cannot be ended is left for the next sweep and holds up none."""
    total = 0
    for _ in range(_ROUNDS):
        overdue = await app.records.overdue(before, _BATCH)
        # Ours are alive, whatever a clock that jumped says.
        dead = [record for record in overdue if not app.works_on(record.id)]
        ended = sum([await _ended(app, record) for record in dead])
        total += ended
        if len(overdue) < _BATCH or not ended:
            break
    log.request_id.set(None)
    return total


async def _ended(app: App, record: Record) -> bool:
    log.request_id.set(record.id)
    try:
        await _end(app, record)
    except HoldEnded:
        # Its own instance was alive after all, and came first.
        return False
    except Exception as error:
        log.crash("sweep.record_not_ended", error)
        return False
    return True


async def _end(app: App, record: Record) -> None:
    images, route_key = await _found(app, record)
    if images and route_key in record.quote.unit_micros:
        await settle(app, record, route_key, images, None)
        return
    lost = OutcomeUnknown("The instance that ran this request died. Nothing was charged.")
    await release(app, record, lost)


async def _found(app: App, record: Record) -> tuple[tuple[Image, ...], str]:
    """The pictures already stored for a record, in order, and the route they came by."""
    images: dict[int, Image] = {}
    route_key = ""
    for name in await app.storage.list(names.pictures(record.id)):
        n = name.removeprefix(names.pictures(record.id))
        blob = await app.storage.get(name) if n.isdecimal() else None
        picture = await asyncio.to_thread(pixels.measure, blob.data) if blob else None
        if blob is not None and picture is not None:
            route_key = blob.labels.get("route", "")
            images[int(n)] = image_of(record.id, int(n), picture)
    return tuple(images[n] for n in sorted(images)), route_key
