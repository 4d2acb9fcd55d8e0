"""Telling a caller's server that a request or a batch has ended: one signed POST, tried again for a
day until it is answered with a 2xx.

Headers and signature are those of Standard Webhooks (standardwebhooks.com, 1.0.0). At least once:
an instance that dies after the answer came has not written it down.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

import httpx

from shared import batch_view, fetch, log, signatures, trace, view
from shared.app import App
from shared.batch_domain import Batch
from shared.domain import Notice, Record
from shared.errors import InvalidRequest
from shared.records import Stale

DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
"""The waits between one try and the next, nearly a day together. After the last try it is dead."""
LEASE = timedelta(minutes=1)
"""How long a try may take before others may take it for lost."""
BUDGET = timedelta(seconds=60)
"""How long after its beginning `deliver_due` begins deliveries; the rest is due still."""
MAX_URL = 2000
_TOGETHER = 16
_DELETED = "What it was about has been deleted."
_BROKEN = "Something broke here while it was sent."


class NoticeView(view.View):
    """What a receiver gets: the object as GET shows it, and when it ended."""

    type: str
    timestamp: view.Time
    data: view.RequestView | batch_view.BatchView


class _Unreachable(Exception):
    """The receiver did not answer at all; the message says why."""


def check_url(app: App, url: str, field: str) -> None:
    """Raise InvalidRequest for a URL that nothing can be sent to. Where its name leads is looked at
    when something is."""
    if len(url) > MAX_URL:
        raise InvalidRequest(f"The URL has more than {MAX_URL} characters.", param=field)
    target = fetch.check_url(url, field, allow_private=app.settings.allow_private_urls)
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        return
    if not app.settings.allow_private_urls:
        fetch.check_addresses([target.host], field)


def notice_of(subject: Record | Batch, now: datetime) -> Notice | None:
    """The notice of the end of a request or a batch, due at once; None where nobody wants it."""
    if subject.webhook_url is None:
        return None
    kind = "request" if isinstance(subject, Record) else "batch"
    event = f"{kind}.{subject.status}"
    digest = hashlib.sha256(f"{subject.id}\n{event}".encode()).digest()
    return Notice(
        id="msg_" + base64.b32encode(digest).decode().lower()[:26],
        account_id=subject.account_id,
        subject=subject.id,
        type=event,
        url=subject.webhook_url,
        state="due",
        created_at=now,
        due_at=now,
        traceparent=subject.traceparent,
    )


async def tell(app: App, subject: Record | Batch) -> None:
    """Deliver the notice that was written with the end of a request or a batch, if it is due."""
    expected = notice_of(subject, app.clock())
    notice = await app.records.notice(expected.id) if expected else None
    if notice is not None:
        await deliver(app, notice)


async def deliver(app: App, notice: Notice) -> Notice:
    """Try to deliver a notice that is due; returns it as it stands then. One that is not due, or
    that somebody else is at, is left alone."""
    claimed = await _claimed(app, notice)
    if claimed is None:
        return notice
    try:
        return await _tried(app, claimed)
    except _Unreachable as error:
        return await _failed(app, claimed, str(error))


async def deliver_due(app: App, limit: int) -> int:
    """Try what is due, oldest first and at most `limit`; returns how many were delivered. Receivers
    do not wait for one another, and one is a host that an account has named: paths and queries
    are made up as easily as they are read."""
    until = app.clock() + BUDGET
    receivers: dict[tuple[str, str], list[Notice]] = {}
    for notice in await app.records.due_notices(app.clock(), limit):
        receivers.setdefault((notice.account_id, _host(notice.url)), []).append(notice)
    gate = asyncio.Semaphore(_TOGETHER)
    tries = (_to_one(app, due, gate, until) for due in receivers.values())
    return sum(await asyncio.gather(*tries))


async def replay(app: App, notice_id: str) -> Notice | None:
    """Make a notice due at once, with all its tries, whatever became of it; None if there is none
    of that id, or it ended too long ago. Raises Stale when it is being delivered right now."""
    notice = await app.records.notice(notice_id, app.clock())
    if notice is None:
        return None
    again = replace(notice, state="due", due_at=app.clock(), tries=0, failure=None)
    return await app.records.update_notice(again)


async def _to_one(app: App, due: Sequence[Notice], gate: asyncio.Semaphore, until: datetime) -> int:
    """Deliver one receiver's notices one by one, while there is time to begin one; once it cannot
    be reached, all that are left have failed with that one, so that they hold up nobody's."""
    delivered, unreachable = 0, ""
    async with gate:
        for notice in due:
            if app.clock() >= until:
                break
            with log.about(notice.subject, notice.traceparent):
                try:
                    delivered += await _arrived(app, notice, unreachable)
                except _Unreachable as error:
                    unreachable = str(error)
                except Exception as error:
                    log.crash("webhook.crashed", error)
    return delivered


