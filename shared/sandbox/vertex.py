"""Vertex AI: generateContent behind a project, a place and an OAuth token instead of a key.

Sources: errors and answers of aiplatform.googleapis.com as users quote them in public issues
(googleapis/js-genai, google-gemini/gemini-cli, BerriAI/litellm, 2025 and 2026), and the messages of
google-cloud-aiplatform 2.7.0 (v1). A day's quota is refused as by the Gemini API. There are no
files.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from datetime import datetime

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import directives, gemini
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import disturbed
from shared.sandbox.gemini_checks import traits
from shared.sandbox.google_faults import refuse
from shared.sandbox.google_files import Files
from shared.sandbox.google_proto import answer
from shared.surfaces.gemini_reply import Reply
from shared.surfaces.google_json import Refusal, detail

NAME = "vertex"
WIRE = "gemini"
WHOLE, STREAM = "generateContent", "streamGenerateContent"
SERVICE = "aiplatform.googleapis.com"
PATH = re.compile(
    r"/(?P<version>v1|v1beta1)/(?P<parent>projects/[\w.:-]+/locations/(?P<place>[\w-]+))"
    r"/publishers/google/models/(?P<model>[\w.-]+):(?P<verb>\w+)"
)
ELSEWHERE = "Expected OAuth 2 access token, login cookie or other valid authentication credential."
SIGN_IN = "See https://developers.google.com/identity/sign-in/web/devconsole-project."
NO_TOKEN = f"Request is missing required authentication credential. {ELSEWHERE} {SIGN_IN}"
BAD_TOKEN = f"Request had invalid authentication credentials. {ELSEWHERE} {SIGN_IN}"
NO_KEYS = (
    "API keys are not supported by this API. Expected OAuth2 access token or other authentication "
    "credentials that assert a principal. See https://cloud.google.com/docs/authentication"
)
BUSY = (
    "Resource exhausted. Please try again later. Please refer to "
    "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
)
VERSIONS = "https://cloud.google.com/vertex-ai/generative-ai/docs/learn/model-versions"


class _Stranger(Exception):
    """A caller who is not known; the reason is google.rpc.ErrorInfo's."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class Vertex:
    """The sandbox's Vertex AI, whatever the project. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls) -> None:
        self._routes = [(m, r) for m, r in catalogue.played_as(NAME) if r.wire == WIRE]
        self._clock = clock
        self._no_files = Files(clock)
        self._calls = calls
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        try:
            asked = PATH.fullmatch(path)
            if asked is None or request.method != "POST" or asked["verb"] not in (WHOLE, STREAM):
                raise Refusal(404, "Requested entity was not found.")
            _check_token(request, asked)
            return self._call(request, asked)
        except Refusal as refusal:
            return _refused(request, refusal.body(), refusal.code)
        except _Stranger as stranger:
            return _refused(request, _unauthenticated(stranger), 401)

    def _call(self, request: httpx.Request, asked: re.Match[str]) -> httpx.Response:
        model, route = self._find(asked)
        _check_body(request.content)
        scene = gemini.understand(
            request.content,
            model,
            route.wire_model,
            asked["version"],
            self._no_files,
            str(next(self._count)).encode(),
        )
        try:
            orders = self._calls.orders(directives.parse(scene.prompt), NAME, request)
        except BadDirective as error:
            raise Refusal(400, str(error)) from error
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            _refuse(orders, route)
            response = self._render(request, gemini.respond(scene, orders))
        except Refusal as refusal:
            response = _refused(request, refusal.body(), refusal.code)
        return disturbed(response, orders)

    def _find(self, asked: re.Match[str]) -> tuple[Model, Route]:
        """The model, where this place has it: since Gemini 3, only "global" does."""
        today, name = self._clock().date(), asked["model"]
        for model, route in self._routes:
            here = asked["place"] == "global" or not traits(name).thinks
            if route.wire_model == name and route.live(today) and here:
                return model, route
        raise Refusal(
            404,
            f"Publisher Model `{asked['parent']}/publishers/google/models/{name}` was not found or "
            "your project does not have access to it. Please ensure you are using a valid model "
            f"version. For more information, see: {VERSIONS}",
        )

    def _render(self, request: httpx.Request, reply: Reply) -> httpx.Response:
        """The answer whole, as events or as one array."""
        made = self._clock().isoformat().replace("+00:00", "Z")
        if not request.url.path.endswith(f":{STREAM}"):
            return answer(_as_here(reply.body(), made))
        chunks: list[Json] = [_as_here(chunk, made) for chunk in reply.chunks()]
        if not _wants_events(request):
            return answer(chunks)
        frames = (json.dumps(chunk, ensure_ascii=False).encode() for chunk in chunks)
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            content=b"".join(b"data: " + frame + b"\r\n\r\n" for frame in frames),
        )


def _check_token(request: httpx.Request, asked: re.Match[str]) -> None:
    """Any token is taken, but for one that begins with "bad" or "forbidden"."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if "x-goog-api-key" in request.headers or "key" in request.url.params:
        raise _Stranger(NO_KEYS, "CREDENTIALS_MISSING")
    if not kind:
        raise _Stranger(NO_TOKEN, "CREDENTIALS_MISSING")
    if kind.lower() != "bearer" or not token.strip() or token.startswith("bad"):
        raise _Stranger(BAD_TOKEN, "ACCESS_TOKEN_TYPE_UNSUPPORTED")
    if token.startswith("forbidden"):
        resource = f"//{SERVICE}/{asked['parent']}/publishers/google/models/{asked['model']}"
        raise Refusal(
            403,
            f"Permission 'aiplatform.endpoints.predict' denied on resource '{resource}' (or it may "
            "not exist).",
        )


