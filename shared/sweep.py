"""Finish what a dead instance left, and see to it that what is due is looked at: a running record
whose lease has ended is settled if its pictures lie in storage, released if they do not; whoever
waits for a message, a provider's task or a batch's next step gets a message; and what is to be
told of ends is told again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from shared import delivery, log, queued, webhooks
from shared.app import App
from shared.batch_domain import Batch
from shared.domain import Record
from shared.errors import OutcomeUnknown
from shared.events import Event
from shared.records import HoldEnded, Stale
from shared.settlement import release, settle

_BATCH = 100
_LONGEST_S = 240.0
_NOTICES = 200


async def sweep(app: App, before: datetime) -> int:
    """Wake the batches that are due, try the webhooks that are, and see to every record whose
    lease ended before that time; returns how many were ended or put forward. One that cannot be is
    left for the next sweep."""
    await _wake_batches(app, before)
    await webhooks.deliver_due(app, _NOTICES)
    return await _end_overdue(app, before)


async def _end_overdue(app: App, before: datetime) -> int:
    """As many as there is time for."""
    total, seen = 0, set[str]()
    until = app.clock() + timedelta(seconds=_LONGEST_S)
    while app.clock() < until:
        # Those that could not be ended stay at the head of the list, and hold up none.
        overdue = await app.records.overdue(before, _BATCH + len(seen))
        # Ours are alive, whatever a clock that jumped says.
        dead = [r for r in overdue if r.id not in seen and not app.works_on(r.id)]
        seen |= {record.id for record in overdue}
        total += sum([await _ended(app, record) for record in dead])
        if not dead:
            break
    return total


async def _wake_batches(app: App, before: datetime) -> None:
    """Send a message for every batch that is due. One whose worker died is due when its lease
    ends, or `before` says that nobody is at it."""
    for batch in await app.records.due_batches(before, _BATCH):
        with log.about(batch.id, batch.traceparent):
            await _wake(app, batch)


async def _wake(app: App, batch: Batch) -> None:
    try:
        # Due again a little later, unless somebody takes it first.
        due_at = app.clock() + queued.PATIENCE
        await app.records.advance_batch(replace(batch, worker=None, due_at=due_at))
        await app.events.publish(Event("batch-callbacks", batch.account_id, batch.id))
    except Stale:
        return
    except Exception as error:
        log.crash("sweep.batch_not_woken", error)


async def _ended(app: App, record: Record) -> bool:
    try:
        with log.about(record.id, record.traceparent):
            await _end(app, record)
    except (HoldEnded, Stale):
        # Its own instance was alive after all, and came first.
        return False
    except Exception as error:
        log.crash("sweep.record_not_ended", error)
        return False
    return True


async def _end(app: App, record: Record) -> None:
    if record.status == "queued" or record.task is not None:
        await _remind(app, record)
        return
    images, route_key = await delivery.found(app, record.id)
    if images and route_key in record.quote.unit_micros:
        await settle(app, record, route_key, images, None)
        return
    lost = OutcomeUnknown("The instance that ran this request died. Nothing was charged.")
    await release(app, record, lost)


async def _remind(app: App, record: Record) -> None:
    """Send the message that a request waits for. The next sweep leaves it time."""
    await app.records.advance(replace(record, lease_until=app.clock() + queued.PATIENCE))
    await app.events.publish(Event("requests", record.account_id, record.id))
