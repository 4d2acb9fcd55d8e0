"""OpenAI's image models: pictures made of a request, whole or as a stream of events.

Shapes: openai-openapi (2026-08) and recorded answers (2026-08).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from shared.catalogue.rows import Model
from shared.domain import Json, Size
from shared.sandbox import directives
from shared.sandbox.directives import Orders
from shared.sandbox.faults import declared, packed
from shared.sandbox.openai_checks import Asked
from shared.sandbox.openai_pictures import make
from shared.sandbox.openai_wire import answer
from shared.sandbox.painter import Picture

CHARACTERS_PER_TOKEN = 4
OVERHEAD_TOKENS = 6
PARTIAL_TOKENS = 100
"""What the text of a request counts on top of its words, and each partial image."""


@dataclass(frozen=True)
class Scene:
    """A request understood, nothing left to choose: `call` makes every answer differ."""

    asked: Asked
    model: Model
    wire_model: str
    size: Size
    quality: str
    background: str
    created: int
    call: bytes


def understand(asked: Asked, model: Model, wire_model: str, created: int, call: bytes) -> Scene:
    """Choose what was left to the provider."""
    return Scene(
        asked=asked,
        model=model,
        wire_model=wire_model,
        size=_size(asked, model),
        quality="high" if asked.quality == "auto" else asked.quality,
        background="opaque" if asked.background == "auto" else asked.background,
        created=created,
        call=call,
    )


def respond(scene: Scene, orders: Orders) -> httpx.Response:
    """The answer, whole or as events."""
    if scene.asked.stream:
        text = "".join(_events(scene, orders))
        kind = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.Response(200, headers=kind, content=text.encode())
    each = orders.shared_by(scene.asked.n)
    data: list[Json] = [
        {"b64_json": packed(_picture(scene, each, str(number)), orders)}
        for number in range(_count(scene, orders))
    ]
    if orders.fault == "text_only":
        data = [{"revised_prompt": "I would rather describe this than draw it."}]
    usage = _usage(scene, len(data))
    made, read = usage["output_tokens"], usage["input_tokens_details"]
    usage = {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": read,
        "output_tokens": made,
        "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
        "total_tokens": usage["total_tokens"],
    }
    look = _look(scene, orders)
    return answer(
        {
            "created": scene.created,
            "background": look["background"],
            "data": data,
            "output_format": look["output_format"],
            "quality": look["quality"],
            "size": look["size"],
            "usage": usage,
        }
    )


def _events(scene: Scene, orders: Orders) -> Iterator[str]:
    """The sketches of the picture, and itself. The last event ends with a blank line, without which
    a client would lose it."""
    kind = "image_edit" if scene.asked.sources else "image_generation"
    look = _look(scene, orders) | {"created_at": scene.created}
    if not _count(scene, orders):
        return
    for index in range(scene.asked.partial_images):
        sketch = _picture(scene, orders, f"0.{index}")
        step: dict[str, Json] = {"b64_json": packed(sketch, orders), **look}
        yield _event(f"{kind}.partial_image", step | {"partial_image_index": index})
    whole = packed(_picture(scene, orders, "0"), orders)
    yield _event(f"{kind}.completed", {"b64_json": whole, **look, "usage": _usage(scene, 1)})


def _event(kind: str, fields: dict[str, Json]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _look(scene: Scene, orders: Orders) -> dict[str, Json]:
    """What an answer says its pictures are."""
    return {
        "size": f"{scene.size[0]}x{scene.size[1]}",
        "quality": scene.quality,
        "background": scene.background,
        "output_format": declared(scene.asked.format, orders),
    }


def _count(scene: Scene, orders: Orders) -> int:
    if orders.fault in ("no_image", "text_only"):
        return 0
    return scene.asked.n - (orders.fault == "partial")


def _size(asked: Asked, model: Model) -> Size:
    """What was asked for, or the first resolution in the shape of the first image."""
    if asked.size != "auto":
        width, _, height = asked.size.partition("x")
        return int(width), int(height)
    sizes = [model.sizes[ratio][model.resolutions[0]] for ratio in model.aspect_ratios]
    if not asked.sources:
        return sizes[0]
    wanted = math.log(asked.sources[0].width / asked.sources[0].height)
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1]) - wanted))


def _usage(scene: Scene, pictures: int) -> dict[str, Json]:
    asked = scene.asked
    each = scene.model.tokens(scene.quality, scene.model.resolutions[0], scene.size) or 0
    made = pictures * (each + PARTIAL_TOKENS * asked.partial_images)
    images = len(asked.sources) * scene.model.source_tokens
    text = -(-len(asked.prompt) // CHARACTERS_PER_TOKEN) + OVERHEAD_TOKENS
    return {
        "input_tokens": text + images,
        "output_tokens": made,
        "total_tokens": text + images + made,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
    }


def _picture(scene: Scene, orders: Orders, which: str) -> bytes:
    said = f"{scene.wire_model}\n{scene.size}\n{which}\n{scene.asked.prompt}".encode()
    picture = Picture(
        key=hashlib.sha256(scene.call + said).digest(),
        model=scene.wire_model,
        caption=directives.without(scene.asked.prompt),
        size=scene.size,
        format=scene.asked.format,
        sources=scene.asked.sources,
        min_bytes=orders.min_bytes,
    )
    return make(picture, scene.asked.compression, scene.background == "transparent")
