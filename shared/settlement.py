"""End a hold: settle it for the pictures delivered, or release it with the reason."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from shared import ledger, log
from shared.app import App
from shared.domain import Image, Picture, Problem, Record
from shared.errors import HTTP_STATUS, ContentBlocked, DarkroomError, NoImage, ProviderError
from shared.ledger import Posting
from shared.records import HoldEnded
from shared.transport import Result


async def settle(
    app: App, record: Record, route_key: str, images: tuple[Image, ...], result: Result | None
) -> Record:
    """Charge what was delivered and free the rest of the hold. `result` is None when the pictures
    were found by `sweep` and nothing more is known of the call."""
    provider, model = route_key.split(":", 1)
    charged = min(record.quote.unit_micros[route_key] * len(images), record.hold.micros)
    ended = replace(
        record,
        status="succeeded",
        provider=provider,
        model=model,
        images=images,
        charged_micros=charged,
        completed_at=app.clock(),
    )
    if result is not None:
        ended = replace(
            ended,
            text=result.text,
            usage=replace(result.usage, images=len(images)),
            attempts=result.attempts,
            error=_shortfall(result, wanted=record.n, got=len(images)),
        )
    ended = await _finished(app, ended, ledger.post(record.hold, charged))
    log.event(
        "request.succeeded",
        model=model,
        provider=provider,
        images=len(images),
        charged_micros=charged,
        sandbox=record.sandbox,
    )
    return ended


async def _finished(app: App, ended: Record, posting: Posting) -> Record:
    """Write the end of a delivered request. When that fails the pictures are safe and the record
    still runs, so the sweep will find them and settle: the caller gets them all the same."""
    try:
        return await app.records.finish(ended, posting)
    except HoldEnded:
        raise
    except Exception as error:
        log.crash("request.not_settled", error)
        return ended


async def release(
    app: App, record: Record, error: DarkroomError, result: Result | None = None
) -> Record:
    """Free the whole hold and keep the reason."""
    ended = replace(
        record,
        status="failed",
        provider=error.provider,
        error=_problem(error),
        attempts=result.attempts if result else (),
        completed_at=app.clock(),
    )
    ended = await app.records.finish(ended, ledger.post(record.hold, 0))
    log.event(
        "request.failed",
        severity="WARNING",
        model=record.model,
        provider=error.provider,
        code=error.code,
        private=error.private,
        sandbox=record.sandbox,
    )
    return ended


def image_of(request_id: str, n: int, picture: Picture) -> Image:
    """How a stored picture is written down."""
    return Image(
        id=f"img_{request_id.removeprefix('req_')}_{n}",
        name=f"images/{request_id}/{n}",
        content_type=picture.content_type,
        width=picture.width,
        height=picture.height,
        bytes=len(picture.data),
        sha256=hashlib.sha256(picture.data).hexdigest(),
    )


def _problem(error: DarkroomError) -> Problem:
    return Problem(
        code=error.code,
        message=error.message,
        param=error.param,
        provider=error.provider,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        details={k: v for k, v in error.details.items() if k != HTTP_STATUS},
    )


def _shortfall(result: Result, wanted: int, got: int) -> Problem | None:
    """Why there are fewer pictures than asked for."""
    if got >= wanted:
        return None
    why = result.error or ProviderError("The rest could not be used.")
    filtered = isinstance(why, ContentBlocked | NoImage)
    return Problem(
        code="partially_blocked" if filtered else why.code,
        message=f"{got} of {wanted} pictures were made. {why.message}",
        provider=result.route.provider,
    )
