"""What moves a batch forward: one small step after another, until nothing is due, time is up, or
it has ended. `due` decides, from the batch and the clock alone, what comes next.

    send a group's next items to its provider  →  look at the job  →  collect its results
    make a group's items one call each
    close: give every item left a result, end the batch, tell its caller
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from shared import batch_collect, batch_fanout, batch_jobs, log, names, trace, webhooks
from shared.app import App
from shared.batch_domain import Batch, BatchStatus, Group
from shared.batch_shift import Lost, Shift, claim, failed
from shared.errors import ProviderError, ProviderUnavailable, problem_of
from shared.events import Event
from shared.records import Stale

Step = Callable[[Shift], Awaitable[None]]
MAX_JOBS = 20
"""A batch's share of the 100 that a provider runs at once."""
GRACE = timedelta(hours=1)
"""How long after its end a batch still waits for what a provider has made."""
RETRY = timedelta(minutes=1)
_REASONS = {
    "failed": ProviderError("The provider did not make this batch: its results say why."),
    "expired": ProviderUnavailable("Not all of it was made in time: its results say what was."),
}
_DELETED_AT_ONCE = 16
_TIDY_S = 60.0


async def step(app: App, account_id: str, batch_id: str) -> None:
    """Do what is due for a batch, and see to it that somebody goes on later."""
    log.request_id.set(batch_id)
    batch = await app.records.batch(account_id, batch_id)
    if batch is None:
        return
    trace.follow(batch.traceparent)
    if not batch.open:
        await webhooks.tell(app, batch)
        return
    if due(batch, app.clock()) is None:
        await _set_the_clock(app, batch)
        return
    shift = await claim(app, batch)
    if shift is None:
        return
    try:
        await _work(shift)
    except Lost:
        return
    except Exception as error:
        log.crash("batch.step_failed", error)
        await _let_go(shift, app.clock() + RETRY)
        return
    batch = shift.batch
    if not batch.open:
        log.event("batch.ended", batch=batch.id, status=batch.status)
        await webhooks.tell(app, batch)
        await _tidy(app, batch)
    elif due(batch, app.clock()) is not None:
        await app.announce(Event("batch-callbacks", account_id, batch_id))


def due(batch: Batch, now: datetime) -> Step | None:
    """What comes next; None while there is only waiting."""
    if now >= batch.expires_at + GRACE:
        return close
    stopping = _stopping(batch, now)
    for number, job in enumerate(batch.jobs):
        if job.state != "closed" and (job.look_at is None or job.look_at <= now):
            if job.state == "sending":
                return lambda shift: batch_jobs.find(shift, number)
            if job.state == "running":
                return lambda shift: batch_jobs.look(shift, number, stopping=stopping)
            return lambda shift: batch_collect.collect(shift, number)
    for number, group in enumerate([] if stopping else batch.groups):
        if not _may_go_on(batch, number) or (group.rest_until or now) > now:
            continue
        if group.mode == "fanout":
            return lambda shift: batch_fanout.make(shift, number)
        return lambda shift: batch_jobs.send(shift, number)
    settled = all(job.state == "closed" for job in batch.jobs)
    return close if settled and (stopping or not any(map(_has_more, batch.groups))) else None


def wakes_at(batch: Batch, now: datetime) -> datetime:
    """When the next thing is due."""
    last = batch.expires_at if now < batch.expires_at else batch.expires_at + GRACE
    times = [job.look_at or now for job in batch.jobs if job.state != "closed"]
    if not _stopping(batch, now):
        groups = enumerate(batch.groups)
        times += [group.rest_until or now for n, group in groups if _may_go_on(batch, n)]
    return min([*times, last])