def _check_body(body: bytes) -> None:
    """Raise Refusal for what the Gemini API takes and this does not: a content without its role, a
    kind of search."""
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    for content in _dicts(fields, "contents"):
        if not content.get("role"):
            raise Refusal(400, "Please use a valid role: user, model.")
    for place, tool in enumerate(_dicts(fields, "tools")):
        search = tool.get("googleSearch") or tool.get("google_search")
        if isinstance(search, dict) and {"searchTypes", "search_types"} & set(search):
            where = f"'tools[{place}].google_search'"
            unknown = f'Unknown name "searchTypes" at {where}: Cannot find field.'
            raise Refusal(400, f"Invalid JSON payload received. {unknown}")


def _dicts(fields: object, name: str) -> list[dict[str, object]]:
    found = fields.get(name) if isinstance(fields, dict) else None
    return [
        item for item in (found if isinstance(found, list) else [found]) if isinstance(item, dict)
    ]


def _refuse(orders: Orders, route: Route) -> None:
    if orders.fault == "rate_limited":
        raise Refusal(429, BUSY)
    refuse(orders.fault, route.wire_model)


def _as_here(body: dict[str, Json], made: str) -> dict[str, Json]:
    """An answer with the fields that Vertex AI alone has."""
    usage = body["usageMetadata"]
    counted = {**usage, "trafficType": "ON_DEMAND"} if isinstance(usage, dict) else {}
    counted.pop("serviceTier", None)
    return {**body, "usageMetadata": counted, "createTime": made}


def _unauthenticated(stranger: _Stranger) -> dict[str, Json]:
    method = "google.cloud.aiplatform.v1.PredictionService.GenerateContent"
    metadata: Json = {"service": SERVICE, "method": method}
    info = detail("ErrorInfo", reason=stranger.reason, domain="googleapis.com", metadata=metadata)
    status: Json = {
        "code": 401,
        "message": stranger.message,
        "status": "UNAUTHENTICATED",
        "details": [info],
    }
    return {"error": status}


def _wants_events(request: httpx.Request) -> bool:
    return bool(request.url.params.get("alt") == "sse")


def _refused(request: httpx.Request, body: dict[str, Json], code: int) -> httpx.Response:
    """The error, in an array where the answer would have been one."""
    streamed = request.url.path.endswith(f":{STREAM}") and not _wants_events(request)
    return answer([body] if streamed else body, code)
