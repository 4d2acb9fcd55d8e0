"""The pipeline, read top to bottom: who asks, what for, by which routes, at what price; hold the
money, make the pictures, store them, settle. Every function that makes pictures runs it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared import (
    admission,
    apart,
    cache,
    ledger,
    log,
    pricing,
    queued,
    repeats,
    routing,
    sources,
    trace,
    webhooks,
    work,
)
from shared.app import App
from shared.catalogue.rows import Route
from shared.domain import (
    Caller,
    Hold,
    ImageRequest,
    Json,
    Quote,
    Record,
)
from shared.errors import (
    IdempotencyConflict,
    InProgress,
    Internal,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
)
from shared.exchange import Errand
from shared.ledger import Standing
from shared.providers import Inline
from shared.settlement import settle_from_cache
from shared.work import Answer


@dataclass(frozen=True)
class Ask:
    """What an entry point read: the request, the SHA-256 of its body, whom to answer and in whose
    shapes. `repeated` is whether its client says that it sends this again, and `sketches` takes
    the partial pictures that come on the way, for who listens. One that is `deferred` is not waited
    for: it is put into the queue."""

    caller: Caller
    request: ImageRequest
    fingerprint: str
    idempotency_key: str | None = None
    surface: str = "native"
    repeated: bool = False
    sketches: asyncio.Queue[Inline] | None = None
    deferred: bool = False

    @property
    def sent(self) -> repeats.Sent:
        """By what it is known when it is sent again."""
        return self.caller.key_id, self.fingerprint


@dataclass(frozen=True)
class Admitted:
    """A request let in, or found again (`replayed`): its record and its account as they stood, and
    the end of its work. `deadline` is on the loop's clock; `trimmed` says that fewer turns of its
    conversation count than were asked for."""

    app: App = field(repr=False)
    ask: Ask
    record: Record
    standing: Standing
    ending: asyncio.Future[Answer] = field(repr=False)
    deadline: float
    replayed: bool = False
    trimmed: bool = False

    async def end(self) -> Answer:
        """The end of the work, or OutcomeUnknown when the caller's time is up first: the work goes
        on, as it does when the caller hangs up."""
        try:
            async with asyncio.timeout_at(self.deadline):
                return await asyncio.shield(self.ending)
        except TimeoutError as error:
            late = OutcomeUnknown(
                "The picture is not finished within timeout_s. The request goes on: look for it at "
                f"/account/requests/{self.record.id}.",
            )
            late.request_id = self.record.id
            self.app.tries.told_late(self.ask.sent)
            raise late from error


async def run(app: App, ask: Ask) -> Answer:
    """Run one request to its end. A failure after admission is a failed record, not an exception;
    one before it raises and leaves nothing behind."""
    return await (await admit(app, ask)).end()


async def admit(app: App, ask: Ask) -> Admitted:
    """Let a request in and begin its work; what cannot be let in is raised, and leaves nothing
    behind."""
    deadline = asyncio.get_running_loop().time() + ask.request.timeout_s
    request_id = request_id_of(app, ask)
    if ask.deferred and ask.request.delivery == "b64_json":
        raise InvalidRequest(
            "A request that nobody waits for is answered with links: leave delivery out.",
            param="delivery",
        )
    if ask.request.webhook_url is not None:
        webhooks.check_url(app, ask.request.webhook_url, "webhook_url")
    if ask.repeated and ask.idempotency_key is None:
        operation = ask.request.operation
        first = await repeats.find(app, ask.caller, ask.fingerprint, operation)
        request_id = first.id if first else request_id
    log.request_id.set(request_id)
    with app.tries.entering(ask.sent, request_id, app.clock()):
        return await _admit(app, ask, request_id, deadline)


async def _admit(app: App, ask: Ask, request_id: str, deadline: float) -> Admitted:
    caller = ask.caller
    standing = await app.records.look(caller.account_id, request_id)
    if standing.request is not None:
        return _found_again(app, ask, standing.request, standing, deadline)
    open_to = app.transport.open_to(test=caller.test)
    routes = routing.plan(ask.request, app.catalogue, open_to, app.today()).routes
    if not caller.test:
        credit = standing.spendable_micros(app.clock())
        routes = pricing.affordable(ask.request, routes, app.catalogue, credit)
    quote = pricing.quote(ask.request, routes, app.catalogue, test=caller.test)
    # Who could not be admitted anyway is told before anything is fetched or opened for them.
    fetches = any(ref.url for ref in ask.request.refs)
    least = quote.micros if fetches or not ask.request.cache else 0
    ledger.reserve(standing, least, app.clock(), app.random)
    await apart.run(app.blocklist.empty, app.blocklist.check, ask.request)
    request = await _loaded(app, ask, deadline)
    if request.sources or request.turns:
        # What a picture's shape is taken from is at hand now.
        quote = pricing.quote(request, routes, app.catalogue, test=caller.test)
    bare = not (request.sources or request.mask)
    key = await apart.run(bare, cache.key, request, routes[0], caller)
    draft = _draft(app, ask, request_id, (routes, quote, key))
    doors = request.providers or tuple(app.catalogue.providers)
    earlier = await cache.find(app, draft, doors) if request.cache else None
    if earlier is not None:
        draft = replace(draft, quote=Quote({f"{earlier.provider}:{earlier.model}": 0}, 0, 0))
    try:
        record = await app.admission.reserve(standing, draft)
    except admission.Taken as taken:
        return _found_again(app, ask, taken.record, standing, deadline)
    if earlier is not None:
        ending = _done(Answer(await settle_from_cache(app, record, earlier)))
    elif ask.deferred:
        ending = _done(await _enqueued(app, record, request))
    else:
        errand = Errand(record.id, record.sandbox, deadline, ask.sketches)
        ending = app.spawn(record.id, work.finish(app, record, request, routes, errand))
    trimmed = len(request.turns) < (request.max_turns or 0)
    return Admitted(app, ask, record, standing, ending, deadline, trimmed=trimmed)


async def _enqueued(app: App, record: Record, request: ImageRequest) -> Answer:
    """What could not be kept for later has failed now, and holds nothing."""
    try:
        await queued.enqueue(app, record, request)
    except Exception as error:
        log.crash("request.not_queued", error)
        return await work.fail(app, record, Internal("Something broke here. Nothing was charged."))
    return Answer(record)


async def _loaded(app: App, ask: Ask, deadline: float) -> ImageRequest:
    """The request with its images at hand, within the caller's time."""
    asked = ask.request
    if not (asked.refs or asked.mask_ref or asked.previous_request_id):
        return asked
    try:
        async with asyncio.timeout_at(deadline):
            return await sources.load(asked, app.loader(ask.caller))
    except TimeoutError as error:
        raise InvalidRequest(
            "The images could not be loaded within timeout_s. Nothing was begun.",
            param="timeout_s",
        ) from error