async def close(shift: Shift) -> None:
    """Give every item that has no result one, and end the batch."""
    counts = shift.batch.counts
    if counts.ended < counts.total and not await _given_results(shift):
        return
    status = _status(shift.batch, shift.now)
    error = problem_of(_REASONS[status]) if status in _REASONS else None

    def ended(batch: Batch) -> Batch:
        return replace(batch, status=status, error=error, completed_at=shift.now)

    await shift.end(ended, lambda batch: webhooks.notice_of(batch, shift.now))


async def _given_results(shift: Shift) -> bool:
    """Whether all that is left has a result; what a dead worker had begun may be there."""
    batch = shift.batch
    begun = set(await shift.app.storage.list(names.begun(batch.id)))
    why = ProviderUnavailable("The batch ended before this item was made.")
    for number, group in enumerate(batch.groups):
        for chunk in range(group.chunks):
            try:
                items = await shift.items(number, chunk, chunk + 1, whole=False)
            except LookupError as error:
                # Without it nobody knows whose these are: the batch ends all the same.
                log.crash("batch.chunk_gone", error)
                continue
            for item in items:
                if names.batch_begun(batch.id, item.index) in begun:
                    ended = await batch_fanout.salvaged(shift, item)
                else:
                    ended = failed(item, why, cancelled=batch.cancelling)
                if shift.add(ended):
                    await shift.save()
            if shift.over:
                await shift.save()
                return False
    await shift.save()
    return True


async def _work(shift: Shift) -> None:
    while not shift.over and shift.batch.open:
        next_step = due(shift.batch, shift.now)
        if next_step is None:
            break
        await next_step(shift)
    if shift.batch.open:
        await shift.release(max(wakes_at(shift.batch, shift.now), shift.now))


async def _let_go(shift: Shift, due_at: datetime) -> None:
    """Write down what has ended, and let another try."""
    try:
        await shift.release(due_at)
    except Exception as error:
        # The lease runs out by itself.
        log.crash("batch.not_released", error)


async def _set_the_clock(app: App, batch: Batch) -> None:
    """Have a batch that was woken too early woken in time."""
    wakes = wakes_at(batch, app.clock())
    if batch.worker is None and wakes < batch.due_at:
        try:
            await app.records.advance_batch(replace(batch, due_at=wakes))
        except Stale:
            return


async def _tidy(app: App, batch: Batch) -> None:
    """Delete what only served to make it. What a crash leaves, the bucket's lifecycle deletes."""
    try:
        async with asyncio.timeout(_TIDY_S):
            for prefix in (names.batch_items(batch.id, batch.intake), names.begun(batch.id)):
                left = list(await app.storage.list(prefix))
                for start in range(0, len(left), _DELETED_AT_ONCE):
                    some = left[start : start + _DELETED_AT_ONCE]
                    await asyncio.gather(*map(app.storage.delete, some))
    except Exception as error:
        log.crash("batch.not_tidied", error)


def _stopping(batch: Batch, now: datetime) -> bool:
    """Whether nothing of it is to be begun any more."""
    return batch.cancelling or now >= batch.expires_at


def _has_more(group: Group) -> bool:
    return group.sent < group.chunks


def _may_go_on(batch: Batch, number: int) -> bool:
    """Whether more of a group may be begun, rests aside."""
    group = batch.groups[number]
    if group.mode == "fanout" or not _has_more(group):
        return _has_more(group)
    jobs = [job for job in batch.jobs if job.state in ("sending", "running")]
    # Until it is known of a job whether it is there, it is not known where to go on.
    unsure = any(job.group == number and job.state == "sending" for job in jobs)
    return len(jobs) < MAX_JOBS and not unsure


def _status(batch: Batch, now: datetime) -> BatchStatus:
    if batch.cancelling:
        return "cancelled"
    outcomes = {job.outcome for job in batch.jobs if job.outcome}
    unmade = batch.counts.succeeded < batch.counts.total
    if unmade and (now >= batch.expires_at or "expired" in outcomes):
        return "expired"
    if outcomes == {"failed"} and not batch.counts.succeeded:
        return "failed"
    return "succeeded"
