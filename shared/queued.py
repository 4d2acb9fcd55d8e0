"""Requests that nobody waits for. Each is kept as one object until its turn, and run under a lease;
while a provider works at its task it is put down and looked at from time to time.

Whoever is told of one does what is due and nothing else, so it does not matter how often, or by
how many, it is told.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

from shared import (
    log,
    names,
    request_json,
    routing,
    settlement,
    sources,
    trace,
    webhooks,
    work,
)
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import Caller, ImageRequest, Record, Task
from shared.errors import DarkroomError, Internal, InvalidRequest, OutcomeUnknown
from shared.events import Event
from shared.exchange import Errand
from shared.records import HoldEnded, Stale
from shared.results import Result

PATIENCE = timedelta(minutes=2)
"""How long a message may be on its way before it counts as lost."""
MAX_RUN_S = 300.0
"""After which no call is begun for a queued request: its function has 540 seconds."""
LOOK_EVERY = timedelta(seconds=10)
TASK_LIFE = timedelta(hours=2)
"""After which nobody looks at a task any more."""
_CANCELS = 5


async def enqueue(app: App, record: Record, request: ImageRequest) -> None:
    """Keep a request, loaded, and have it run soon. Where the message fails, the sweep sends
    another."""
    data = await asyncio.to_thread(_packed, request)
    await app.storage.put(names.queued(record.id), data, "application/json", {})
    await app.announce(Event("requests", record.account_id, record.id))


async def step(app: App, account_id: str, request_id: str) -> None:
    """Do what is due: run a request, look at its task, or tell of its end."""
    log.request_id.set(request_id)
    record = await app.records.request(account_id, request_id)
    if record is None:
        return
    trace.follow(record.traceparent)
    if record.status == "queued":
        record = await _run(app, record)
    elif record.open and record.task is not None:
        record = await _look(app, record, record.task)
    if not record.open:
        await app.storage.delete(names.queued(record.id))
        await webhooks.tell(app, record)


async def cancel(app: App, record: Record) -> Record:
    """End a deferred request that has not ended. A provider that is at it already is not called
    back: what it makes is thrown away, and nobody is charged. Raises InvalidRequest."""
    log.request_id.set(record.id)
    trace.follow(record.traceparent)
    for _ in range(_CANCELS):
        if record.status == "cancelled":
            return record
        if not record.open:
            raise InvalidRequest(f"This request has ended: it is {record.status}.", param="id")
        if not record.deferred:
            raise InvalidRequest(
                "Somebody waits for this request: only one sent with Prefer: respond-async can be "
                "cancelled.",
                param="id",
            )
        try:
            ended = await settlement.cancel(app, record)
        except HoldEnded:
            found = await app.records.request(record.account_id, record.id)
            record = found or record
        else:
            await app.storage.delete(names.queued(record.id))
            return ended
    raise Internal("This request could not be cancelled. Try again.")


async def _run(app: App, record: Record) -> Record:
    """Take the lease and make the pictures."""
    request = await _kept(app, record)
    if request is None and app.clock() < record.created_at + PATIENCE:
        return record
    longest_s = max(p.timeout_s for p in app.catalogue.providers.values())
    try:
        record = await app.records.advance(
            replace(
                record,
                status="running",
                lease_until=app.clock() + timedelta(seconds=MAX_RUN_S + longest_s + work.MARGIN_S),
            )
        )
    except Stale:
        # Somebody else has it, or it was cancelled.
        return record
    try:
        if request is None:
            raise Internal("This request was lost before its turn. Nothing was charged.")
        request = await sources.load(request, app.loader(_caller(record)))
        routes = _routes(app, record, request)
    except DarkroomError as error:
        return (await work.fail(app, record, error)).record
    deadline = asyncio.get_running_loop().time() + min(request.timeout_s, MAX_RUN_S)
    errand = Errand(record.id, record.sandbox, deadline, parks=True)
    making = app.spawn(record.id, work.finish(app, record, request, routes, errand))
    return (await asyncio.shield(making)).record


async def _look(app: App, record: Record, task: Task) -> Record:
    """See what became of a task. Two who look at once change nothing twice."""
    found: Result | Task
    request = await _kept(app, record)
    waited = app.clock() - task.began_at
    if request is None or waited > TASK_LIFE:
        lost = OutcomeUnknown("The provider took the request and never finished it.")
        return (await work.fail(app, record, lost)).record
    errand = Errand(record.id, record.sandbox, 0.0)
    found = await app.transport.look(request, task, errand, waited.total_seconds())
    if isinstance(found, Task):
        return await _later(app, replace(record, task=found))
    try:
        request = await sources.load(request, app.loader(_caller(record)))
    except DarkroomError as error:
        # Only what a later turn goes back to is lost with it.
        log.event("request.not_loaded", severity="WARNING", cause=error.message)
    result = replace(found, attempts=(*record.attempts, *found.attempts))
    return (await work.end(app, replace(record, task=None), request, result)).record


async def _later(app: App, record: Record) -> Record:
    try:
        return await app.records.advance(replace(record, lease_until=app.clock() + LOOK_EVERY))
    except Stale:
        return record


def _caller(record: Record) -> Caller:
    return Caller(record.account_id, record.key_id, record.sandbox)


async def _kept(app: App, record: Record) -> ImageRequest | None:
    """The request as it was admitted, not loaded; None if it was never stored."""
    blob = await app.storage.get(names.queued(record.id))
    return await asyncio.to_thread(_unpacked, blob.data) if blob else None


def _routes(app: App, record: Record, request: ImageRequest) -> tuple[Route, ...]:
    """The routes that were priced, as far as they can be reached today. Raises DarkroomError."""
    open_to = app.transport.open_to(test=record.sandbox)
    found = routing.plan(request, app.catalogue, open_to, app.today()).routes
    priced = tuple(route for route in found if route.key in record.quote.unit_micros)
    if not priced:
        raise Internal("No provider that was priced can be reached any more.")
    return priced


def _packed(request: ImageRequest) -> bytes:
    return json.dumps(request_json.encode(request_json.pinned(request))).encode()


def _unpacked(data: bytes) -> ImageRequest:
    return request_json.decode(json.loads(data))
