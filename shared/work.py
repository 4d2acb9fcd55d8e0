"""The work of a request: from an open hold to its end, whatever happens on the way. Who waits for
it gets an Answer; what waits for a provider's task is put down, to be looked at later."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pybase64

from shared import delivery, log
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import Delivery, ImageRequest, Picture, Record, Task
from shared.errors import DarkroomError, Internal, ProviderError, error_of
from shared.exchange import Errand, Parked
from shared.progress import Progress
from shared.records import HoldEnded, Stale
from shared.results import Result
from shared.settlement import NotSettled, release, settle

_PUT_DOWN_TRIES = 4
MARGIN_S = 300.0
"""What a lease has beyond the caller's time and one call to the slowest provider, to store in."""


@dataclass(frozen=True)
class Answer:
    """An ended record, its pictures where they are still at hand, and whether it is an earlier
    one that was found again."""

    record: Record
    pictures: tuple[Picture, ...] = ()
    replayed: bool = False

    @property
    def error(self) -> DarkroomError | None:
        """What it ended with, if it failed."""
        record = self.record
        if record.error is None or record.status == "succeeded":
            return None
        error = error_of(record.error)
        error.request_id, error.paid = record.id, record.cost_micros > 0
        return error


async def in_base64(app: App, answer: Answer, delivery: Delivery) -> tuple[str | None, ...]:
    """The answer's pictures in base64 if they are wanted inline, from storage where this process
    did not just make them; None for one that is there no more."""
    if delivery != "b64_json":
        return ()
    if answer.pictures:
        return tuple(pybase64.b64encode_as_string(p.data) for p in answer.pictures)
    blobs = await asyncio.gather(*(app.storage.get(i.name) for i in answer.record.images))
    return tuple(pybase64.b64encode_as_string(blob.data) if blob else None for blob in blobs)


async def finish(
    app: App, record: Record, request: ImageRequest, routes: tuple[Route, ...], errand: Errand
) -> Answer:
    """Make the pictures and end the hold. The record of a parked task is still open."""
    return await _heeding(app, record, _finish(app, record, request, routes, errand))


async def end(app: App, record: Record, request: ImageRequest, result: Result) -> Answer:
    """Store what came of a request, and settle or release its hold."""
    return await _heeding(app, record, _end(app, record, request, result))


async def fail(app: App, record: Record, error: DarkroomError) -> Answer:
    """Release the hold of a request that nothing was sent for, or nothing came of."""
    return await _heeding(app, record, _failed(app, record, error))


async def _failed(app: App, record: Record, error: DarkroomError) -> Answer:
    return Answer(await release(app, record, error))


async def _heeding(app: App, record: Record, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The end of the work, or the one that came before it."""
    try:
        return await work
    except HoldEnded:
        # Ended meanwhile, by a sweep or by its caller: what was written then is what counts.
        standing = await app.records.look(record.account_id, record.id)
        ended = standing.request or record
        if ended.status == "cancelled":
            await delivery.forget(app, record.id)
        return Answer(ended)
    except Exception as error:
        # Nobody may be waiting any more to hear of it.
        log.crash("request.not_ended", error)
        raise


async def _finish(
    app: App, record: Record, request: ImageRequest, routes: tuple[Route, ...], errand: Errand
) -> Answer:
    noted = Progress(app, record)
    try:
        if record.deferred:
            errand = replace(errand, tried=noted.tried)
            result = await noted.during(app.transport.run(request, routes, errand))
        else:
            result = await app.transport.run(request, routes, errand)
    except Parked as parked:
        return await _put_down(app, noted.record, parked)
    except Exception as crash:
        return await _broken(app, noted.record, crash)
    return await _end(app, noted.record, request, result)


async def _end(app: App, record: Record, request: ImageRequest, result: Result) -> Answer:
    try:
        pictures = await delivery.converted(request, result)
        stored = await delivery.store(app, record.id, pictures, result.route)
    except Exception as crash:
        return await _broken(app, record, crash, result)
    if not stored:
        error = result.error or ProviderError("The provider's picture could not be used.")
        return Answer(await release(app, record, error, result))
    images, pictures = zip(*stored, strict=True)
    record = await delivery.keep_turn(app, record, request, result, pictures[0])
    try:
        return Answer(await settle(app, record, result.route.key, images, result), pictures)
    except NotSettled as error:
        log.crash("request.not_settled", error)
        return Answer(error.record, pictures)


async def _broken(
    app: App, record: Record, crash: Exception, result: Result | None = None
) -> Answer:
    log.crash("request.crashed", crash)
    broken = Internal("Something broke here. Nothing was charged.")
    return Answer(await release(app, record, broken, result))


async def _put_down(app: App, record: Record, parked: Parked) -> Answer:
    """Write down what to look at later. What cannot be written down, however often that is tried,
    is lost to its caller, and the sweep releases it."""
    now, pending = app.clock(), parked.pending
    task = Task(route=parked.route, token=pending.token, began_at=now)
    waiting = replace(
        record,
        task=task,
        attempts=parked.attempts,
        lease_until=now + timedelta(seconds=pending.after_s),
    )
    for tried in range(1, _PUT_DOWN_TRIES + 1):
        try:
            return Answer(await app.records.advance(waiting))
        except Stale:
            # Cancelled meanwhile.
            standing = await app.records.look(record.account_id, record.id)
            return Answer(standing.request or record)
        except Exception as error:
            log.crash("request.not_put_down", error)
            if tried == _PUT_DOWN_TRIES:
                raise
            await app.sleep(2.0**tried)
    raise AssertionError("the last try always returns or raises")