def request_id_of(app: App, ask: Ask) -> str:
    """Derived from the idempotency key where there is one, so that creating the record is the
    check; test and live keys do not share it."""
    if ask.idempotency_key is None:
        return f"req_{app.new_id()}"
    mode = "test" if ask.caller.test else "live"
    text = "\n".join([ask.caller.account_id, mode, ask.idempotency_key])
    digest = hashlib.sha256(text.encode()).digest()
    return "req_" + base64.b32encode(digest).decode().lower()[:26]


def _found_again(
    app: App, ask: Ask, record: Record, standing: Standing, deadline: float
) -> Admitted:
    """The request that was begun under this id before. Who says that this is the same once more
    waits for its answer; who only uses its idempotency key again is told to wait, unless that is
    not what it wants."""
    if record.fingerprint != ask.fingerprint:
        raise IdempotencyConflict("This idempotency key was used before with another body.")
    if record.deleted:
        raise NotFound("The request of this idempotency key has been deleted.")
    if not record.open or ask.deferred:
        ending = _done(Answer(record, replayed=True))
    elif ask.repeated:
        ending = asyncio.create_task(_ended_elsewhere(app, record, deadline))
    else:
        busy = InProgress("This request is still running.", retry_after_s=2.0)
        busy.request_id = record.id
        raise busy
    return Admitted(app, ask, record, standing, ending, deadline, replayed=True)


async def _ended_elsewhere(app: App, record: Record, deadline: float) -> Answer:
    return Answer(await repeats.ended(app, record, deadline), replayed=True)


def _done(answer: Answer) -> asyncio.Future[Answer]:
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future


def _draft(
    app: App, ask: Ask, request_id: str, planned: tuple[tuple[Route, ...], Quote, str]
) -> Record:
    """The record of a request about to be admitted; its hold is still empty."""
    now, request, (routes, quote, cache_key) = app.clock(), ask.request, planned
    longest_s = max(app.catalogue.providers[r.provider].timeout_s for r in routes)
    lease = timedelta(seconds=request.timeout_s + longest_s + work.MARGIN_S)
    return Record(
        id=request_id,
        account_id=ask.caller.account_id,
        key_id=ask.caller.key_id,
        operation=request.operation,
        status="queued" if ask.deferred else "running",
        model=routes[0].model,
        prompt=request.prompt,
        parameters=_parameters(request),
        fingerprint=ask.fingerprint,
        sandbox=ask.caller.test,
        quote=quote,
        hold=Hold(0, (), 0, ""),
        created_at=now,
        lease_until=now + (queued.PATIENCE if ask.deferred else lease),
        n=request.n,
        idempotency_key=ask.idempotency_key,
        cache_key=cache_key,
        previous_request_id=request.previous_request_id,
        surface=ask.surface,
        metadata=request.metadata,
        deferred=ask.deferred,
        webhook_url=request.webhook_url,
        traceparent=trace.current.get(),
    )


def _parameters(request: ImageRequest) -> dict[str, Json]:
    """What was asked beside the prompt, without any bytes."""
    asked: dict[str, Json] = {
        "model": request.model,
        "template": request.template,
        "n": request.n,
        "aspect_ratio": request.aspect_ratio,
        "resolution": request.resolution,
        "seed": request.seed,
        "quality": request.quality,
        "background": request.background,
        "output_format": request.output_format,
        "output_quality": request.output_quality,
        "images": len(request.refs) or None,
        "mask": request.mask_ref is not None or None,
        "options": dict(request.options) or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
