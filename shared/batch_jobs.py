"""A group's items as a provider's batches: handed over, found again after a crash, looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared import log, provider_events, sources
from shared.batch_domain import Job
from shared.batch_lines import Kept
from shared.batch_shift import Shift, failed, running, with_group, with_job
from shared.batch_transport import Door
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
)
from shared.providers import Order

JOB_BYTES = 64 * 2**20
"""Of input: it is put together in memory."""
FIRST_LOOK = timedelta(seconds=5)
LONGEST_LOOK = timedelta(minutes=15)
BLIND = timedelta(minutes=1)
"""Until the next look, where one told nothing."""
UNSEEN = timedelta(minutes=2)
"""How long a batch that was handed over may take to show up at its provider."""
REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)
_LOADED_AT_ONCE = 8


@dataclass
class _Load:
    """What goes into one job: `last` is the first chunk after it."""

    last: int
    lines: list[bytes] = field(default_factory=list)
    bytes: int = 0
    held_micros: int = 0


async def send(shift: Shift, number: int) -> None:
    """Hand over as many of a group's next chunks as go into one job."""
    group = shift.batch.groups[number]
    try:
        door = await shift.app.batch_transport.door(group.route, shift.errand(shift.batch.id))
        load = await _load(shift, number, door)
    except DarkroomError as error:
        await _rest(shift, number, error)
        return
    after = replace(group, sent=load.last, rests=0, rest_until=None)
    if not load.lines:
        await shift.save(lambda batch: with_group(batch, number, after))
        return
    place = len(shift.batch.jobs)
    job = Job(
        group=number,
        first=group.sent,
        last=load.last,
        state="sending",
        name=f"{shift.batch.id}-{place}",
        look_at=shift.now + UNSEEN,
    )
    # Written down before it is sent: after a crash it is looked for, not sent again.
    await shift.save(lambda batch: with_group(with_job(running(batch), place, job), number, after))
    order = Order(job.name, tuple(load.lines), *_callback(shift, door))
    try:
        token = await shift.app.batch_transport.send(order, load.held_micros, door)
    except (RateLimited, QuotaExceeded, ProviderUnavailable) as error:
        await _take_back(shift, place, error)
    except DarkroomError as error:
        if _may_be_there(error):
            log.event("batch.job_unknown", severity="WARNING", job=job.name, cause=error.message)
        else:
            await refused(shift, place, error)
    else:
        await _sent(shift, place, token, door)


async def find(shift: Shift, place: int) -> None:
    """See whether a job that a dead worker may have handed over is there."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    try:
        door = await shift.app.batch_transport.door(group.route, shift.errand(shift.batch.id))
        token = await shift.app.batch_transport.find(job.name, door)
    except DarkroomError as error:
        log.event("batch.job_not_found", severity="WARNING", job=job.name, cause=error.message)
        later = replace(job, look_at=shift.now + BLIND)
        await shift.save(lambda batch: with_job(batch, place, later))
        return
    if token is not None:
        await _sent(shift, place, token, door)
    else:
        await _take_back(shift, place, None)


async def look(shift: Shift, place: int, *, stopping: bool) -> None:
    """See how far a job is, having called it back if its batch is to stop."""
    job = shift.batch.jobs[place]
    transport, group = shift.app.batch_transport, shift.batch.groups[job.group]
    try:
        door = await transport.door(group.route, shift.errand(shift.batch.id))
        if stopping:
            await transport.cancel(job.token, door)
        progress = await transport.look(job.token, door)
    except DarkroomError as error:
        await _not_seen(shift, place, error)
        return
    if progress.state == "running":
        wait = REST if stopping else _until_next(shift, job)
        after = replace(job, look_at=shift.now + wait)
        await shift.save(lambda batch: with_job(batch, place, after))
        return
    ended = replace(job, state="ended", outcome=progress.state, look_at=None)
    await shift.save(lambda batch: with_job(replace(batch, status="collecting"), place, ended))


async def refused(shift: Shift, place: int, error: DarkroomError) -> None:
    """Close a job that its provider will not do: its items have failed."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    error.provider = error.provider or shift.app.catalogue.route(group.route).provider
    for item in await shift.items(job.group, job.first, job.last, whole=False):
        if shift.add(failed(item, error)):
            await shift.save()
    closed = replace(job, state="closed", outcome="failed", look_at=None)
    await shift.save(lambda batch: with_job(batch, place, closed))


