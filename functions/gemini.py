"""`/gemini`: Google's Gemini API, answered by any model of the catalogue, for whoever speaks it and
changes only the address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from functions import gemini_http, http, streaming, surface
from functions.gemini_http import STREAM, root, show
from shared import apart, body, deferred
from shared.app import new_id
from shared.batch_domain import Batch
from shared.batch_items import BatchAsk
from shared.catalogue.rows import Model
from shared.domain import Caller, Delivery, ImageRequest, Json
from shared.errors import (
    ContentBlocked,
    DarkroomError,
    InvalidRequest,
    NotFound,
)
from shared.generate import Admitted, Ask, admit
from shared.surfaces import (
    gemini_answer,
    gemini_batches,
    gemini_errors,
    gemini_files,
    gemini_generate,
    gemini_models,
    gemini_operations,
    gemini_predict,
    gemini_tokens,
)
from shared.surfaces.gemini_errors import Place
from shared.surfaces.gemini_messages import CountTokensRequest
from shared.surfaces.gemini_turns import Conversation, Signer
from shared.surfaces.google_json import Refusal, page, page_of, validated
from shared.work import Answer

if TYPE_CHECKING:
    from shared import google_batches, google_files
else:
    # No picture needs them.
    google_batches = deferred.module("shared.google_batches")
    google_files = deferred.module("shared.google_files")

NAME = "gemini"
_DELIVERIES: tuple[Delivery, ...] = ("b64_json", "url")
_ATTACHED = {"content-disposition": "attachment"}
_PICTURE_HEADERS = {
    "cache-control": "private, max-age=86400, immutable",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class _Call:
    """A call understood: who asks what, from which body, and what of that was passed over."""

    request: Request
    caller: Caller
    place: Place
    asked: ImageRequest
    fields: Mapping[str, Any] = field(repr=False)
    ignored: tuple[str, ...]


async def list_models(request: Request) -> Response:
    """The models this key can reach."""
    caller, app = await gemini_http.caller(request), http.app()
    open_to = app.transport.open_to(test=caller.test)
    models = gemini_models.reachable(app.catalogue, open_to, app.today())
    rows: list[Json] = [gemini_models.resource(model) for model in models]
    return show(page(request.query_params, "models", rows, default=50, most=1000))


async def show_model(request: Request) -> Response:
    """One of them, by id or alias."""
    caller, app, place = await gemini_http.caller(request), http.app(), gemini_http.place(request)
    open_to = app.transport.open_to(test=caller.test)
    model = app.catalogue.resolve(place.model, app.today())
    if place.verb or model not in gemini_models.reachable(app.catalogue, open_to, app.today()):
        raise gemini_errors.unknown_model(place)
    return show(gemini_models.resource(model))


async def call_model(request: Request) -> Response:
    """A method of a model, which follows its name and a colon."""
    caller, place = await gemini_http.caller(request), gemini_http.place(request)
    method = _METHODS.get(place.verb)
    if method is None:
        raise gemini_errors.unknown_model(place)
    return await method(request, caller, place)


async def _generate(request: Request, caller: Caller, place: Place) -> Response:
    """A conversation → pictures, or what the model says instead; whole or as a stream."""
    app, delivery = http.app(), surface.delivery(request, _DELIVERIES)
    fields, model = await gemini_http.fields(request), surface.model(place.model)
    signer = Signer(app.links, caller.account_id)
    call = await apart.run(
        http.little(request), gemini_generate.read, fields, place.version, place.model, signer
    )
    continued = await _continued(caller, call.said, model)
    wanted = gemini_generate.wanted(call, model, place.model, delivery, continued=continued)
    rendering = gemini_answer.Rendering(signer, root(), place.version, words=wanted.words)
    events = request.query_params.get("alt") == "sse"
    stream = gemini_answer.Stream(rendering, place, events) if place.verb == STREAM else None
    headers = dict(_ATTACHED) if stream and events else {}
    try:
        understood = _Call(request, caller, place, wanted.request, fields, wanted.ignored)
        admitted, ignored = await _admitted(understood)
    except ContentBlocked as error:
        http.note(error)
        reply = gemini_answer.not_begun(model.id if model else place.model, new_id(), error)
        if stream is None:
            return show(reply.body(), surface.passed_over(wanted.ignored))
        whole = b"".join(stream.whole(reply))
        return Response(whole, headers=headers, media_type=stream.media_type)
    headers |= surface.headers(admitted.record, ignored, replayed=admitted.replayed)
    try:
        if stream is not None:
            return await streaming.stream(admitted, None, stream, delivery, headers)
        answer = await _ended(admitted)
    except DarkroomError as error:
        return gemini_http.failed(request, error, headers)
    pictures = await http.shown(answer, delivery)
    shown = rendering.of(answer.record, pictures, answer.error).body()
    return show(shown, surface.headers(answer.record, ignored, replayed=answer.replayed))


async def _predict(request: Request, caller: Caller, place: Place) -> Response:
    """A prompt → predictions."""
    delivery, fields = surface.delivery(request, _DELIVERIES), await gemini_http.fields(request)
    model, version = surface.model(place.model), place.version
    wanted = await asyncio.to_thread(
        gemini_predict.wanted, fields, model, place.model, delivery, version
    )
    files = f"{root()}/{version}/files"
    call = _Call(request, caller, place, wanted.request, fields, wanted.ignored)
    try:
        admitted, ignored = await _admitted(call)
    except ContentBlocked as error:
        http.note(error)
        shown = gemini_predict.body((), error.message, files, reasons=wanted.reasons)
        return show(shown, surface.passed_over(wanted.ignored))
    try:
        answer = await _ended(admitted)
    except DarkroomError as error:
        headers = surface.headers(admitted.record, ignored, replayed=admitted.replayed)
        return gemini_http.failed(request, error, headers)
    pictures = await http.shown(answer, delivery)
    filtered = gemini_predict.filtered(answer.record, answer.error)
    shown = gemini_predict.body(pictures, filtered, files, reasons=wanted.reasons)
    return show(shown, surface.headers(answer.record, ignored, replayed=answer.replayed))


async def _count_tokens(request: Request, _: Caller, place: Place) -> Response:
    """What contents come to, by a rule of thumb."""
    model = surface.model(place.model)
    if model is None:
        raise Refusal(400, f"Models count tokens differently: name one instead of {place.model}.")
    fields = await gemini_http.fields(request)
    message = await asyncio.to_thread(validated, CountTokensRequest, fields, place.version)
    contents = gemini_tokens.contents_of(message)
    return show(gemini_tokens.counted(contents, model.source_tokens))


async def _create_batch(request: Request, caller: Caller, place: Place) -> Response:
    """Many conversations, in the body or in a file → an operation."""
    app, signer = http.app(), Signer(http.app().links, caller.account_id)
    fields, model = await gemini_http.fields(request), surface.model(place.model)
    asked = await asyncio.to_thread(gemini_batches.created, fields, place.version, place.model)
    reading = gemini_batches.Reading(model, place.model, place.version, signer)
    lines = gemini_batches.Lines(asked, reading)

    async def goes_on(earlier: str) -> bool:
        return await surface.goes_on(caller, earlier, model)

    source = await google_batches.source(app, caller.account_id, asked, lines, goes_on)
    said, webhook = {"model": place.model, "body": fields}, asked.webhook_config
    ask = BatchAsk(
        caller=caller,
        source=source,
        parse=lines.parse,
        fingerprint=await asyncio.to_thread(body.fingerprint, NAME, said, body.Files()),
        model=place.model,
        webhook_url=next(iter(webhook.uris), None),
        metadata=webhook.user_metadata,
        idempotency_key=http.idempotency_key(request),
        surface=NAME,
        wire=lines.wire,
    )
    batch = await google_batches.create(app, ask, place)
    ignored = surface.passed_over(lines.ignored)
    return show(gemini_operations.operation(batch, None), ignored)


_METHODS: Mapping[str, Callable[[Request, Caller, Place], Awaitable[Response]]] = {
    "generateContent": _generate,
    STREAM: _generate,
    "predict": _predict,
    "countTokens": _count_tokens,
    "batchGenerateContent": _create_batch,
}


async def list_batches(request: Request) -> Response:
    """The account's batches, newest first."""
    caller = await gemini_http.caller(request)
    page = page_of(request.query_params, default=50, most=100)
    return show(await google_batches.listed(http.app(), caller.account_id, page))


