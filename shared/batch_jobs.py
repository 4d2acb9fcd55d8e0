"""A group's items as a provider's batches: handed over, found again after a crash, looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared import log, provider_events, sources
from shared.batch_domain import Group, Job
from shared.batch_lines import Kept
from shared.batch_shift import (
    Shift,
    called_back,
    failed,
    running,
    with_group,
    with_job,
    without_job,
)
from shared.batch_transport import Door, is_gone, may_be_there
from shared.errors import (
    DarkroomError,
    OutcomeUnknown,
    ProviderUnavailable,
    QuotaExceeded,
    RateLimited,
)
from shared.providers import Order
from shared.results import known

JOB_BYTES = 64 * 2**20
JOB_LINES = 10_000
"""Of input: it is put together in memory, and what its results are read against is kept there."""
FIRST_LOOK = timedelta(seconds=5)
LONGEST_LOOK = timedelta(minutes=15)
BLIND = timedelta(minutes=1)
"""Until the next look, where one told nothing."""
UNSEEN = timedelta(minutes=2)
"""How long a batch that was handed over may take to show up at its provider."""
REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)
RESTS = (RateLimited, QuotaExceeded, ProviderUnavailable)
"""What says that nothing was done, and that the same is worth another try later; not the kinds
of it that waiting does not cure."""
_LOADED_AT_ONCE = 4


@dataclass
class _Load:
    """What goes into one job: all of the first `sent` chunks of a group, and of the next what comes
    before the place `high`."""

    sent: int
    high: int
    lines: list[bytes] = field(default_factory=list)
    bytes: int = 0
    held_micros: int = 0


async def send(shift: Shift, number: int) -> None:
    """Hand over as many of a group's next items as go into one job."""
    group = shift.batch.groups[number]
    try:
        door = await shift.app.batch_transport.door(group.route, shift.errand(shift.batch.id))
    except DarkroomError as error:
        await _rest(shift, number, error)
        return
    load = await _load(shift, number, door)
    after = replace(group, sent=load.sent, low=load.high, rest_until=None)
    if not load.lines or shift.cancelled():
        unsent = group if load.lines else after
        await shift.save(lambda batch: with_group(batch, number, unsent))
        return
    place = len(shift.batch.jobs)
    job = Job(
        group=number,
        first=group.sent,
        last=min(load.sent + 1, group.chunks),
        low=group.low,
        high=load.high,
        state="sending",
        name=f"{shift.batch.id}-{place}-{shift.app.new_id()[:6]}",
        look_at=shift.now + UNSEEN,
    )
    # Written down before it is sent: after a crash it is looked for, not sent again.
    await shift.save(lambda batch: with_group(with_job(running(batch), place, job), number, after))
    if shift.cancelled():
        await _take_back(shift, place, None)
        return
    order = Order(job.name, tuple(load.lines), *_callback(shift, door))
    try:
        token = await shift.app.batch_transport.send(order, load.held_micros, door)
    except DarkroomError as error:
        await _not_sent(shift, place, error)
    else:
        await _sent(shift, place, token, door)


async def _not_sent(shift: Shift, place: int, error: DarkroomError) -> None:
    """What becomes of a job that was not plainly taken."""
    job = shift.batch.jobs[place]
    if type(error) in RESTS:
        await _take_back(shift, place, error)
    elif may_be_there(error):
        log.event("batch.job_unknown", severity="WARNING", job=job.name, cause=error.message)
        # It has until then to show up, however long the call took.
        unseen = replace(job, look_at=shift.now + UNSEEN)
        await shift.save(lambda batch: with_job(batch, place, unseen))
    else:
        await refused(shift, place, error)


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
        wait = FIRST_LOOK if stopping else _until_next(shift)
        log.event("batch.job_running", job=job.name, finished=progress.finished)
        after = replace(job, look_at=shift.now + wait)
        await shift.save(lambda batch: with_job(batch, place, after))
        if shift.cancelled() and not stopping:
            # Cancelled while it was looked at: its provider hears of it with the next look.
            now = shift.now
            await shift.save(lambda batch: called_back(batch, now))
        return
    ended = replace(job, state="ended", outcome=progress.state, look_at=None)
    await shift.save(lambda batch: with_job(replace(batch, status="collecting"), place, ended))


async def refused(shift: Shift, place: int, error: DarkroomError) -> None:
    """Close a job that its provider will not do: its items have failed."""
    job = shift.batch.jobs[place]
    group = shift.batch.groups[job.group]
    error.provider = error.provider or shift.app.catalogue.route(group.route).provider
    for item in await shift.items_of(job):
        if shift.add(failed(item, error)):
            await shift.save()
    closed = replace(job, state="closed", outcome="failed", look_at=None)
    await shift.save(lambda batch: with_job(batch, place, closed))


