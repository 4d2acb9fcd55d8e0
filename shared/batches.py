"""Many requests as one job: taken in, watched, cancelled, read back. What moves it forward is
`batch_steps`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

from shared import batch_lines, ledger, log, names, trace, webhooks
from shared.app import App
from shared.batch_domain import Batch, Counts
from shared.batch_intake import BadItems, Intake, Reader
from shared.batch_items import BatchAsk, ItemResult
from shared.batch_shift import called_back
from shared.domain import Hold
from shared.errors import (
    DarkroomError,
    IdempotencyConflict,
    InvalidRequest,
    ProviderUnavailable,
    problem_of,
)
from shared.events import Event
from shared.records import Page, Stale

__all__ = ["BadItems", "cancel", "create", "find", "listed", "refuse", "results"]

LIFE = timedelta(hours=48)
"""As long as a provider's own batch may take (ai.google.dev/gemini-api/docs/batch-api, 2026)."""
_TRIES = 40
_LONGEST_WAIT_S = 0.5


async def create(app: App, ask: BatchAsk) -> Batch:
    """Take a batch in: every line checked and priced, one hold for all. Raises BadItems,
    InsufficientCredit and whatever else refuses a request; nothing is left behind then."""
    batch_id = _batch_id(app, ask)
    earlier = await earlier_of(app, ask)
    if earlier is not None:
        return earlier
    if ask.webhook_url is not None:
        webhooks.check_url(app, ask.webhook_url, "webhook_url")
    reader = Reader(app, ask, batch_id)
    async with app.intakes.setdefault(ask.caller.account_id, asyncio.Lock()):
        # Who could not begin one anyway is told before the work.
        standing = await app.records.look(ask.caller.account_id, None)
        least = 0 if ask.caller.test else 1
        ledger.reserve(standing, least, app.clock(), app.random, runs=False)
        intake = await reader.read()
    try:
        batch = await _begun(app, ask, _draft(app, ask, batch_id, intake))
    except DarkroomError:
        # Any other error may have come after it was written.
        await reader.forget()
        raise
    if batch.intake != intake.name:
        await reader.forget()
        return batch
    log.request_id.set(batch.id)
    log.event("batch.accepted", batch=batch.id, items=intake.total, held_micros=batch.held_micros)
    await app.announce(Event("batch-callbacks", batch.account_id, batch.id))
    return batch


async def refuse(app: App, ask: BatchAsk, error: DarkroomError) -> Batch:
    """Put a batch on record that could not be taken in, with the reason."""
    batch_id = _batch_id(app, ask)
    earlier = await earlier_of(app, ask)
    if earlier is not None:
        return earlier
    draft = _draft(app, ask, batch_id, Intake("", (), 0, 0, 0))
    failed = replace(draft, status="failed", error=problem_of(error), completed_at=app.clock())
    notice = webhooks.notice_of(failed, app.clock()) if _may_be_told(app, ask) else None
    noted = await app.records.note_batch(failed, notice)
    if notice is not None:
        await app.announce(Event("batch-callbacks", noted.account_id, noted.id))
    return noted


async def find(app: App, account_id: str, batch_id: str) -> Batch | None:
    """An account's batch; None for another's, an unknown or a deleted one."""
    batch = await app.records.batch(account_id, batch_id)
    return None if batch is None or batch.deleted else batch


async def listed(
    app: App, account_id: str, surface: str | None, limit: int, cursor: str | None
) -> Page[Batch]:
    """A page of an account's batches, newest first, without deleted ones."""
    page = await app.records.batches(account_id, surface, limit, cursor)
    return Page(tuple(batch for batch in page.items if not batch.deleted), page.cursor)


async def cancel(app: App, batch: Batch) -> Batch:
    """Begin no item any more. What a provider has made by then is delivered and charged. Raises
    InvalidRequest for one that has ended."""
    for _ in range(_TRIES):
        if batch.status == "cancelled":
            return batch
        if not batch.open:
            raise InvalidRequest(f"This batch has {batch.status} already.", param="id")
        if batch.cancelling:
            return batch
        cancelled = replace(batch, cancelling=True)
        if batch.worker is None:
            # Else its worker does so when it notices.
            cancelled = called_back(replace(cancelled, due_at=app.clock()), app.clock())
        try:
            batch = await app.records.advance_batch(cancelled)
        except Stale:
            batch = await app.records.batch(batch.account_id, batch.id) or batch
        else:
            await app.announce(Event("batch-callbacks", batch.account_id, batch.id))
            return batch
    raise _busy()


async def results(app: App, batch: Batch) -> AsyncIterator[ItemResult]:
    """What became of each item that has ended, in the order they did."""
    for name in batch.results:
        blob = await app.storage.get(names.batch_result(batch.id, name))
        for result in batch_lines.kept_results(blob.data) if blob else ():
            yield result


def _may_be_told(app: App, ask: BatchAsk) -> bool:
    try:
        webhooks.check_url(app, ask.webhook_url or "", "webhook_url")
    except InvalidRequest:
        return False
    return True


async def _begun(app: App, ask: BatchAsk, draft: Batch) -> Batch:
    """Write it with its hold."""
    for attempt in range(_TRIES):
        standing = await app.records.look(draft.account_id, None)
        reservation = ledger.reserve(
            standing, draft.held_micros, app.clock(), app.random, runs=False
        )
        try:
            return await app.records.begin_batch(replace(draft, hold=reservation.hold), reservation)
        except Stale:
            earlier = await earlier_of(app, ask)
            if earlier is not None:
                return earlier
            await app.sleep(app.random.uniform(0, min(_LONGEST_WAIT_S, 0.01 * 2**attempt)))
    raise _busy()


async def earlier_of(app: App, ask: BatchAsk) -> Batch | None:
    """The batch of the same idempotency key. Raises IdempotencyConflict for another one's."""
    found = None
    if ask.idempotency_key is not None:
        found = await app.records.batch(ask.caller.account_id, _batch_id(app, ask))
    if found is not None and found.fingerprint != ask.fingerprint:
        raise IdempotencyConflict("This idempotency key was used before with another body.")
    return found


def _batch_id(app: App, ask: BatchAsk) -> str:
    if ask.idempotency_key is None:
        return f"bat_{app.new_id()}"
    mode = "test" if ask.caller.test else "live"
    text = "\n".join(["batch", ask.caller.account_id, mode, ask.idempotency_key])
    digest = hashlib.sha256(text.encode()).digest()
    return "bat_" + base64.b32encode(digest).decode().lower()[:26]


def _draft(app: App, ask: BatchAsk, batch_id: str, intake: Intake) -> Batch:
    now = app.clock()
    return Batch(
        id=batch_id,
        account_id=ask.caller.account_id,
        key_id=ask.caller.key_id,
        status="accepted",
        mode=ask.mode,
        fingerprint=ask.fingerprint,
        sandbox=ask.caller.test,
        hold=Hold(0, (), 0, ""),
        held_micros=intake.held_micros,
        listed_micros=intake.listed_micros,
        counts=Counts(intake.total),
        created_at=now,
        expires_at=now + LIFE,
        due_at=now,
        intake=intake.name,
        groups=intake.groups,
        model=ask.model,
        idempotency_key=ask.idempotency_key,
        surface=ask.surface,
        wire=ask.wire,
        metadata=ask.metadata,
        webhook_url=ask.webhook_url,
        traceparent=trace.current.get(),
    )


def _busy() -> ProviderUnavailable:
    return ProviderUnavailable("This account is very busy. Try again.", retry_after_s=1.0)
