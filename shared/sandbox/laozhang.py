"""laozhang.ai, a relay: chat/completions, images/generations, Google's own path, and the pictures
it keeps (docs.laozhang.ai/api-capabilities, 2026).

The key chooses how a call is answered: "relay-" and a shape's name or one of `PROFILES`. Any other
sees the shapes in turn.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import chat, directives, gemini, gemini_reply, relay_chat, relay_images
from shared.sandbox.chat import Malformed
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import disturbed
from shared.sandbox.google_faults import refuse as refuse_as_google
from shared.sandbox.google_files import Files
from shared.sandbox.google_proto import answer as answer_as_google
from shared.sandbox.relay_chat import Booth, Manner
from shared.sandbox.relay_errors import Refused, answer, page, refuse, unknown_model
from shared.sandbox.relay_gallery import Gallery
from shared.sandbox.relay_shapes import SHAPES
from shared.surfaces.google_json import Refusal

NAME = "laozhang"
PREFIX = "relay-"
PROFILES = {
    "rotating": "another shape at every call",
    "mime-lie": "every picture is said to be of another kind",
    "torn": "the base64 of every picture breaks off in the middle",
    "two": "two pictures where one was asked for",
    "stream": "a stream of events that nobody asked for",
    "504-html": "nginx gives up on the relay",
    "502-html": "nginx does not reach the relay",
    "503-html": "nginx finds the relay busy",
    "503-model_not_found": "no account serves the model",
    "200-error": "an error under 200",
    "drained": "no credit is left",
}
"""Name → what every call meets."""
CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
NATIVE = re.compile(r"/v1beta/models/([\w.-]+):(generateContent|streamGenerateContent)")


@dataclass(frozen=True)
class _Call:
    """One call. `id` differs from every other's, and `profile` is empty for most keys."""

    request: httpx.Request
    profile: str
    number: int

    @property
    def id(self) -> bytes:
        return str(self.number).encode()

    @property
    def manner(self) -> Manner:
        """How it is answered."""
        turn = [*SHAPES][self.number % len(SHAPES)]
        special = self.profile in ("mime-lie", "torn", "two")
        shape = "markdown" if special else self.profile if self.profile in SHAPES else turn
        return Manner(
            shape=shape,
            count=2 if self.profile == "two" else 1,
            torn=self.profile == "torn",
            streams=self.profile == "stream",
        )