async def _arrived(app: App, notice: Notice, unreachable: str) -> bool:
    """Try one, unless its receiver is known to be unreachable; whether it was delivered. Raises
    _Unreachable."""
    claimed = await _claimed(app, notice)
    if claimed is None:
        return False
    if unreachable:
        await _failed(app, claimed, unreachable)
        return False
    try:
        return (await _tried(app, claimed)).state == "delivered"
    except _Unreachable as error:
        await _failed(app, claimed, str(error))
        raise


async def _claimed(app: App, notice: Notice) -> Notice | None:
    """The notice, its next try counted and nobody else's for a while; None if it is not ours."""
    now = app.clock()
    if notice.state != "due" or notice.due_at > now:
        return None
    tries = notice.tries + 1
    try:
        return await app.records.update_notice(
            replace(notice, tries=tries, due_at=now + max(_delay(tries), LEASE))
        )
    except Stale:
        return None


async def _tried(app: App, notice: Notice) -> Notice:
    """The notice after a try that was answered. Raises _Unreachable for one that was not."""
    try:
        body = await _body(app, notice)
    except Exception as error:
        # Of this notice alone: it says nothing of its receiver.
        log.crash("webhook.crashed", error)
        return await _failed(app, notice, _BROKEN)
    if body is None:
        return await _ended(app, notice, "dead", _DELETED)
    sent_at = int(app.clock().timestamp())
    secret = app.links.webhook_secret(notice.account_id)
    headers = {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": signatures.sign(secret, notice.id, sent_at, body),
        **trace.headers(notice.subject),
    }
    try:
        status = await app.fetcher.post(notice.url, "webhook_url", body, headers)
    except InvalidRequest as error:
        raise _Unreachable(error.message) from error
    except Exception as error:
        log.crash("webhook.crashed", error)
        raise _Unreachable(_BROKEN) from error
    if 200 <= status < 300:
        return await _ended(app, notice, "delivered", None)
    failure = f"The receiver answered {status}."
    if status == 410:
        return await _ended(app, notice, "dead", failure)
    return await _failed(app, notice, failure)


async def _body(app: App, notice: Notice) -> bytes | None:
    """The JSON to be sent; None if its subject is gone."""
    shown: view.RequestView | batch_view.BatchView
    if notice.type.startswith("request."):
        record = await app.records.request(notice.account_id, notice.subject)
        if record is None:
            return None
        shown = view.of_request(record, app.links, app.clock())
    else:
        batch = await app.records.batch(notice.account_id, notice.subject)
        if batch is None:
            return None
        shown = batch_view.of_batch(batch)
    told = NoticeView(type=notice.type, timestamp=notice.created_at, data=shown)
    return told.model_dump_json().encode()


async def _failed(app: App, notice: Notice, failure: str) -> Notice:
    """Put down that a try failed: there is another after a while, or it was the last."""
    if notice.tries > len(DELAYS_S):
        return await _ended(app, notice, "dead", failure)
    log.event("webhook.failed", notice=notice.id, tries=notice.tries, cause=failure)
    again_at = app.clock() + _delay(notice.tries)
    return await _updated(app, replace(notice, due_at=again_at, failure=failure))


async def _ended(
    app: App, notice: Notice, state: Literal["delivered", "dead"], failure: str | None
) -> Notice:
    log.event(f"webhook.{state}", notice=notice.id, tries=notice.tries, cause=failure)
    return await _updated(app, replace(notice, state=state, failure=failure))


async def _updated(app: App, notice: Notice) -> Notice:
    try:
        return await app.records.update_notice(notice)
    except Stale:
        # It took longer than its lease, or was replayed meanwhile: the other try counts.
        return notice


def _host(url: str) -> str:
    """The host as it goes over the wire; the whole of a URL that has none."""
    try:
        return httpx.URL(url).raw_host.decode("ascii").rstrip(".") or url
    except (httpx.InvalidURL, ValueError):
        return url


def _delay(tries: int) -> timedelta:
    """How long to wait after that many tries."""
    return timedelta(seconds=DELAYS_S[min(tries, len(DELAYS_S)) - 1])