async def _load(shift: Shift, number: int, door: Door) -> _Load:
    """The next items as lines, until there are enough or time is up; what cannot be loaded has
    failed."""
    group, adapter = shift.batch.groups[number], door.adapter
    load = _Load(group.sent, group.low)
    most, most_lines = min(JOB_BYTES, adapter.MAX_BYTES // 2), min(JOB_LINES, adapter.MAX_LINES)
    # What is never within a day's cap would never be sent.
    cap = None if door.errand.test else door.account.daily_usd
    while load.sent < group.chunks:
        items = await shift.items(number, load.sent, load.sent + 1, whole=True)
        items = [item for item in items if item.index >= group.low]
        while items:
            some = _within(items[:_LOADED_AT_ONCE], cap, load)
            full = load.bytes >= most or len(load.lines) + len(some) > most_lines
            if shift.over or not some or (load.lines and full):
                return load
            await _take(shift, load, some, door)
            items = items[len(some) :]
        load.sent += 1
    return load


def _within(items: list[Kept], cap: int | None, load: _Load) -> list[Kept]:
    """The first of some items that a day's cap has room for beside what is loaded; a job has one
    at least."""
    held, some = load.held_micros, list[Kept]()
    for item in items:
        held += item.held_micros
        if cap is not None and held > cap and (load.lines or some):
            break
        some.append(item)
    return some


async def _take(shift: Shift, load: _Load, items: list[Kept], door: Door) -> None:
    if any(map(_names_images, items)):
        lines = await asyncio.gather(*(_line(shift, item, door) for item in items))
    else:
        # Tasks would only leave litter, a few for each item.
        lines = [await _line(shift, item, door) for item in items]
    for item, line in zip(items, lines, strict=True):
        if isinstance(line, DarkroomError):
            if shift.add(failed(item, line)):
                await shift.save()
            continue
        load.lines.append(line)
        load.bytes += len(line)
        load.held_micros += item.held_micros
    load.high = items[-1].index + 1


async def _line(shift: Shift, item: Kept, door: Door) -> bytes | DarkroomError:
    try:
        request = await sources.load(item.request, shift.loader)
        return await shift.app.batch_transport.line(str(item.index), request, door)
    except Exception as fault:
        return known(fault)


def _names_images(item: Kept) -> bool:
    """Whether something has to be loaded for it."""
    request = item.request
    return bool(request.refs or request.mask_ref or request.previous_request_id)


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
    group = replace(shift.batch.groups[job.group], rests=0)
    await shift.save(lambda batch: with_group(with_job(batch, place, sent), job.group, group))
    batch, provider = shift.batch, door.route.provider
    await provider_events.expect(shift.app, provider, token, batch.account_id, batch.id)
    log.event("batch.job_sent", batch=shift.batch.id, job=job.name, provider=door.route.provider)


async def _take_back(shift: Shift, place: int, error: DarkroomError | None) -> None:
    """Forget a job that is not at its provider, for sure: its items are still to be sent, after a
    rest where the provider has no room. No later items of its group are, until it is known."""
    job = shift.batch.jobs[place]
    again = replace(shift.batch.groups[job.group], sent=job.first, low=job.low)
    if error is not None:
        again = _rested(shift, again, error)
    await shift.save(lambda batch: with_group(without_job(batch, place), job.group, again))


async def _rest(shift: Shift, number: int, error: DarkroomError) -> None:
    rested = _rested(shift, shift.batch.groups[number], error)
    await shift.save(lambda batch: with_group(batch, number, rested))


def _rested(shift: Shift, group: Group, error: DarkroomError) -> Group:
    log.event("batch.rests", severity="WARNING", batch=shift.batch.id, cause=error.message)
    until = shift.now + pause(group.rests, error)
    return replace(group, rests=group.rests + 1, rest_until=until)


async def _not_seen(shift: Shift, place: int, error: DarkroomError) -> None:
    """A look that told nothing, unless it is that the provider knows no such batch."""
    job = shift.batch.jobs[place]
    if is_gone(error):
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


def _until_next(shift: Shift) -> timedelta:
    """Often at first, then less: small batches take minutes, large ones hours."""
    age_s = (shift.now - shift.batch.created_at).total_seconds()
    eighth = timedelta(seconds=age_s / 8)
    return sorted((FIRST_LOOK, eighth, LONGEST_LOOK))[1]
