"""What every HTTP function shares: reading a request, and rendering an answer or an error. The
only place where an error becomes a status and a body."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import apart, json_size, local, log, memory, trace, view
from shared.app import App, build, new_id
from shared.body import Files
from shared.domain import Caller, Delivery, Problem
from shared.errors import (
    DarkroomError,
    Internal,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    by_code,
    problem_of,
)
from shared.settings import Settings
from shared.surfaces import INLINE_BYTES, Shown
from shared.work import Answer, in_base64

MAX_BODY_BYTES = 32 * 2**20
"""What Cloud Functions take (cloud.google.com/functions/quotas, 2026-11)."""
MAX_PUBLIC_BODY_BYTES = 2**20
MAX_KEY_LENGTH = 255
ASYNC = "respond-async"
_IMAGE_PART = re.compile(r"images?(\[[0-9]*\])?")
"""What clients call the parts of a form that are images: image, image[], image[0], images."""
EXPOSED = (
    "x-request-id", "retry-after", "retry-after-ms", "location", "idempotent-replayed",
    "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests",
    "x-should-retry", "x-darkroom-ignored", "x-darkroom-size", "x-goog-upload-url",
    "x-goog-upload-status", "x-goog-upload-size-received", "openai-processing-ms",
    "x-darkroom-provider", "x-darkroom-cost-usd", "preference-applied",
)  # fmt: skip
"""Headers of answers that a page of another origin may read."""
Handler = Callable[[Request], Awaitable[Response]]
Refuse = Callable[[Request, DarkroomError], Response]
"""An error as the answer to a request."""


_APPS: list[App] = []


def app() -> App:
    """The App of this process, built when the first request needs it: after the server forked."""
    if not _APPS:
        # First as it has to be, for what the settings may be refused for.
        log.start("INFO", log.Source())
        settings = local.completed(Settings.from_env())
        log.start(settings.log_level, settings.source, settings.secrets)
        use(build(settings))
        memory.settle()
    return _APPS[-1]


def use(app: App) -> None:
    """Serve requests with this App from now on."""
    _APPS[:] = [app]


def routes(
    name: str, endpoints: Sequence[tuple[str, str, Handler]], refused: Refuse | None = None
) -> Starlette:
    """An ASGI app of (method, path, handler), answering at `/` and under the function's name, as
    it is and as it is deployed. `refused` puts errors into another API's shapes."""
    render = refused or _refused
    paths: dict[str, dict[str, Handler]] = {}
    for method, path, handler in endpoints:
        paths.setdefault(path, {})[method] = handler
    table = [
        Route(path or "/", _endpoint(handlers, render), methods=list(handlers))
        for path, handlers in paths.items()
    ]
    known_as = dict.fromkeys((name, name.replace("_", "-")))
    named = [
        Route(f"/{known}", _endpoint(handlers, render), methods=list(handlers))
        for path, handlers in paths.items()
        if not path
        for known in known_as
    ]
    mounts = [Mount(f"/{known}", routes=table) for known in known_as]
    starlette = Starlette(
        routes=[*named, *mounts, *table],
        middleware=[Middleware(_Cors)],
        exception_handlers={HTTPException: _no_such_route(refused)},
    )
    starlette.router.redirect_slashes = False
    return starlette


class _Cors:
    """Starlette's CORS, for the origins of the App that serves: there is none yet when the routes
    are made."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner
        self._by_origins: dict[tuple[str, ...], ASGIApp] = {(): inner}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = _origins()
        if origins not in self._by_origins:
            self._by_origins[origins] = CORSMiddleware(
                self._inner,
                allow_origins=origins,
                allow_private_network=True,
                allow_methods=("GET", "POST", "PUT", "DELETE"),
                allow_headers=("*",),
                expose_headers=EXPOSED,
                max_age=600,
            )
        await self._by_origins[origins](scope, receive, send)


def _origins() -> tuple[str, ...]:
    try:
        return app().settings.cors_origins
    except Exception:  # the endpoint meets it too, and answers for it
        return ()


def _refused(_request: Request, error: DarkroomError) -> Response:
    return refuse(error)


def _endpoint(handlers: Mapping[str, Handler], refused: Refuse) -> Handler:
    async def endpoint(request: Request) -> Response:
        trace.begin(request.headers)
        log.request_id.set(None)
        method = "GET" if request.method == "HEAD" else request.method
        try:
            response = await handlers[method](request)
            # What is echoed of a request is never to be taken for a page.
            response.headers.setdefault("x-content-type-options", "nosniff")
            return response
        except DarkroomError as error:
            return refused(request, error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            log.crash("function.crashed", error)
            return refused(request, Internal("Something broke here. Try again."))

    return endpoint


async def caller(request: Request) -> Caller:
    """Who sent it. Raises Unauthenticated."""
    return await app().accounts.authenticate(key_of(request))


def key_of(request: Request) -> str | None:
    """The key in its headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else None
    return key or request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")


def idempotency_key(request: Request) -> str | None:
    """The header, or None. Raises InvalidRequest for one that is empty or too long."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidRequest(
            f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.", param="Idempotency-Key"
        )
    return key


async def fields(
    request: Request, limit: int = MAX_BODY_BYTES, values: int = json_size.MOST
) -> dict[str, Any]:
    """The JSON object of the body. Raises InvalidRequest, PayloadTooLarge."""
    text = await body(request, limit)
    json_size.check_values(text, values, param="body")
    try:
        value = await apart.run(len(text) <= apart.TEXT_BYTES, from_json, text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body has to be a JSON object.")
    return value


def little(request: Request) -> bool:
    """Whether its body is seen to be short before it is read."""
    return int(request.headers.get("content-length", MAX_BODY_BYTES)) <= apart.TEXT_BYTES


async def body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises PayloadTooLarge as soon as it is seen to be too long."""
    too_large = PayloadTooLarge(f"A body has at most {limit // 2**20} MB.", param="body")
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise too_large
    return bytes(data)


