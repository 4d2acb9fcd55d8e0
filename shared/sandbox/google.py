"""Google's Gemini API: who may come in, which model answers, and which path means what.

Paths and wordings: ai.google.dev/api and captured errors, 2026-10.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import directives, gemini, gemini_reply, imagen
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import disturbed
from shared.sandbox.gemini_checks import traits
from shared.sandbox.google_batches import METHOD as BATCH
from shared.sandbox.google_batches import GoogleBatches
from shared.sandbox.google_faults import refuse
from shared.sandbox.google_files import Files
from shared.sandbox.google_proto import answer
from shared.sandbox.shelf import Shelf
from shared.surfaces.gemini_errors import SERVICE, Place, no_key, unknown_model, unknown_path
from shared.surfaces.gemini_tokens import CHARACTERS_PER_TOKEN
from shared.surfaces.google_json import Refusal, detail, page

NAME = "google"
STREAM = "streamGenerateContent"
METHODS = {
    "gemini": ("generateContent", STREAM, "countTokens", BATCH),
    "imagen": ("predict",),
}
"""Wire format → the methods its models answer; BATCH only those with a price for batches."""
PATH = re.compile(r"(?P<kind>/upload|/download|)/(?P<version>v1|v1beta)/(?P<rest>.+)")
KEYS = {
    "bad": (400, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"),
    "expired": (400, "API key expired. Please renew the API key.", "API_KEY_INVALID"),
    "leaked": (403, "Your API key was reported as leaked. Please use another API key.", ""),
}
"""How a key begins → how it is refused. Any other is taken."""


class Google:
    """The sandbox's Google. Thread-safe; its files and batches are on the shelf."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Callable[[], datetime],
        calls: Calls,
        shelf: Shelf,
    ) -> None:
        self._routes = [(m, r) for m, r in catalogue.played_as(NAME) if r.wire in METHODS]
        self._clock = clock
        self._files = Files(clock, shelf)
        self._batches = GoogleBatches(self._routes, clock, self._files, shelf)
        self._calls = calls
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        try:
            match = PATH.fullmatch(path)
            if match is None:
                raise unknown_path()
            if match["kind"] == "/upload":
                return self._upload(request, match["version"], match["rest"])
            _check_key(request)
            if match["rest"].startswith("files"):
                return self._file(request, match["version"], match["rest"])
            if match["rest"].startswith("batches"):
                return self._batches.handle(request, match["rest"])
            return self._model(request, match["version"], match["rest"])
        except Refusal as refusal:
            return _refused(request, refusal)

    def _upload(self, request: httpx.Request, version: str, rest: str) -> httpx.Response:
        if rest != "files" or request.method != "POST":
            raise unknown_path()
        # The address of a started upload carries the right to it: no key comes with the bytes.
        if "upload_id" not in request.url.params:
            _check_key(request)
        return self._files.upload(request, version)

    def _file(self, request: httpx.Request, version: str, rest: str) -> httpx.Response:
        name, _, verb = rest.partition(":")
        asked = (request.method, verb)
        if rest == "files" and request.method == "GET":
            return self._files.listed(request, self._batches.generated(request, version))
        results = self._batches.results(name)
        if asked == ("GET", ""):
            if results:
                return answer(self._batches.resource(results, request, version))
            return answer(self._files.about(name).resource())
        if asked == ("GET", "download"):
            if results:
                return self._batches.download(results, request)
            return self._files.download(name)
        if asked == ("DELETE", ""):
            if results:
                return self._batches.forget(results)
            return self._files.delete(name)
        raise unknown_path()

    def _model(self, request: httpx.Request, version: str, rest: str) -> httpx.Response:
        if rest == "models" and request.method == "GET":
            rows = [_resource(model, route) for model, route in self._live()]
            return answer(page(request.url.params, "models", rows, default=50, most=1000))
        match = re.fullmatch(r"models/([\w.-]+)(?::(\w+))?", rest)
        wanted = ("POST" if match[2] else "GET") if match else None
        if match is None or request.method != wanted:
            raise unknown_path()
        wire_model, verb = match[1], match[2]
        found = next(((m, r) for m, r in self._live() if r.wire_model == wire_model), None)
        if found is None or (verb and verb not in _methods(found[1])):
            raise unknown_model(Place(version, wire_model, verb or ""))
        if verb is None:
            return answer(_resource(*found))
        return self._call(request, version, verb, *found)

    def _call(
        self, request: httpx.Request, version: str, verb: str, model: Model, route: Route
    ) -> httpx.Response:
        if verb == "countTokens":
            return answer(gemini.count_tokens(request.content, model, version))
        if verb == BATCH:
            return self._batches.create(request, version, route.wire_model)
        prompt, respond = self._understood(request, version, verb, model, route)
        try:
            asked = directives.parse(prompt)
        except BadDirective as error:
            raise Refusal(400, str(error)) from error
        orders = self._calls.orders(asked, NAME, request)
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            refuse(orders.fault, route.wire_model)
            response = respond(orders)
        except Refusal as refusal:
            response = _refused(request, refusal)
        return disturbed(response, orders)

    def _understood(
        self, request: httpx.Request, version: str, verb: str, model: Model, route: Route
    ) -> tuple[str, Callable[[Orders], httpx.Response]]:
        """The prompt, and how to answer it once its directives are known."""
        body, call = request.content, str(next(self._count)).encode()
        if verb == "predict":
            ask = imagen.understand(body, model, route, call)
            return ask.prompt, lambda orders: answer(imagen.respond(ask, orders))
        scene = gemini.understand(body, model, route.wire_model, version, self._files, call)
        render = gemini_reply.whole
        if verb == STREAM:
            render = gemini_reply.events if _wants_events(request) else gemini_reply.array
        return scene.prompt, lambda orders: render(gemini.respond(scene, orders))

    def _live(self) -> list[tuple[Model, Route]]:
        today = self._clock().date()
        return [(model, route) for model, route in self._routes if route.live(today)]


