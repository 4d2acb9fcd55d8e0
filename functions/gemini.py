"""`/gemini`: Google's Gemini API, answered by any model of the catalogue, for whoever speaks it and
changes only the address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import functions_framework.aio
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from functions import http, streaming, surface
from shared import body, google_files, log
from shared.app import new_id
from shared.catalogue.rows import Model
from shared.domain import Caller, Delivery, ImageRequest, Json
from shared.errors import (
    ContentBlocked,
    DarkroomError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
)
from shared.generate import Admitted, Ask, admit
from shared.surfaces import (
    gemini_answer,
    gemini_errors,
    gemini_files,
    gemini_generate,
    gemini_models,
    gemini_predict,
    gemini_tokens,
)
from shared.surfaces.gemini_errors import Place
from shared.surfaces.gemini_messages import CountTokensRequest
from shared.surfaces.gemini_turns import Conversation, Signer
from shared.surfaces.google_json import Refusal, page, page_of, validated
from shared.work import Answer

NAME = "gemini"
VERSIONS = ("v1", "v1beta")
_DELIVERIES: tuple[Delivery, ...] = ("b64_json", "url")
_STREAM = "streamGenerateContent"
_BATCH = "batchGenerateContent"
_LONGEST_S = 900.0
"""What a request may wait for at most, however long its SDK would."""
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
    caller, app = await _caller(request), http.app()
    open_to = app.transport.open_to(test=caller.test)
    models = gemini_models.reachable(app.catalogue, open_to, app.today())
    rows: list[Json] = [gemini_models.resource(model) for model in models]
    return _show(page(request.query_params, "models", rows, default=50, most=1000))


async def show_model(request: Request) -> Response:
    """One of them, by id or alias."""
    caller, app, place = await _caller(request), http.app(), _place(request)
    open_to = app.transport.open_to(test=caller.test)
    model = app.catalogue.resolve(place.model, app.today())
    if place.verb or model not in gemini_models.reachable(app.catalogue, open_to, app.today()):
        raise gemini_errors.unknown_model(place)
    return _show(gemini_models.resource(model))


async def call_model(request: Request) -> Response:
    """A method of a model, which follows its name and a colon."""
    caller, place = await _caller(request), _place(request)
    if place.verb == _BATCH:
        raise gemini_errors.unimplemented()
    method = _METHODS.get(place.verb)
    if method is None:
        raise gemini_errors.unknown_model(place)
    return await method(request, caller, place)


async def batches(request: Request) -> Response:
    """There are none yet."""
    await _caller(request)
    raise gemini_errors.unimplemented()


async def _generate(request: Request, caller: Caller, place: Place) -> Response:
    """A conversation → pictures, or what the model says instead; whole or as a stream."""
    app, delivery = http.app(), surface.delivery(request, _DELIVERIES)
    fields, model = await _fields(request), surface.model(place.model)
    signer = Signer(app.links, caller.account_id)
    call = await asyncio.to_thread(gemini_generate.read, fields, place.version, place.model, signer)
    continued = await _continued(caller, call.said, model)
    wanted = gemini_generate.wanted(call, model, place.model, delivery, continued=continued)
    rendering = gemini_answer.Rendering(signer, _root(), place.version, words=wanted.words)
    events = request.query_params.get("alt") == "sse"
    stream = gemini_answer.Stream(rendering, place, events) if place.verb == _STREAM else None
    headers = {"content-disposition": "attachment"} if stream and events else {}
    try:
        understood = _Call(request, caller, place, wanted.request, fields, wanted.ignored)
        admitted, ignored = await _admitted(understood)
    except ContentBlocked as error:
        http.note(error)
        reply = gemini_answer.not_begun(model.id if model else place.model, new_id(), error)
        if stream is None:
            return _show(reply.body(), surface.passed_over(wanted.ignored))
        whole = b"".join(stream.whole(reply))
        return Response(whole, headers=headers, media_type=stream.media_type)
    headers |= surface.headers(admitted.record, ignored, replayed=admitted.replayed)
    try:
        if stream is not None:
            return await streaming.stream(admitted, None, stream, delivery, headers)
        answer = await _ended(admitted)
    except DarkroomError as error:
        return _failed(request, error, headers)
    pictures = await http.shown(answer, delivery)
    shown = rendering.of(answer.record, pictures, answer.error).body()
    return _show(shown, surface.headers(answer.record, ignored, replayed=answer.replayed))


async def _predict(request: Request, caller: Caller, place: Place) -> Response:
    """A prompt → predictions."""
    delivery, fields = surface.delivery(request, _DELIVERIES), await _fields(request)
    model, version = surface.model(place.model), place.version
    wanted = await asyncio.to_thread(
        gemini_predict.wanted, fields, model, place.model, delivery, version
    )
    root = f"{_root()}/{version}/files"
    call = _Call(request, caller, place, wanted.request, fields, wanted.ignored)
    try:
        admitted, ignored = await _admitted(call)
    except ContentBlocked as error:
        http.note(error)
        shown = gemini_predict.body((), error.message, root, reasons=wanted.reasons)
        return _show(shown, surface.passed_over(wanted.ignored))
    try:
        answer = await _ended(admitted)
    except DarkroomError as error:
        headers = surface.headers(admitted.record, ignored, replayed=admitted.replayed)
        return _failed(request, error, headers)
    pictures = await http.shown(answer, delivery)
    filtered = gemini_predict.filtered(answer.record, answer.error)
    shown = gemini_predict.body(pictures, filtered, root, reasons=wanted.reasons)
    return _show(shown, surface.headers(answer.record, ignored, replayed=answer.replayed))


async def _count_tokens(request: Request, _: Caller, place: Place) -> Response:
    """What contents come to, by a rule of thumb."""
    model = surface.model(place.model)
    if model is None:
        raise Refusal(400, f"Models count tokens differently: name one instead of {place.model}.")
    fields = await _fields(request)
    message = await asyncio.to_thread(validated, CountTokensRequest, fields, place.version)
    contents = gemini_tokens.contents_of(message)
    return _show(gemini_tokens.counted(contents, model.source_tokens))


_METHODS: Mapping[str, Callable[[Request, Caller, Place], Awaitable[Response]]] = {
    "generateContent": _generate,
    _STREAM: _generate,
    "predict": _predict,
    "countTokens": _count_tokens,
}


async def upload_file(request: Request) -> Response:
    """One step of a resumable upload. The address of one that was begun carries the right to it:
    no key comes with the bytes."""
    app, place, token = http.app(), _place(request), request.query_params.get("upload_id")
    if token is not None:
        body_of = partial(_body, request)
        step = await google_files.step(app, token, request.headers, body_of)
        if step.file is None:
            return Response(headers=step.headers, media_type="text/plain")
        file = gemini_files.uploaded(step.file, _root(), place.version)
        return _show({"file": file}, step.headers)
    caller, text = await _caller(request), await _body(request, google_files.MAX_START_BYTES)
    begun = await google_files.begin(app, caller.account_id, place.version, request.headers, text)
    query = urlencode({"upload_id": begun, "upload_protocol": "resumable"})
    url = f"{_root()}/upload/{place.version}/files?{query}"
    headers = {**google_files.Step("active").headers, "x-goog-upload-url": url}
    return Response(headers=headers, media_type="text/plain")


async def list_files(request: Request) -> Response:
    """The account's uploaded files."""
    caller, version = await _caller(request), _place(request).version
    page = page_of(request.query_params, default=10, most=100)
    return _show(await google_files.listed(http.app(), caller.account_id, _root(), version, page))


