"""OpenRouter: its image API, chat/completions with pictures, and its lists of models
(openrouter.ai/docs/api/api-reference/images and answers of 2025-11 and 2026-08).

A key that begins with "bad" is refused, one with "poor" has no credits, one with "broken" has its
streams end in an error, and the pictures of one with "lying" are said to be of another kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import httpx

from shared.catalogue import Catalogue
from shared.catalogue.rows import Model, Route
from shared.domain import IMAGE_TYPES, Json, Size
from shared.sandbox import chat, directives, openrouter_images
from shared.sandbox.chat import Malformed, Scene
from shared.sandbox.directives import BadDirective, Calls, Orders
from shared.sandbox.faults import declared, disturbed, packed
from shared.sandbox.openrouter_errors import Refused, refuse
from shared.sandbox.painter import paint
from shared.sandbox.relay_errors import answer

NAME = "openrouter"
EMPTY = ("no_image", "text_only")


@dataclass(frozen=True)
class _Call:
    """One call. `id` differs from every other's, and `key` is the one shown."""

    request: httpx.Request
    key: str
    id: bytes


@dataclass(frozen=True)
class _Served:
    """A model with the route it is served by."""

    model: Model
    offer: Model
    route: Route

    def usage(self, scene: Scene, made: int) -> dict[str, Json]:
        """Tokens, and what they cost in dollars."""
        tokens, image = chat.counts(scene, self.model, made)
        by = self.route.price.by or {}
        picodollars = tokens * by.get("text_in", 0) + image * by.get("image_out", 0)
        return {
            "prompt_tokens": tokens,
            "completion_tokens": image,
            "total_tokens": tokens + image,
            # A number in JSON, as OpenRouter writes it; nothing is booked by it here.
            "cost": float(Decimal(picodollars) / 10**12),
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": image},
        }


