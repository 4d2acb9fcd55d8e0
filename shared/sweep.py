"""Finish what a dead instance left: a running record whose lease has ended is settled if its
pictures lie in storage, released if they do not."""

from __future__ import annotations

from datetime import datetime

from shared import log, pixels
from shared.app import App
from shared.domain import Image, Record
from shared.errors import OutcomeUnknown
from shared.records import HoldEnded
from shared.settlement import image_of, release, settle

_BATCH = 100
_ROUNDS = 100


async def sweep(app: App, before: datetime) -> int:
    """End every running record whose lease ended before that time; returns how many."""
    ended = 0
    for _ in range(_ROUNDS):
        overdue = await app.records.overdue(before, _BATCH)
        for record in overdue:
            log.request_id.set(record.id)
            try:
                await _end(app, record)
                ended += 1
            except HoldEnded:
                # Its own instance was alive after all, and came first.
                continue
        if len(overdue) < _BATCH:
            break
    log.request_id.set(None)
    return ended


async def _end(app: App, record: Record) -> None:
    images, route_key = await _found(app, record)
    if images and route_key:
        await settle(app, record, route_key, images, None)
        return
    lost = OutcomeUnknown("The instance that ran this request died. Nothing was charged.")
    await release(app, record, lost)


async def _found(app: App, record: Record) -> tuple[tuple[Image, ...], str | None]:
    """The pictures already stored for a record, and the route they came by."""
    images: list[Image] = []
    route_key: str | None = None
    for name in await app.storage.list(f"images/{record.id}/"):
        blob = await app.storage.get(name)
        picture = pixels.measure(blob.data) if blob else None
        if blob is not None and picture is not None:
            route_key = blob.labels.get("route")
            images.append(image_of(record.id, int(name.rsplit("/", 1)[1]), picture))
    return tuple(images), route_key
