"""OpenAI's API: who may come in, which model answers, and which path means what.

Paths and wordings: the API reference and errors quoted in public issues, 2025-05 to 2026-10.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import directives, openai_checks, openai_files, openai_images, openai_wire
from shared.sandbox.directives import BadDirective, Calls
from shared.sandbox.faults import disturbed
from shared.sandbox.openai_batch_items import ENDPOINTS, Call, Understood
from shared.sandbox.openai_batches import OpenAIBatches
from shared.sandbox.openai_files import Files
from shared.sandbox.openai_wire import Body, Refusal, answer
from shared.sandbox.shelf import Shelf

NAME = "openai"
WIRE = "openai_images"
SITE = "https://platform.openai.com"
UNKNOWN_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
    f"{SITE}/account/api-keys."
)
NO_CREDIT = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    f"information on this error, read the docs: {SITE}/docs/guides/error-codes/api-errors."
)
SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us "
    "at help.openai.com and include the request ID {id}. safety_violations=[sexual]."
)


class OpenAI:
    """The sandbox's OpenAI. Thread-safe. A key that begins with "bad" opens nothing, one with
    "unverified" no image model, and behind one with "poor" there is no credit."""

    def __init__(
        self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls, shelf: Shelf
    ) -> None:
        self._routes = [(m, r) for m, r in catalogue.played_as(NAME) if r.wire == WIRE]
        self._clock = clock
        self._calls = calls
        self._files = Files(clock, shelf)
        self._batches = OpenAIBatches(
            self._understand, self._takes_batches, clock, self._files, shelf
        )
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        call = str(next(self._count)).encode()
        request_id = f"req_{hashlib.sha256(call).hexdigest()[:32]}"
        try:
            response = self._answer(request, path, call, request_id)
        except Refusal as refusal:
            response = answer(refusal.body, refusal.status, refusal.headers)
        response.headers.update(
            {
                "openai-organization": "org-sandbox",
                "openai-processing-ms": "40",
                "openai-project": "proj_sandbox",
                "openai-version": "2020-10-01",
                "x-request-id": request_id,
            }
        )
        return response

    def _answer(
        self, request: httpx.Request, path: str, call: bytes, request_id: str
    ) -> httpx.Response:
        key = _checked_key(request)
        if path in ENDPOINTS:
            if request.method != "POST":
                raise Refusal(405, f"Not allowed to {request.method} on {path}.")
            created = int(self._clock().timestamp())
            return self._image(request, ENDPOINTS[path], key, Call(call, request_id, created))
        if re.match("/v1/files(/|$)", path):
            return self._file(request, path.removeprefix("/v1/files").strip("/"))
        if re.match("/v1/batches(/|$)", path):
            _check_credit(key)
            return self._batches.handle(request, path)
        if path == "/v1/models" and request.method == "GET":
            rows = [_resource(name, m, r) for m, r in self._live() for name in _names(m, r)]
            return answer({"object": "list", "data": list(rows)})
        name = path.removeprefix("/v1/models/")
        if name == path or request.method != "GET":
            raise Refusal(404, f"Invalid URL ({request.method} {path})")
        return answer(_resource(name, *self._find(name, f"The model '{name}' does not exist")))

    def _image(self, request: httpx.Request, edits: bool, key: str, call: Call) -> httpx.Response:
        body = openai_wire.read(request, forms=edits)
        understood = self._understand(body, edits, call, key)
        orders = self._calls.orders(understood.asked, NAME, request)
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            understood.refuse(orders.fault)
            response = understood.respond(orders)
        except Refusal as refusal:
            response = answer(refusal.body, refusal.status, refusal.headers)
        return disturbed(response, orders)

    def _understand(self, body: Body, edits: bool, call: Call, key: str = "") -> Understood:
        """A request, if it is good. Raises Refusal."""
        # What the API takes when none is named was retired with it (2026-05-12).
        name = str(body.fields.get("model", "dall-e-2"))
        gone = f"The model `{name[:100]}` does not exist or you do not have access to it."
        model, route = self._find(name, gone)
        _check_account(key, name)
        if edits and not body.form:
            body = replace(body, fields=self._with_files(body.fields))
        asked = openai_checks.check(body, model, route.wire_model, edits)
        try:
            wanted = directives.parse(asked.prompt)
        except BadDirective as error:
            raise Refusal(400, str(error), code="invalid_value", param="prompt") from error
        scene = openai_images.understand(asked, model, route.wire_model, call.created, call.seed)
        return Understood(
            asked=wanted,
            refuse=lambda fault: _refuse(fault, asked.n, name, call.id),
            respond=lambda orders: openai_images.respond(scene, orders),
        )

    def _with_files(self, fields: Mapping[str, Json]) -> dict[str, Json]:
        """The fields with what is in a file in the place of its id. Raises Refusal."""

        def shown(item: Json, param: str) -> Json:
            if not isinstance(item, Mapping) or list(item) != ["file_id"]:
                return item
            data = self._files.read(str(item["file_id"]))
            if data is None:
                words = f"Invalid '{param}': there is no file {str(item['file_id'])[:100]}."
                raise Refusal(400, words, code="invalid_value", param=param)
            return {"image_url": f"data:image/png;base64,{b64encode(data).decode('ascii')}"}

        images = fields.get("images")
        found = dict(fields)
        if isinstance(images, list):
            found["images"] = [shown(item, f"images[{i}]") for i, item in enumerate(images)]
        if "mask" in fields:
            found["mask"] = shown(fields["mask"], "mask")
        return found

    def _file(self, request: httpx.Request, rest: str) -> httpx.Response:
        if not rest:
            if request.method == "POST":
                return self._files.upload(request)
            results = [self._batches.file(found) for found in self._batches.every()]
            return openai_files.listed(request, [*self._files.every(), *results])
        file_id, _, verb = rest.partition("/")
        if verb not in ("", "content") or request.method not in ("GET", "DELETE"):
            raise Refusal(404, f"Invalid URL ({request.method} /v1/files/{rest})")
        made = self._batches.results(file_id)
        file = self._batches.file(made) if made else self._files.find(file_id)
        if file is None:
            raise openai_files.no_file(file_id)
        if request.method == "DELETE":
            forget = self._batches.forget if made else self._files.delete
            forget(file)
            return answer({"id": file_id, "object": "file", "deleted": True})
        if not verb:
            return answer(file.resource())
        return self._batches.download(made, request) if made else self._files.download(file)

    def _find(self, name: str, missing: str) -> tuple[Model, Route]:
        found = next(((m, r) for m, r in self._live() if name in _names(m, r)), None)
        if found is None:
            raise Refusal(404, missing, code="model_not_found", param="model")
        return found

    def _takes_batches(self, name: str) -> bool:
        """Whether a model is there, and has a price for batches."""
        return any(name in _names(m, r) and r.batch_price for m, r in self._live())

    def _live(self) -> list[tuple[Model, Route]]:
        today = self._clock().date()
        return [(model, route) for model, route in self._routes if route.live(today)]


def _checked_key(request: httpx.Request) -> str:
    shown: str = request.headers.get("authorization", "")
    scheme, _, key = shown.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refusal(401, UNKNOWN_KEY)
    if key.startswith("bad"):
        raise Refusal(
            401,
            f"Incorrect API key provided: {key[:3]}***. You can find your API key at "
            f"{SITE}/account/api-keys.",
            code="invalid_api_key",
        )
    return key


def _check_account(key: str, wire_model: str) -> None:
    if key.startswith("unverified"):
        raise Refusal(
            403,
            f"Your organization must be verified to use the model `{wire_model}`. Please go to: "
            f"{SITE}/settings/organization/general and click on Verify Organization. If you just "
            "verified, it can take up to 15 minutes for access to propagate.",
        )
    _check_credit(key)


def _check_credit(key: str) -> None:
    if key.startswith("poor"):
        raise Refusal(429, NO_CREDIT, code="insufficient_quota", kind="insufficient_quota")


def _refuse(fault: str | None, n: int, wire_model: str, request_id: str) -> None:
    """Raise the Refusal that a fault stands for; the others are left to the answer."""
    of = f"Rate limit reached for {wire_model} in organization org-sandbox on"
    more = f"Visit {SITE}/account/rate-limits to learn more."
    if fault == "rate_limited":
        words = f"{of} images per min: Limit 5, Used 5, Requested 1. Please try again in 1s. {more}"
        raise Refusal(
            429,
            words,
            code="rate_limit_exceeded",
            kind="requests",
            headers={"retry-after": "1", "retry-after-ms": "1000"},
        )
    if fault == "quota_exhausted":
        words = (
            f"{of} requests per day (RPD): Limit 500, Used 500, Requested 1. Please try again in "
            f"7h12m0s. {more}"
        )
        raise Refusal(429, words, code="rate_limit_exceeded", kind="requests")
    if fault == "unavailable":
        words = "The engine is currently overloaded, please try again later."
        raise Refusal(503, words, kind="server_error")
    if fault == "server_error":
        words = (
            "The server had an error processing your request. Sorry about that! You can retry your "
            "request, or contact us through our help center at help.openai.com if you keep seeing "
            f"this error. (Please include the request ID {request_id} in your email.)"
        )
        raise Refusal(500, words, kind="server_error")
    if fault == "blocked" or (fault == "partial" and n == 1):
        raise Refusal(
            400,
            SAFETY.format(id=request_id),
            code="moderation_blocked",
            kind=openai_checks.USER_ERROR,
        )


def _names(model: Model, route: Route) -> tuple[str, ...]:
    """What a model is called there: by its name, and by that of its snapshot."""
    dated = tuple(a for a in model.aliases if a.startswith(f"{route.wire_model}-20"))
    return (route.wire_model, *dated)


def _resource(name: str, model: Model, route: Route) -> dict[str, Json]:
    released = datetime.combine(route.released, time(), UTC) if route.released else None
    return {
        "id": name,
        "object": "model",
        "created": int(released.timestamp()) if released else 0,
        "owned_by": "system",
        "shutdown_date": route.shutdown.isoformat() if route.shutdown else None,
    }
