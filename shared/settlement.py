"""End a hold: settle it for the pictures delivered, or release it with the reason."""

from __future__ import annotations

from dataclasses import replace

from shared import ledger, log, metrics, names, pricing, webhooks
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import Basis, Image, Picture, Problem, Record
from shared.errors import ContentBlocked, DarkroomError, NoImage, ProviderError, problem_of
from shared.events import Event
from shared.records import HoldEnded
from shared.results import Result


class NotSettled(Exception):
    """The end of a delivered request could not be written. Its pictures are safe and its record
    still runs, so the sweep will settle it; `record` is as it will be."""

    def __init__(self, record: Record) -> None:
        super().__init__(record.id)
        self.record = record


async def settle(
    app: App, record: Record, route_key: str, images: tuple[Image, ...], result: Result | None
) -> Record:
    """Charge what was delivered and free the rest of the hold. `result` is None when the pictures
    were found by `sweep` and nothing more is known of the call. Raises HoldEnded, NotSettled."""
    route = app.catalogue.route(route_key)
    provider, model = route.provider, route.model
    charged = _charge(record, route, len(images), result)
    ended = replace(
        record,
        status="succeeded",
        provider=provider,
        model=model,
        images=images,
        charged_micros=charged,
        basis=_basis(record, route, result),
        credits=pricing.credits_of(charged, route, app.catalogue.providers[provider]),
        error=shortfall(record.n, provider, len(images), result.error if result else None),
        # Too few pictures are nobody's to have again.
        cache_key=record.cache_key if len(images) >= record.n else None,
        completed_at=app.clock(),
        text=result.text if result else record.text,
        usage=replace(result.usage, images=len(images)) if result else record.usage,
        attempts=result.attempts if result else record.attempts,
    )
    try:
        ended = await _finished(app, ended)
    except HoldEnded:
        raise
    except Exception as error:
        raise NotSettled(ended) from error
    metrics.request_ended(ended)
    return ended


async def settle_from_cache(app: App, record: Record, earlier: Record) -> Record:
    """Deliver an earlier request's pictures, for nothing."""
    ended = replace(
        record,
        status="succeeded",
        provider=earlier.provider,
        model=earlier.model,
        images=earlier.images,
        text=earlier.text,
        basis="cache",
        cache_key=None,
        completed_at=app.clock(),
    )
    ended = await _finished(app, ended)
    metrics.request_ended(ended)
    return ended


async def release(
    app: App, record: Record, error: DarkroomError, result: Result | None = None
) -> Record:
    """Free the whole hold and keep the reason."""
    ended = replace(
        record,
        status="failed",
        provider=error.provider,
        error=problem_of(error),
        attempts=result.attempts if result else record.attempts,
        usage=error.usage or record.usage,
        completed_at=app.clock(),
    )
    ended = await _finished(app, ended)
    metrics.request_ended(ended, error.private)
    return ended


async def cancel(app: App, record: Record) -> Record:
    """Free the whole hold of a request that its caller wants no more."""
    ended = await _finished(
        app, replace(record, status="cancelled", cache_key=None, completed_at=app.clock())
    )
    metrics.request_ended(ended)
    return ended


async def _finished(app: App, ended: Record) -> Record:
    """Write the end, and have its webhook sent if there is one to send."""
    notice = webhooks.notice_of(ended, app.clock())
    posting = ledger.post(ended.hold, ended.charged_micros)
    ended = await app.records.finish(ended, posting, notice)
    if notice is not None:
        await app.announce(Event("requests", ended.account_id, ended.id))
    return ended


def _charge(record: Record, route: Route, delivered: int, result: Result | None) -> int:
    """What the delivered pictures cost, at most what is held for them."""
    if result is not None and not record.sandbox:
        return charge_of(result, delivered, record.n, record.hold.micros)
    delivered = min(delivered, record.n)
    asked = record.quote.unit_micros[route.key] * delivered
    return _within(asked, record.hold.micros * delivered // record.n, route)


def charge_of(result: Result, delivered: int, n: int, held_micros: int) -> int:
    """What so many of `n` pictures cost that a result brought, at most what is held for them.
    Those beyond the ones asked for are a gift of the provider's."""
    delivered = min(delivered, n)
    asked = result.charge_micros * delivered // result.usage.images
    return _within(asked, held_micros * delivered // n, result.route)


def _within(asked: int, held: int, route: Route) -> int:
    if asked > held:
        log.event(
            "request.held_too_little",
            severity="WARNING",
            route=route.key,
            micros=asked,
            held_micros=held,
        )
    return min(asked, held)


def _basis(record: Record, route: Route, result: Result | None) -> Basis:
    if result is not None and result.free:
        return "free"
    measured = result is not None and not record.sandbox and pricing.metered(route)
    return "usage" if measured else "row"


def image_of(request_id: str, n: int, picture: Picture) -> Image:
    """How a stored picture is written down."""
    return Image(
        id=names.image_id(request_id, n),
        name=f"{names.pictures(request_id)}{n}",
        content_type=picture.content_type,
        width=picture.width,
        height=picture.height,
        bytes=len(picture.data),
        sha256=picture.sha256,
    )


def shortfall(n: int, provider: str, got: int, why: DarkroomError | None) -> Problem | None:
    """Why there are fewer pictures than the `n` asked for."""
    if got >= n:
        return None
    why = why or ProviderError("The rest could not be used.")
    filtered = isinstance(why, ContentBlocked | NoImage)
    rest = "The provider withheld the rest" if filtered else "The rest failed"
    return Problem(
        code="partially_blocked" if filtered else why.code,
        message=f"{got} of {n} pictures were made. {rest}; only these are charged.",
        provider=provider,
        details={"reason": why.message},
    )
