"""How the handlers of the Gemini API read requests and answer them: keys, bodies, paths and errors
as Google has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from functions import http
from shared import deferred, log
from shared.domain import Caller, Json
from shared.errors import DarkroomError, InvalidRequest, PayloadTooLarge
from shared.surfaces import gemini_errors
from shared.surfaces.gemini_errors import Place
from shared.surfaces.google_json import Refusal

if TYPE_CHECKING:
    from shared import google_files
else:
    # No picture needs it.
    google_files = deferred.module("shared.google_files")

MOUNTED = "/gemini"
VERSIONS = ("v1", "v1beta")
STREAM = "streamGenerateContent"
_LONGEST_S = 900.0
"""What a request may wait for at most, however long its SDK would."""


async def caller(request: Request) -> Caller:
    """Who sent it, by a key in a header or in the query. Raises Refusal, Unauthenticated."""
    key = (http.key_of(request) or request.query_params.get("key", "")).strip()
    if not key:
        raise gemini_errors.no_key()
    return await http.app().accounts.authenticate(key)


async def fields(request: Request) -> dict[str, Any]:
    """The JSON object of the body. Raises Refusal, PayloadTooLarge."""
    try:
        return await http.fields(request)
    except InvalidRequest as error:
        raise Refusal(400, f"Invalid JSON payload received. {error.message}") from error


async def body(request: Request, most_bytes: int) -> bytes:
    """The bytes of a file, or those that announce one. Raises PayloadTooLarge."""
    most = min(most_bytes, http.MAX_BODY_BYTES)
    try:
        return await http.body(request, most)
    except PayloadTooLarge as error:
        raise PayloadTooLarge(f"This body has at most {most} bytes.", param="body") from error


def timeout_s(request: Request, default: float) -> float:
    """How long the SDK waits, where it says so."""
    said = request.headers.get("x-server-timeout", "")
    return min(float(said), _LONGEST_S) if said.isdecimal() and said.strip("0") else default


def place(request: Request) -> Place:
    """The version, and the model or file and its method, that the path names."""
    # @google/genai 3.1.0 puts a file's whole address for its name, unless that is https.
    last = request.path_params.get("name", "").rpartition("/files/")[2]
    name, _, verb = last.partition(":")
    return Place(request.path_params.get("version", VERSIONS[0]), name, verb)


def root() -> str:
    """The surface's own address."""
    return f"{http.app().settings.public_url}{MOUNTED}"


def show(shown: Json, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(http.encoded(shown), status, headers, "application/json; charset=UTF-8")


def spoken(handler: http.Handler) -> http.Handler:
    """A handler of the versions there are, with what it refuses in Google's words as its answer."""

    async def speaking(request: Request) -> Response:
        try:
            if place(request).version not in VERSIONS:
                raise gemini_errors.unknown_path()
            return await handler(request)
        except Refusal as refusal:
            if isinstance(refusal.__cause__, DarkroomError):
                http.note(refusal.__cause__)
            else:
                log.event("request.refused", code=refusal.status)
            return _problem(request, refusal, {})

    return speaking


def refused(request: Request, error: DarkroomError) -> Response:
    """The answer to what was not let in."""
    return failed(request, error, {"x-request-id": http.id_of(error)})


def failed(request: Request, error: DarkroomError, headers: Mapping[str, str]) -> Response:
    """An error of ours as Google puts it."""
    http.note(error)
    sent = {**headers, **http.wait(error.retry_after_s)}
    return _problem(request, gemini_errors.refusal_of(error, place(request)), sent)


def _problem(request: Request, refusal: Refusal, headers: Mapping[str, str]) -> Response:
    """An error, in an array where the answer would have been one."""
    query, shown = request.query_params, refusal.body()
    if "upload_id" in query and refusal.code < 500:
        # Without it the SDKs send the same chunk three times more.
        headers = {**headers, **google_files.Step("cancelled").headers}
    listed = place(request).verb == STREAM and query.get("alt") != "sse"
    return show([shown] if listed else shown, headers, refusal.code)