async def show_batch(request: Request) -> Response:
    """A batch; once it has ended, with its answers or their file."""
    caller, batch = await _batch(request, "")
    pieces = await _answers(request, caller, batch).operation()
    return StreamingResponse(pieces, media_type="application/json; charset=UTF-8")


async def cancel_batch(request: Request) -> Response:
    """Begin nothing of it any more."""
    _, batch = await _batch(request, "cancel")
    await google_batches.cancel(http.app(), batch)
    return show({})


async def delete_batch(request: Request) -> Response:
    """Forget a batch that has ended."""
    _, batch = await _batch(request, "")
    await google_batches.delete(http.app(), batch)
    return show({})


async def upload_file(request: Request) -> Response:
    """One step of a resumable upload. The address of one that was begun carries the right to it:
    no key comes with the bytes."""
    app, place = http.app(), gemini_http.place(request)
    token = request.query_params.get("upload_id")
    if token is not None:
        body_of = partial(gemini_http.body, request)
        step = await google_files.step(app, token, request.headers, body_of)
        if step.file is None:
            return Response(headers=step.headers, media_type="text/plain")
        file = gemini_files.uploaded(step.file, root(), place.version)
        return show({"file": file}, step.headers)
    caller = await gemini_http.caller(request)
    text = await gemini_http.body(request, google_files.MAX_START_BYTES)
    begun = await google_files.begin(app, caller.account_id, place.version, request.headers, text)
    query = urlencode({"upload_id": begun, "upload_protocol": "resumable"})
    url = f"{root()}/upload/{place.version}/files?{query}"
    headers = {**google_files.Step("active").headers, "x-goog-upload-url": url}
    return Response(headers=headers, media_type="text/plain")