def _methods(route: Route) -> list[str]:
    return [m for m in METHODS[route.wire] if m != BATCH or route.batch_price]


def _check_key(request: httpx.Request) -> None:
    key = request.headers.get("x-goog-api-key") or request.url.params.get("key", "")
    if not key.strip():
        raise no_key()
    for start, (code, message, reason) in KEYS.items():
        if key.strip().startswith(start):
            metadata: Json = {"service": SERVICE}
            info = detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata=metadata)
            local = detail("LocalizedMessage", locale="en-US", message=message)
            raise Refusal(code, message, [info, local] if reason else [])


def _resource(model: Model, route: Route) -> dict[str, Json]:
    """A model as models.list shows it."""
    speaks, thinks = route.wire == "gemini", traits(route.wire_model).thinks
    limit = model.options.get("max_output_tokens")
    fields: dict[str, Json] = {
        "name": f"models/{route.wire_model}",
        "version": ("3.0" if thinks else "2.0") if speaks else "001",
        "displayName": model.name,
        "description": model.name,
        "inputTokenLimit": model.prompt_limit // CHARACTERS_PER_TOKEN,
        "outputTokenLimit": int(limit.max) if limit and limit.max else 8192,
        "supportedGenerationMethods": [m for m in _methods(route) if m != STREAM],
    }
    if speaks:
        fields |= {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 1}
    return fields | ({"thinking": True} if speaks and thinks else {})


def _wants_events(request: httpx.Request) -> bool:
    return bool(request.url.params.get("alt") == "sse")


def _refused(request: httpx.Request, refusal: Refusal) -> httpx.Response:
    """The error, in an array where the answer would have been one."""
    streamed = request.url.path.endswith(f":{STREAM}") and not _wants_events(request)
    upload = {"x-goog-upload-status": "cancelled"} if "upload_id" in request.url.params else {}
    body = refusal.body()
    return answer([body] if streamed else body, refusal.code, upload)
