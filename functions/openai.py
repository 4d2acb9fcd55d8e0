"""`/openai/v1`: OpenAI's images, chat/completions, models, files and batches, answered by any model
of the catalogue, for whoever speaks OpenAI's API and changes only the address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import functions_framework.aio
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from functions import http, streaming, surface
from shared import apart, body, deferred
from shared.app import new_id
from shared.body import Files
from shared.domain import Caller, Delivery, Json
from shared.errors import DarkroomError, InvalidRequest, PayloadTooLarge
from shared.generate import Admitted, Ask, admit
from shared.providers import Inline
from shared.surfaces import (
    Asked,
    conversation,
    openai_chat,
    openai_completion,
    openai_errors,
    openai_headers,
    openai_images,
    openai_models,
    openai_stream,
)
from shared.surfaces import openai_batches as batch_shapes
from shared.surfaces import openai_files as file_shapes
from shared.surfaces.openai_stream import Frames

if TYPE_CHECKING:
    from shared import openai_batches, openai_files
else:
    # No picture needs them.
    openai_batches = deferred.module("shared.openai_batches")
    openai_files = deferred.module("shared.openai_files")

NAME = "openai"
_WAYS: tuple[Delivery, ...] = ("b64_json", "url")
_CHAT_WAYS: tuple[openai_completion.Delivery, ...] = (*_WAYS, "markdown")


@dataclass(frozen=True)
class _Call:
    """A call understood: who asks what of which endpoint, with which files, and how the pictures
    are to come."""

    request: Request
    caller: Caller
    endpoint: str
    asked: Asked
    delivery: Delivery
    files: Files = field(default=Files(), repr=False)


async def generate(request: Request) -> Response:
    """Text → images."""
    caller = await http.caller(request)
    fields = await http.fields(request)
    return await _images(request, caller, openai_images.GENERATIONS, fields, Files())


async def edit(request: Request) -> Response:
    """Images and an instruction → images; JSON or multipart."""
    caller = await http.caller(request)
    if _form(request) == "multipart":
        texts, files = await http.form(request)
        fields = openai_images.from_form(texts)
    else:
        fields, files = await http.fields(request), Files()
    return await _images(request, caller, openai_images.EDITS, fields, files)


async def chat(request: Request) -> Response:
    """A conversation → images, or what the model says instead."""
    caller = await http.caller(request)
    delivery = surface.delivery(request, _CHAT_WAYS)
    fields = await http.fields(request)
    read = await apart.run(http.little(request), openai_chat.read, fields)
    model = surface.model(read.body.model)
    earlier = conversation.last_request(read.said)
    continued = earlier is not None and await surface.goes_on(caller, earlier, model)
    folded = conversation.fold(read.said, continued=continued)
    asked = openai_chat.asked(read, folded, model)
    inline: Delivery = "url" if delivery == "url" else "b64_json"
    call = _Call(request, caller, openai_chat.COMPLETIONS, asked, inline)
    counted = bool(read.body.stream_options.include_usage)

    def frames(_: Admitted) -> Frames:
        return openai_stream.Chunks(delivery, counted=counted)

    return await _answered(call, frames)


async def list_models(request: Request) -> Response:
    """The models this key can reach."""
    caller, app = await http.caller(request), http.app()
    open_to = app.transport.open_to(test=caller.test)
    return _show(openai_models.listed(app.catalogue, open_to, app.today()), _fresh())


async def show_model(request: Request) -> Response:
    """One of them, by id or alias."""
    caller, app = await http.caller(request), http.app()
    open_to, name = app.transport.open_to(test=caller.test), request.path_params["id"]
    return _show(openai_models.one(app.catalogue, name, open_to, app.today()), _fresh())


async def send_file(request: Request) -> Response:
    """Keep a file for the caller's requests and batches."""
    caller = await http.caller(request)
    texts, named, data = await _form_with_file(request)
    sent = file_shapes.read(texts)
    file = await openai_files.keep(http.app(), caller.account_id, named, data, sent.purpose)
    return _show(file_shapes.uploaded(file), _fresh(sent.ignored))