class OpenRouter:
    """The sandbox's OpenRouter. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], datetime], calls: Calls) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._calls = calls
        self._count = itertools.count(1)

    def handle(self, request: httpx.Request, path: str) -> httpx.Response:
        """Answer a request for `path`, which is what follows the sandbox's prefix."""
        method, path = request.method, path.removeprefix("/api").removeprefix("/v1")
        try:
            if (method, path) in (("GET", "/models"), ("GET", "/images/models")):
                return self._models(path)
            call = _Call(request, _key(request), str(next(self._count)).encode())
            if (method, path) == ("POST", "/images"):
                return self._images(call)
            if (method, path) == ("POST", "/chat/completions"):
                return self._chat(call)
            raise Refused(404, "Not Found")
        except Refused as refused:
            return refused.response()
        except (Malformed, BadDirective) as error:
            return Refused(400, str(error)).response()

    def _routes(self) -> list[_Served]:
        today = self._clock().date()
        return [
            _Served(model, self._catalogue.offer(route), route)
            for model in self._catalogue.models.values()
            for route in model.routes
            if self._catalogue.providers[route.provider].sandbox == NAME and route.live(today)
        ]

    def _live(self, name: str) -> _Served:
        """The model of that name. Raises Refused."""
        served = next((s for s in self._routes() if s.route.wire_model == name), None)
        if served is None:
            raise Refused(400, f"{name} is not a valid model ID")
        return served

    def _models(self, path: str) -> httpx.Response:
        """Every model, in one list as in the other; that for images says what each takes."""
        listed = [openrouter_images.listed(s.model, s.offer, s.route) for s in self._routes()]
        return answer({"data": listed if path == "/images/models" else [*map(_plain, listed)]})

    def _images(self, call: _Call) -> httpx.Response:
        asked = chat.read(openrouter_images.ImagesRequest, call.request.content)
        served = self._live(asked.model)
        scene = openrouter_images.understand(asked, call.id)
        size = openrouter_images.size(asked, scene, served.model, served.offer)
        return self._met(
            call,
            scene,
            served,
            lambda orders: self._drawn(call, scene, served, size, orders),
        )

    def _drawn(
        self, call: _Call, scene: Scene, served: _Served, size: Size, orders: Orders
    ) -> httpx.Response:
        made = 0 if orders.fault in EMPTY else 1
        data: list[Json] = []
        if made:
            text, kind = _picture(call, scene, served, size, orders)
            data = [{"b64_json": text, "media_type": kind}]
        # The real one says 0 too.
        body: Json = {"created": 0, "data": data, "usage": served.usage(scene, made)}
        identity = f"gen-img-{scene.identity.hex()[:24]}"
        return answer(body, 200, {"x-generation-id": identity, "x-provider-name": "Google"})

    def _chat(self, call: _Call) -> httpx.Response:
        asked = chat.read(chat.ChatRequest, call.request.content)
        served = self._live(asked.model)
        scene = chat.understand(asked, call.id)
        size = chat.size(scene, served.model, served.offer)
        return self._met(
            call, scene, served, lambda orders: self._said(call, scene, served, size, orders)
        )

    def _said(
        self, call: _Call, scene: Scene, served: _Served, size: Size, orders: Orders
    ) -> httpx.Response:
        """The picture beside the text, which is empty."""
        fields: dict[str, Json] = {"role": "assistant", "content": ""}
        made = 0 if orders.fault in EMPTY else 1
        if made:
            text, kind = _picture(call, scene, served, size, orders)
            url = f"data:{kind};base64,{text}"
            fields["images"] = [{"type": "image_url", "image_url": {"url": url}, "index": 0}]
        elif orders.fault == "text_only":
            fields["content"] = chat.WORDS
        frame: dict[str, Json] = {
            "id": f"gen-{scene.identity.hex()[:24]}",
            "provider": "Google",
            "model": served.route.wire_model,
            "created": 1_795_000_000,
        }
        ended: dict[str, Json] = {"finish_reason": "stop", "native_finish_reason": "STOP"}
        usage = served.usage(scene, made)
        if scene.stream:
            return _streamed(call, frame, {**ended, "delta": fields}, usage)
        choice: Json = {"index": 0, **ended, "message": fields}
        return answer({**frame, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _met(
        self,
        call: _Call,
        scene: Scene,
        served: _Served,
        respond: Callable[[Orders], httpx.Response],
    ) -> httpx.Response:
        """What the call meets: a fault that its prompt asks for, or the answer."""
        orders = self._calls.orders(directives.parse(scene.prompt), NAME, call.request)
        if orders.fault == "timeout":
            return disturbed(httpx.Response(200), orders)
        try:
            refuse(orders.fault, served.route.wire_model)
            response = respond(orders)
        except Refused as refused:
            response = refused.response()
        return disturbed(response, orders)


def _picture(
    call: _Call, scene: Scene, served: _Served, size: Size, orders: Orders
) -> tuple[str, str]:
    """One picture in base64, and what it is said to be."""
    kind = served.model.output_formats[0]
    lies = Orders("wrong_mime") if call.key.startswith("lying") else orders
    painting = chat.painting(scene, served.route.wire_model, size, kind, orders)
    return packed(paint(painting), orders), IMAGE_TYPES[declared(kind, lies)]


def _streamed(
    call: _Call, frame: dict[str, Json], choice: dict[str, Json], usage: Json
) -> httpx.Response:
    """The whole picture in one event, as OpenRouter sends it, or an error in its place."""
    frame = {**frame, "object": "chat.completion.chunk"}
    if call.key.startswith("broken"):
        error = Refused(502, "Provider returned error", {"provider_name": "Google"}).error()
        failed: Json = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        chunks: list[Json] = [{**frame, "error": error, "choices": [failed]}]
    else:
        chunks = [
            {**frame, "choices": [{"index": 0, **choice}]},
            {**frame, "choices": [], "usage": usage},
        ]
    kind = {"content-type": "text/event-stream"}
    content = chat.events(chunks, "OPENROUTER PROCESSING")
    return httpx.Response(200, headers=kind, content=content)


def _key(request: httpx.Request) -> str:
    """The key shown. Raises Refused for one that opens nothing."""
    shown = str(request.headers.get("authorization", ""))
    key = shown.removeprefix("Bearer ").strip()
    if not key:
        raise Refused(401, "Missing Authentication header")
    if key.startswith("bad"):
        raise Refused(401, "User not found.")
    if key.startswith("poor"):
        raise Refused(402, "Insufficient credits. Add more using https://openrouter.ai/credits")
    return key


def _plain(listed: dict[str, Json]) -> Json:
    """A model as the general list shows it."""
    return {name: value for name, value in listed.items() if name != "supported_parameters"}