async def show_file(request: Request) -> Response:
    """A file; after a colon, its bytes."""
    caller, place = await _caller(request), _place(request)
    if place.verb:
        return await download_file(request)
    account_id = caller.account_id
    file = await google_files.shown(http.app(), account_id, place.model, _root(), place.version)
    return _show(file)


async def download_file(request: Request) -> Response:
    """The bytes of a picture that was made here."""
    caller, place = await _caller(request), _place(request)
    if place.verb != "download":
        raise gemini_errors.unknown_path()
    blob = await google_files.fetched(http.app(), caller.account_id, place.model)
    return Response(blob.data, media_type=blob.content_type, headers=_PICTURE_HEADERS)


async def delete_file(request: Request) -> Response:
    """Forget an uploaded file."""
    caller, place = await _caller(request), _place(request)
    if place.verb:
        raise gemini_errors.unknown_path()
    await google_files.forget(http.app(), caller.account_id, place.model)
    return _show({})


async def _admitted(call: _Call) -> tuple[Admitted, tuple[str, ...]]:
    """Let the request in; also, what of it is passed over. Raises Refusal in Google's words for a
    value or a file."""
    said = {"model": call.place.model, "body": call.fields}
    fingerprint = await asyncio.to_thread(body.fingerprint, NAME, said, body.Files())
    asked = replace(call.asked, timeout_s=_timeout_s(call.request, call.asked.timeout_s))
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