async def list_files(request: Request) -> Response:
    """The caller's files and the results of its batches."""
    caller = await http.caller(request)
    asked, ignored = file_shapes.query(request.query_params)
    return _show(await openai_files.listed(http.app(), caller.account_id, asked), _fresh(ignored))


async def show_file(request: Request) -> Response:
    """One of them."""
    caller, file_id = await http.caller(request), request.path_params["id"]
    return _show(await openai_files.shown(http.app(), caller.account_id, file_id), _fresh())


async def read_file(request: Request) -> Response:
    """Its bytes, as they are read or made."""
    caller, file_id = await http.caller(request), request.path_params["id"]
    content = await openai_files.content(http.app(), caller.account_id, file_id)
    headers = _fresh() | file_shapes.content_headers(content.filename)
    kind = "application/octet-stream"
    return StreamingResponse(content.pieces, headers=headers, media_type=kind)


async def delete_file(request: Request) -> Response:
    """Forget it."""
    caller, file_id = await http.caller(request), request.path_params["id"]
    await openai_files.forget(http.app(), caller.account_id, file_id)
    return _show(file_shapes.deleted(file_id), _fresh())


async def create_batch(request: Request) -> Response:
    """Many requests as one job."""
    caller, fields = await http.caller(request), await http.fields(request)
    key, repeated = http.idempotency_key(request), surface.repeated(request)
    made = await openai_batches.create(http.app(), caller, fields, key, repeated=repeated)
    again = {"idempotent-replayed": "true"} if made.replayed else {}
    return _show(batch_shapes.shown(made.batch), _fresh(made.ignored) | again)


async def list_batches(request: Request) -> Response:
    """The caller's batches, newest first."""
    caller = await http.caller(request)
    asked, ignored = batch_shapes.query(request.query_params)
    return _show(await openai_batches.listed(http.app(), caller.account_id, asked), _fresh(ignored))


async def show_batch(request: Request) -> Response:
    """One of them: its counts move as items end."""
    caller, batch_id = await http.caller(request), request.path_params["id"]
    batch = await openai_batches.find(http.app(), caller.account_id, batch_id)
    return _show(batch_shapes.shown(batch), _fresh())


async def cancel_batch(request: Request) -> Response:
    """Begin nothing of it any more."""
    caller, batch_id = await http.caller(request), request.path_params["id"]
    batch = await openai_batches.find(http.app(), caller.account_id, batch_id)
    cancelled = await openai_batches.cancel(http.app(), batch)
    return _show(batch_shapes.shown(cancelled), _fresh())


async def _form_with_file(request: Request) -> tuple[dict[str, str], tuple[str, str], bytes]:
    """A form's text fields, what its file and the file's type are called, and its bytes. Raises
    InvalidRequest, PayloadTooLarge."""
    if _form(request) != "multipart":
        raise InvalidRequest("Send the file as multipart/form-data.", param="file")
    try:
        parts = await http.parts(request)
    except PayloadTooLarge as error:
        raise file_shapes.too_large() from error
    try:
        file = parts.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequest("Missing required parameter: 'file'.", param="file")
        texts = {name: part for name, part in parts.items() if isinstance(part, str)}
        named = (file.filename or "", file_shapes.type_of(file.content_type))
        return texts, named, await file.read()
    finally:
        await parts.close()


async def _images(
    request: Request, caller: Caller, endpoint: str, fields: Mapping[str, Any], files: Files
) -> Response:
    delivery = surface.delivery(request, _WAYS)
    read = await apart.run(http.little(request), openai_images.read, endpoint, fields)
    asked = openai_images.asked(read, files, surface.model(read.body.model))
    call = _Call(request, caller, endpoint, asked, delivery, files)
    models, linked = http.app().catalogue.models, read.body.response_format == "url"

    def frames(admitted: Admitted) -> Frames:
        return openai_stream.Events(admitted.record, models, linked=linked)

    return await _answered(call, frames)