class Laozhang:
    """The sandbox's laozhang.ai. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._calls = calls
        self._files = Files(clock)
        self._gallery = Gallery(NAME)
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        number = next(self._count)
        try:
            if path.startswith("/files/") and request.method == "GET":
                return self._gallery.get(path.removeprefix("/files/"))
            return self._answer(_Call(request, _profile(request), number), path)
        except Refused as refused:
            return refused.response(str(number).encode())
        except (Malformed, BadDirective) as error:
            return Refused(400, "invalid_request", str(error)).response(str(number).encode())

    def _answer(self, call: _Call, path: str) -> httpx.Response:
        method, native = call.request.method, NATIVE.fullmatch(path)
        if (method, path) == ("GET", "/v1/models"):
            return self._models()
        if method == "POST" and native:
            return self._native(call, native[1], native[2])
        if (method, path) == ("POST", CHAT):
            return self._chat(call)
        if (method, path) == ("POST", IMAGES):
            return self._images(call)
        raise Refused(404, "", f"Invalid URL ({method} {path})", "invalid_request_error")

    def _routes(self) -> list[tuple[Model, Route]]:
        today = self._clock().date()
        return [
            (model, route)
            for model in self._catalogue.models.values()
            for route in model.routes
            if self._catalogue.providers[route.provider].sandbox == NAME and route.live(today)
        ]

    def _live(self, name: str) -> tuple[Model, Route]:
        """The model of that name. Raises Refused."""
        for model, route in self._routes():
            if route.wire_model == name:
                return model, route
        raise unknown_model(name)

    def _models(self) -> httpx.Response:
        rows: list[Json] = [
            {"id": route.wire_model, "object": "model", "created": 1626777600, "owned_by": "custom"}
            for _, route in self._routes()
        ]
        return answer({"object": "list", "data": rows, "success": True})

    def _chat(self, call: _Call) -> httpx.Response:
        asked = chat.read(chat.ChatRequest, call.request.content)
        model, route = self._live(asked.model)
        scene = chat.understand(asked, call.id)
        size = chat.size(scene, model, self._catalogue.offer(route))
        booth = Booth(model, route.wire_model, size, self._gallery, call.request)
        return self._met(
            call,
            scene.prompt,
            route,
            lambda orders: relay_chat.respond(scene, booth, call.manner, orders),
        )

    def _images(self, call: _Call) -> httpx.Response:
        asked = chat.read(relay_images.ImagesRequest, call.request.content)
        model, route = self._live(asked.model)
        scene = relay_images.understand(asked, call.id)
        size = asked.pixels or chat.size(scene, model, self._catalogue.offer(route))
        booth = Booth(model, route.wire_model, size, self._gallery, call.request)

        def respond(orders: Orders) -> httpx.Response:
            if orders.fault == "partial" and asked.n == 1:
                refuse("blocked", route.wire_model)
            return answer(relay_images.respond(asked, scene, booth, orders))

        return self._met(call, scene.prompt, route, respond)

    def _met(
        self, call: _Call, prompt: str, route: Route, respond: Callable[[Orders], httpx.Response]
    ) -> httpx.Response:
        """What this call meets: a fault of its key's profile, one that its prompt asks for, or
        the answer."""
        met = _fault(call.profile, route.wire_model)
        if met is not None:
            return met
        orders = self._orders(call, prompt)
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            refuse(orders.fault, route.wire_model)
            response = respond(orders)
        except Refused as refused:
            response = refused.response(call.id)
        return disturbed(response, orders)

    def _native(self, call: _Call, name: str, verb: str) -> httpx.Response:
        """Google's generateContent. What Google refuses is passed on in Google's own words."""
        model, _ = self._live(name)
        met = _fault(call.profile, name)
        if met is not None:
            return met
        body, orders = call.request.content, Orders()
        try:
            scene = gemini.understand(body, model, name, "v1beta", self._files, call.id)
            orders = self._orders(call, scene.prompt)
            if orders.fault == "timeout":
                return disturbed(httpx.Response(200), orders)
            refuse_as_google(orders.fault, name)
            reply = gemini.respond(scene, orders)
            whole = verb == "generateContent"
            response = gemini_reply.whole(reply) if whole else gemini_reply.events(reply)
        except Refusal as refusal:
            response = answer_as_google(refusal.body(), refusal.code)
        return disturbed(response, orders)

    def _orders(self, call: _Call, prompt: str) -> Orders:
        orders = self._calls.orders(directives.parse(prompt), NAME, call.request)
        if call.profile == "mime-lie" and orders.fault is None:
            return Orders("wrong_mime", orders.delay_s, orders.min_bytes)
        return orders


def _profile(request: httpx.Request) -> str:
    """The profile the key stands for. Raises Refused for a key that opens nothing."""
    shown = request.headers.get("authorization", "")
    key = shown.removeprefix("Bearer ").strip()
    key = key or request.headers.get("x-goog-api-key") or request.url.params.get("key", "")
    if not key:
        raise Refused(401, "", "No token was provided")
    if key.startswith("bad"):
        raise Refused(401, "", "Invalid token")
    return str(key).removeprefix(PREFIX) if key.startswith(PREFIX) else ""


def _fault(profile: str, name: str) -> httpx.Response | None:
    """The answer of a profile that never brings a picture. Raises Refused."""
    if profile.endswith("-html") and profile in PROFILES:
        return page(int(profile[:3]))
    if profile == "503-model_not_found":
        raise unknown_model(name)
    if profile == "drained":
        raise Refused(403, "insufficient_user_quota", "The user's quota is not enough")
    if profile == "200-error":
        response = Refused(500, "do_request_failed", "upstream error: do request failed").response(
            b"0"
        )
        response.status_code = 200
        return response
    return None