async def _caller(request: Request) -> Caller:
    """Who sent it, by a key in a header or in the query. Raises Refusal, Unauthenticated."""
    key = (http.key_of(request) or request.query_params.get("key", "")).strip()
    if not key:
        raise gemini_errors.no_key()
    return await http.app().accounts.authenticate(key)


async def _fields(request: Request) -> dict[str, Any]:
    try:
        return await http.fields(request)
    except InvalidRequest as error:
        raise Refusal(400, f"Invalid JSON payload received. {error.message}") from error


async def _body(request: Request, most_bytes: int) -> bytes:
    """The bytes of a file, or those that announce one. Raises PayloadTooLarge."""
    most = min(most_bytes, http.MAX_BODY_BYTES)
    try:
        return await http.body(request, most)
    except PayloadTooLarge as error:
        raise PayloadTooLarge(f"This body has at most {most} bytes.", param="body") from error


def _timeout_s(request: Request, default: float) -> float:
    """How long the SDK waits, where it says so."""
    said = request.headers.get("x-server-timeout", "")
    return min(float(said), _LONGEST_S) if said.isdecimal() and said.strip("0") else default


def _place(request: Request) -> Place:
    """The version, and the model or file and its method, that the path names."""
    # @google/genai 3.1.0 puts a file's whole address for its name, unless that is https.
    last = request.path_params.get("name", "").rpartition("/files/")[2]
    name, _, verb = last.partition(":")
    return Place(request.path_params.get("version", VERSIONS[0]), name, verb)


def _root() -> str:
    return f"{http.app().settings.public_url}/{NAME}"


def _show(shown: Json, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    return Response(to_json(shown), status, headers, "application/json; charset=UTF-8")


def _spoken(handler: http.Handler) -> http.Handler:
    """A handler of the versions there are, with what it refuses in Google's words as its answer."""

    async def speaking(request: Request) -> Response:
        try:
            if _place(request).version not in VERSIONS:
                raise gemini_errors.unknown_path()
            return await handler(request)
        except Refusal as refusal:
            if isinstance(refusal.__cause__, DarkroomError):
                http.note(refusal.__cause__)
            else:
                log.event("request.refused", code=refusal.status)
            return _problem(request, refusal, {})

    return speaking


def _refused(request: Request, error: DarkroomError) -> Response:
    """The answer to what was not let in."""
    return _failed(request, error, {"x-request-id": error.request_id or f"req_{new_id()}"})


def _failed(request: Request, error: DarkroomError, headers: Mapping[str, str]) -> Response:
    """An error of ours as Google puts it."""
    http.note(error)
    sent = {**headers, **http.wait(error.retry_after_s)}
    return _problem(request, gemini_errors.refusal_of(error, _place(request)), sent)


def _problem(request: Request, refusal: Refusal, headers: Mapping[str, str]) -> Response:
    """An error, in an array where the answer would have been one."""
    place, query, shown = _place(request), request.query_params, refusal.body()
    if "upload_id" in query and refusal.code < 500:
        # Without it the SDKs send the same chunk three times more.
        headers = {**headers, **google_files.Step("cancelled").headers}
    listed = place.verb == _STREAM and query.get("alt") != "sse"
    return _show([shown] if listed else shown, headers, refusal.code)


APP = http.routes(
    NAME,
    [
        (method, path, _spoken(handler))
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
            ("GET", "/{version}/batches", batches),
            ("GET", "/{version}/batches/{name}", batches),
            ("POST", "/{version}/batches/{name}", batches),
        )
    ],
    _refused,
)


@functions_framework.aio.http
async def gemini(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
