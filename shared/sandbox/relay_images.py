"""images/generations as a relay speaks it: OpenAI's fields, with reference pictures in `image`
(docs.laozhang.ai/en/api-capabilities/gpt-image-2, 2026)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.domain import Json, Size
from shared.sandbox import chat
from shared.sandbox.chat import ImageConfig, Malformed, Scene
from shared.sandbox.directives import Orders
from shared.sandbox.faults import declared, packed
from shared.sandbox.painter import paint
from shared.sandbox.relay_chat import Booth

LONGEST_SIDE = 4096
EMPTY = ("no_image", "text_only")


class ImagesRequest(BaseModel):
    """The body. `image` is one reference or several, by address or as data URLs."""

    model_config = ConfigDict(frozen=True)

    model: str
    prompt: str = Field(min_length=1)
    n: int = Field(1, ge=1, le=4)
    size: str = Field("", pattern=r"^([1-9][0-9]{1,3}x[1-9][0-9]{1,3}|auto|)$")
    image: str | list[str] = Field(default_factory=list)
    response_format: Literal["url", "b64_json"] = "b64_json"

    @property
    def pixels(self) -> Size | None:
        """The size asked for, if any. Raises Malformed."""
        width, _, height = self.size.partition("x")
        if not height:
            return None
        if max(int(width), int(height)) > LONGEST_SIDE:
            raise Malformed(f"size: no side may be over {LONGEST_SIDE}")
        return int(width), int(height)


def understand(request: ImagesRequest, call: bytes) -> Scene:
    """What is to be painted. Raises Malformed."""
    addresses = [request.image] if isinstance(request.image, str) else [*request.image]
    pictures = "".join(addresses).encode()
    return Scene(
        prompt=request.prompt,
        stream=False,
        config=ImageConfig(),
        sources=tuple(map(chat.picture, addresses)),
        shown=len(addresses),
        characters=len(request.prompt),
        identity=chat.digest(request.model.encode(), call, request.prompt.encode(), pictures),
    )


def respond(request: ImagesRequest, scene: Scene, booth: Booth, orders: Orders) -> dict[str, Json]:
    """The body of the answer. It counts nothing."""
    if orders.fault in EMPTY:
        return {"created": 1_795_000_000, "data": []}
    kept = request.n - (orders.fault == "partial")
    data = [_picture(request, scene, booth, orders, i) for i in range(kept)]
    return {"created": 1_795_000_000, "data": data}


def _picture(
    request: ImagesRequest, scene: Scene, booth: Booth, orders: Orders, number: int
) -> Json:
    kind = booth.model.output_formats[0]
    painting = chat.painting(scene, booth.wire_model, booth.size, kind, orders)
    picture = replace(painting, key=chat.digest(painting.key, str(number).encode()))
    if request.response_format == "url" and orders.fault != "bad_base64":
        return {"url": booth.gallery.hang(picture, declared(kind, orders), booth.request)}
    return {"b64_json": packed(paint(picture), orders)}