async def list_files(request: Request) -> Response:
    """The account's uploaded files."""
    caller, version = await gemini_http.caller(request), gemini_http.place(request).version
    page = page_of(request.query_params, default=10, most=100)
    return show(await google_files.listed(http.app(), caller.account_id, root(), version, page))


async def show_file(request: Request) -> Response:
    """A file; after a colon, its bytes."""
    caller, place = await gemini_http.caller(request), gemini_http.place(request)
    if place.verb:
        return await download_file(request)
    account_id = caller.account_id
    file = await google_files.shown(http.app(), account_id, place.model, root(), place.version)
    return show(file)


async def download_file(request: Request) -> Response:
    """The bytes of a picture that was made here, or the answers of a batch."""
    caller, place = await gemini_http.caller(request), gemini_http.place(request)
    if place.verb != "download":
        raise gemini_errors.unknown_path()
    batch = await google_batches.behind(http.app(), caller.account_id, place.model)
    if batch is not None:
        lines = _answers(request, caller, batch).lines()
        return StreamingResponse(lines, headers=_ATTACHED, media_type=gemini_files.JSONL)
    blob = await google_files.fetched(http.app(), caller.account_id, place.model)
    return Response(blob.data, media_type=blob.content_type, headers=_PICTURE_HEADERS)


async def delete_file(request: Request) -> Response:
    """Forget an uploaded file."""
    caller, place = await gemini_http.caller(request), gemini_http.place(request)
    if place.verb:
        raise gemini_errors.unknown_path()
    await google_files.forget(http.app(), caller.account_id, place.model)
    return show({})


async def _batch(request: Request, verb: str) -> tuple[Caller, Batch]:
    """The caller, and the batch that the path names. Raises Refusal."""
    caller, place = await gemini_http.caller(request), gemini_http.place(request)
    if place.verb != verb:
        raise gemini_errors.unknown_path()
    return caller, await google_batches.find(http.app(), caller.account_id, place.model)


def _answers(request: Request, caller: Caller, batch: Batch) -> google_batches.Answers:
    app, version = http.app(), gemini_http.place(request).version
    signer, words = Signer(app.links, caller.account_id), bool(batch.wire.get("words", True))
    rendering = gemini_answer.Rendering(signer, root(), version, words)
    delivery = surface.delivery(request, _DELIVERIES)
    return google_batches.Answers(app, batch, rendering, delivery)


async def _admitted(call: _Call) -> tuple[Admitted, tuple[str, ...]]:
    """Let the request in; also, what of it is passed over. Raises Refusal in Google's words for a
    value or a file."""
    said = {"model": call.place.model, "body": call.fields}
    fingerprint = await asyncio.to_thread(body.fingerprint, NAME, said, body.Files())
    asked = replace(call.asked, timeout_s=gemini_http.timeout_s(call.request, call.asked.timeout_s))
    ask = Ask(
        call.caller,
        asked,
        fingerprint,
        http.idempotency_key(call.request),
        NAME,
        repeated=surface.repeated(call.request),
    )
    # Google's SDKs do not say that they send something again.
    ask = replace(ask, repeated=ask.repeated or http.app().tries.late(ask.sent))
    try:
        admitted = await admit(http.app(), ask)
    except (InvalidRequest, NotFound) as error:
        raise gemini_errors.of_request(error, asked, call.place) from error
    return admitted, (*call.ignored, *(("contents",) if admitted.trimmed else ()))


async def _ended(admitted: Admitted) -> Answer:
    """The end of a request. Raises the error it came to, where that is one to Google."""
    answer = await admitted.end()
    if answer.error is not None and not gemini_answer.is_answer(answer.error):
        raise answer.error
    return answer


async def _continued(caller: Caller, said: Conversation, model: Model | None) -> bool:
    """Whether the request that made the last picture can be gone on from."""
    last = said.last
    if last is None or last.number != 0:
        return False
    return await surface.goes_on(caller, last.request_id, model)


APP = http.routes(
    NAME,
    [
        (method, path, gemini_http.spoken(handler))
        for method, path, handler in (
            ("GET", "/{version}/models", list_models),
            ("GET", "/{version}/models/{name}", show_model),
            ("POST", "/{version}/models/{name}", call_model),
            ("POST", "/upload/{version}/files", upload_file),
            ("PUT", "/upload/{version}/files", upload_file),
            ("GET", "/{version}/files", list_files),
            ("GET", "/{version}/files/{name:path}", show_file),
            ("DELETE", "/{version}/files/{name}", delete_file),
            ("GET", "/download/{version}/files/{name}", download_file),
            ("GET", "/{version}/batches", list_batches),
            ("GET", "/{version}/batches/{name}", show_batch),
            ("POST", "/{version}/batches/{name}", cancel_batch),
            ("DELETE", "/{version}/batches/{name}", delete_batch),
        )
    ],
    gemini_http.refused,
)


@functions_framework.aio.http
async def gemini(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