async def _answered(call: _Call, make_frames: Callable[[Admitted], Frames]) -> Response:
    """Let the request in and answer it, at once or in events. What goes wrong once it is in has
    the headers of its account too."""
    sketches = streaming.sketchbook()
    admitted = await _admitted(call, sketches)
    frames = make_frames(admitted)
    ignored = (*call.asked.ignored, *(("messages",) if admitted.trimmed else ()))
    headers = openai_headers.of_request(
        admitted.standing, http.app().clock(), replayed=admitted.replayed
    )
    headers |= surface.headers(admitted.record, ignored, replayed=admitted.replayed)
    try:
        if call.asked.stream:
            return await streaming.stream(admitted, sketches, frames, call.delivery, headers)
        answer = await admitted.end()
        refused = frames.refusal(answer)
        if refused is not None:
            raise refused
        headers |= openai_headers.took(answer.record)
        headers |= surface.headers(answer.record, ignored, replayed=answer.replayed)
        return _show(frames.whole(answer, await http.shown(answer, call.delivery)), headers)
    except DarkroomError as error:
        return _problem(call.request, error, headers)


async def _admitted(call: _Call, sketches: asyncio.Queue[Inline]) -> Admitted:
    asked = call.asked
    fingerprint = await apart.run(
        http.little(call.request), body.fingerprint, call.endpoint, asked.fields, call.files
    )
    ask = Ask(
        call.caller,
        asked.request,
        fingerprint,
        http.idempotency_key(call.request),
        NAME,
        repeated=surface.repeated(call.request),
        sketches=sketches if asked.request.partial_images else None,
    )
    return await admit(http.app(), ask)


def _form(request: Request) -> openai_errors.Form:
    """What was sent, to whichever endpoint."""
    if request.url.path.endswith(openai_chat.COMPLETIONS):
        return "chat"
    kind = request.headers.get("content-type", "").lower()
    return "multipart" if kind.startswith("multipart/form-data") else "json"


def _show(shown: Mapping[str, Json], headers: Mapping[str, str], status: int = 200) -> Response:
    return Response(http.encoded(shown), status, headers=headers, media_type="application/json")


def _fresh(ignored: Sequence[str] = ()) -> dict[str, str]:
    """The headers of a call that makes no pictures."""
    return {"x-request-id": f"req_{new_id()}", **surface.passed_over(ignored)}


def _problem(request: Request, error: DarkroomError, headers: Mapping[str, str]) -> Response:
    """An error as OpenAI puts it."""
    http.note(error)
    # The same answer would come again, however long anybody waits.
    hopeless = {"x-should-retry": "false"}
    again = hopeless if "idempotent-replayed" in headers else openai_errors.headers(error)
    sent = {**headers, **again}
    status, _, _ = openai_errors.meaning(error)
    return _show(openai_errors.body(error, _form(request)), sent, status)


def _refused(request: Request, error: DarkroomError) -> Response:
    """The answer to what was not let in."""
    return _problem(request, error, openai_headers.of_refusal(error, http.id_of(error)))


APP = http.routes(
    NAME,
    [
        ("POST", openai_images.GENERATIONS, generate),
        ("POST", openai_images.EDITS, edit),
        ("POST", openai_chat.COMPLETIONS, chat),
        ("GET", openai_models.LIST, list_models),
        ("GET", f"{openai_models.LIST}/{{id:path}}", show_model),
        ("POST", file_shapes.FILES, send_file),
        ("GET", file_shapes.FILES, list_files),
        ("GET", f"{file_shapes.FILES}/{{id}}", show_file),
        ("DELETE", f"{file_shapes.FILES}/{{id}}", delete_file),
        ("GET", f"{file_shapes.FILES}/{{id}}/content", read_file),
        ("POST", batch_shapes.BATCHES, create_batch),
        ("GET", batch_shapes.BATCHES, list_batches),
        ("GET", f"{batch_shapes.BATCHES}/{{id}}", show_batch),
        ("POST", f"{batch_shapes.BATCHES}/{{id}}/cancel", cancel_batch),
    ],
    _refused,
)


@functions_framework.aio.http
async def openai(_request: Request) -> Starlette:
    """The deployed function."""
    return APP
