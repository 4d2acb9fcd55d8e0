"""What a relay answers to chat/completions that asks for a picture: one of several shapes, whole or
as a stream, or words alone (new-api's relay-gemini.go, 2026)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx

from shared.catalogue.rows import Model
from shared.domain import IMAGE_TYPES, Json, Size
from shared.sandbox import chat
from shared.sandbox.chat import Scene
from shared.sandbox.directives import Orders
from shared.sandbox.faults import declared, packed
from shared.sandbox.painter import paint
from shared.sandbox.relay_errors import answer
from shared.sandbox.relay_gallery import Gallery
from shared.sandbox.relay_shapes import ADDRESSED, SHAPES, Fields, Shown, beside

SILENT = ("no_image", "text_only", "partial")


@dataclass(frozen=True)
class Manner:
    """How a call is answered: the shape, how many pictures, and what is wrong with them."""

    shape: str
    count: int = 1
    torn: bool = False
    streams: bool = False


@dataclass(frozen=True)
class Booth:
    """Where a call is answered: the model, its name there, the size it makes, the gallery of the
    relay and the request itself."""

    model: Model
    wire_model: str
    size: Size
    gallery: Gallery
    request: httpx.Request


def respond(scene: Scene, booth: Booth, manner: Manner, orders: Orders) -> httpx.Response:
    """The answer, streamed if that is asked for, or in the relay's manner."""
    silent = orders.fault in SILENT
    if orders.fault == "bad_base64" and manner.shape in ADDRESSED:
        manner = replace(manner, shape="markdown")
    if silent:
        fields: Fields = {"content": chat.WORDS if orders.fault == "text_only" else ""}
        extra: Fields = {}
    else:
        shown = [_shown(scene, booth, manner, orders, i) for i in range(manner.count)]
        fields, extra = SHAPES[manner.shape](shown), beside(manner.shape, shown)
    reason = "content_filter" if orders.fault == "partial" else "stop"
    tokens, image = chat.counts(scene, booth.model, 0 if silent else manner.count)
    usage: Json = {
        "prompt_tokens": tokens,
        "completion_tokens": image,
        "total_tokens": tokens + image,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 0, "image_tokens": 0},
        "completion_tokens_details": {"text_tokens": 0, "reasoning_tokens": 0},
    }
    frame: Fields = {
        "id": f"chatcmpl-{scene.identity.hex()[:29]}",
        "created": 1_795_000_000,
        "model": booth.wire_model,
    }
    if scene.stream or manner.streams:
        return _streamed(frame, {**fields, **extra}, reason, usage)
    choice: Json = {
        "index": 0,
        "message": {"role": "assistant", **fields},
        "finish_reason": reason,
    }
    body: Json = {
        **frame,
        "object": "chat.completion",
        "choices": [choice],
        **extra,
        "usage": usage,
    }
    return answer(body)


def _streamed(frame: Fields, said: Fields, reason: str, usage: Json) -> httpx.Response:
    """Everything in one event, as new-api sends it, then how it ended and what it cost."""
    frame = {**frame, "object": "chat.completion.chunk"}
    media = {name: value for name, value in said.items() if name == "media"}
    fields = {name: value for name, value in said.items() if name != "media"}
    first: Json = {"index": 0, "delta": {"role": "assistant", **fields}, "finish_reason": None}
    last: Json = {"index": 0, "delta": {}, "finish_reason": reason}
    chunks: list[Json] = [
        {**frame, "choices": [first], **media},
        {**frame, "choices": [last]},
        {**frame, "choices": [], "usage": usage},
    ]
    kind = {"content-type": "text/event-stream"}
    return httpx.Response(200, headers=kind, content=chat.events(chunks))


def _shown(scene: Scene, booth: Booth, manner: Manner, orders: Orders, number: int) -> Shown:
    """One picture. It is painted only where its bytes are sent."""
    kind = booth.model.output_formats[0]
    said = declared(kind, orders)
    picture = chat.painting(scene, booth.wire_model, booth.size, kind, orders)
    if number:
        picture = replace(picture, key=chat.digest(picture.key, str(number).encode()))
    if manner.shape in ADDRESSED:
        return Shown("", "", booth.gallery.hang(picture, said, booth.request))
    data = packed(paint(picture), orders)
    return Shown(data[: len(data) // 2 - 1] if manner.torn else data, IMAGE_TYPES[said], "")