async def _load(shift: Shift, number: int, door: Door) -> _Load:
    """The next items as lines, until there are enough; what cannot be loaded has failed."""
    group, adapter = shift.batch.groups[number], door.adapter
    load = _Load(group.sent)
    while load.last < group.chunks and load.bytes < min(JOB_BYTES, adapter.MAX_BYTES // 2):
        items = await shift.items(number, load.last, load.last + 1, whole=True)
        if load.lines and len(load.lines) + len(items) > adapter.MAX_LINES:
            break
        gate = asyncio.Semaphore(_LOADED_AT_ONCE)
        lines = await asyncio.gather(*(_line(shift, item, door, gate) for item in items))
        for item, line in zip(items, lines, strict=True):
            if isinstance(line, DarkroomError):
                shift.add(failed(item, line))
                continue
            load.lines.append(line)
            load.bytes += len(line)
            load.held_micros += item.held_micros
        load.last += 1
    return load


async def _line(
    shift: Shift, item: Kept, door: Door, gate: asyncio.Semaphore
) -> bytes | DarkroomError:
    async with gate:
        try:
            request = await sources.load(item.request, shift.loader)
            return await shift.app.batch_transport.line(str(item.index), request, door)
        except DarkroomError as error:
            return error


def _callback(shift: Shift, door: Door) -> tuple[str | None, dict[str, str]]:
    """Where the provider may say that it is done, by the function's deployed name: it reaches
    public addresses only."""
    public = shift.app.settings.public_url
    if door.errand.test or not public.startswith("https://"):
        return None, {}
    about = {"account": shift.batch.account_id, "batch": shift.batch.id}
    return f"{public}/provider-webhook/{door.route.provider}", about


async def _sent(shift: Shift, place: int, token: str, door: Door) -> None:
    job = shift.batch.jobs[place]
    sent = replace(job, state="running", token=token, look_at=shift.now + FIRST_LOOK)
    await shift.save(lambda batch: with_job(batch, place, sent))
    batch, provider = shift.batch, door.route.provider
    await provider_events.expect(shift.app, provider, token, batch.account_id, batch.id)
    log.event("batch.job_sent", batch=shift.batch.id, job=job.name, provider=door.route.provider)


async def _take_back(shift: Shift, place: int, error: DarkroomError | None) -> None:
    """A job that is not at its provider, for sure: its chunks are still to be sent, after a rest
    where the provider has no room."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    gone = replace(job, state="closed", last=job.first, look_at=None)
    rest = replace(group, sent=min(group.sent, job.first))
    if error is not None:
        rest = replace(
            rest, rests=group.rests + 1, rest_until=shift.now + pause(group.rests, error)
        )
    await shift.save(lambda batch: with_group(with_job(batch, place, gone), job.group, rest))


async def _rest(shift: Shift, number: int, error: DarkroomError) -> None:
    group = shift.batch.groups[number]
    log.event("batch.rests", severity="WARNING", batch=shift.batch.id, cause=error.message)
    rest = replace(group, rests=group.rests + 1, rest_until=shift.now + pause(group.rests, error))
    await shift.save(lambda batch: with_group(batch, number, rest))


async def _not_seen(shift: Shift, place: int, error: DarkroomError) -> None:
    """A look that told nothing, unless it is that the provider knows no such batch."""
    job = shift.batch.jobs[place]
    if error.details.get(HTTP_STATUS) == 404 or shift.now >= shift.batch.expires_at + LONGEST_LOOK:
        lost = OutcomeUnknown("The provider does not know this batch any more.")
        await refused(shift, place, lost)
        return
    log.event("batch.not_seen", severity="WARNING", job=job.name, cause=error.message)
    later = replace(job, look_at=shift.now + BLIND)
    await shift.save(lambda batch: with_job(batch, place, later))


def pause(rests: int, error: DarkroomError) -> timedelta:
    """How long to leave a provider alone that has no room, or is not well."""
    asked = timedelta(seconds=error.retry_after_s or 0.0)
    return max(asked, min(LONGEST_REST, REST * float(2 ** min(rests, 10))))


def _until_next(shift: Shift, job: Job) -> timedelta:
    """Often at first, then less: small batches take minutes, large ones hours."""
    age_s = (shift.now - shift.batch.created_at).total_seconds()
    eighth = timedelta(seconds=age_s / 8)
    return sorted((FIRST_LOOK, eighth, LONGEST_LOOK))[1]


def _may_be_there(error: DarkroomError) -> bool:
    status = error.details.get(HTTP_STATUS)
    return isinstance(error, OutcomeUnknown) or (
        isinstance(error, ProviderError) and (not isinstance(status, int) or status >= 500)
    )