async def form(request: Request) -> tuple[dict[str, str], Files]:
    """The text parts of a multipart body, and its images. Raises InvalidRequest,
    PayloadTooLarge."""
    sent = await parts(request)
    try:
        return await _sorted_parts(sent)
    finally:
        await sent.close()


async def parts(request: Request) -> FormData:
    """All of a multipart body, to be closed. Raises InvalidRequest, PayloadTooLarge."""
    whole = await body(request)
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not whole.rstrip().endswith(b"--" + boundary + b"--"):
        raise InvalidRequest("The multipart body is cut off.")

    async def replay() -> dict[str, Any]:
        return {"type": "http.request", "body": whole, "more_body": False}

    try:
        return await Request(request.scope, replay).form(max_part_size=MAX_BODY_BYTES)
    except (MultiPartException, HTTPException) as error:
        raise InvalidRequest("The multipart body cannot be read.") from error


async def _sorted_parts(parts: FormData) -> tuple[dict[str, str], Files]:
    texts: dict[str, str] = {}
    images: list[bytes] = []
    mask: bytes | None = None
    for name, part in parts.multi_items():
        if name in texts or (name == "mask" and mask is not None):
            raise InvalidRequest(f"The part {name!r} is there twice.", param=name)
        if isinstance(part, str):
            texts[name] = part
        elif _IMAGE_PART.fullmatch(name):
            images.append(await part.read())
        elif name == "mask":
            mask = await part.read()
        else:
            raise InvalidRequest(f"No file is expected in the part {name!r}.", param=name)
    return texts, Files(tuple(images), mask)


def show(
    shown: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A view as JSON."""
    said = encoded(shown.model_dump(mode="json"))
    return Response(said, status, headers=headers, media_type="application/json")


def encoded(shown: object) -> bytes:
    """JSON as it is sent; pictures in base64 are copied, not looked at letter by letter."""
    return orjson.dumps(shown, default=dict)


def note(error: DarkroomError) -> None:
    """Log an error of this call."""
    log.event(
        "request.refused",
        # A fault of ours has its line already, with a traceback.
        severity="WARNING" if error.status >= 500 else "INFO",
        code=error.code,
        param=error.param,
        private=error.private,
    )


def id_of(error: DarkroomError) -> str:
    """The id that an SDK is told of an error, under which the log has it too."""
    known = error.request_id or log.request_id.get() or f"req_{new_id()}"
    log.request_id.set(known)
    return known


def refuse(error: DarkroomError) -> Response:
    """An error of this call as its answer."""
    note(error)
    return _problem(problem_of(error), error.status, error.request_id, {})


async def shown(result: Answer, delivery: Delivery, *, streamed: bool = False) -> tuple[Shown, ...]:
    """The pictures of an ended request for another surface's answer. In a stream each has a frame
    of its own, else they have to fit into one answer together."""
    whole, record = app(), result.record
    sizes = [image.bytes for image in record.images] or [0]
    fits = (max(sizes) if streamed else sum(sizes)) <= INLINE_BYTES
    inline = await in_base64(whole, result, delivery if fits else "url")
    links = [whole.links.image(image.id, whole.clock())[0] for image in record.images]
    return tuple(
        Shown(image, link, inline[n] if inline else None)
        for n, (image, link) in enumerate(zip(record.images, links, strict=True))
    )


def deferred(request: Request) -> bool:
    """Whether its sender does not want to wait for the answer (RFC 7240)."""
    asked = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return ASYNC in (preference.partition(";")[0].strip() for preference in asked)


def answer(result: Answer, inline: Sequence[str | None] = ()) -> Response:
    """An ended request: 200 with its object, or the error it ended with; one that is still to be
    made: 202 with where to look for it."""
    record = result.record
    headers = {"idempotent-replayed": "true"} if result.replayed else {}
    if record.open:
        shown = view.of_request(record, app().links, app().clock())
        where = {"location": f"/account/requests/{record.id}", "preference-applied": ASYNC}
        return show(shown, status=202, headers={**headers, **where, "x-request-id": record.id})
    if record.error is not None and record.status != "succeeded":
        return _problem(record.error, by_code(record.error.code).status, record.id, headers)
    shown = view.of_request(record, app().links, app().clock(), inline)
    return show(shown, headers={**headers, "x-request-id": record.id})


def _problem(
    problem: Problem, status: int, request_id: str | None, headers: Mapping[str, str]
) -> Response:
    """The status, the body and, where waiting helps, Retry-After."""
    headers = {**headers, **wait(problem.retry_after_s)}
    if request_id is not None:
        headers["x-request-id"] = request_id
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    shown = view.ErrorView(error=view.of_problem(problem, request_id))
    return show(shown, status=status, headers=headers)


def wait(after_s: float | None) -> dict[str, str]:
    """Retry-After, in whole seconds, where waiting helps."""
    return {} if after_s is None else {"retry-after": str(max(1, math.ceil(after_s)))}


def _no_such_route(
    refused: Refuse | None,
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Starlette's own 404 and 405, in our words or another API's."""

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 # what the handler is registered for
        nothing = NotFound(f"There is nothing at {request.url.path}.")
        if refused is not None:
            return refused(request, nothing)
        if error.status_code == 405:
            wrong = InvalidRequest(f"{request.method} does not go with {request.url.path}.")
            return _problem(problem_of(wrong), 405, None, error.headers or {})
        return refuse(nothing)

    return handle
