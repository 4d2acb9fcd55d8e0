"""What 3D AI Studio is sent for a picture: its fields, checked as strictly as its pages list them,
and what is to be painted for them.

Facts: www.3daistudio.com/Platform/API/Documentation/images (February 2026).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from shared.catalogue.rows import Model, Route
from shared.sandbox import directives
from shared.sandbox.painter import THUMBNAILS, BadPicture, Source, fitting, look
from shared.sandbox.solid import Solid
from shared.sandbox.threedaistudio_tasks import Sketch, small

B = TypeVar("B", bound=BaseModel)
AUTO = "auto"
MOST_IMAGES = {"images": 14, "image_urls": 10}
"""The field that an edit's pictures come in → how many there may be."""
DATA_URI = re.compile(r"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/]+=*)")
PRESETS = {
    "square_hd": "1:1",
    "square": "1:1",
    "portrait_4_3": "3:4",
    "portrait_16_9": "9:16",
    "landscape_4_3": "4:3",
    "landscape_16_9": "16:9",
}


class Refusal(Exception):
    """An answer that is an error: its status, code and words, and after how many seconds to come
    back, if it says so."""

    def __init__(self, status: int, code: str, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.message = message


class Body(BaseModel):
    """What every model takes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: str = Field(min_length=1)
    num_images: int = Field(1, ge=1)


class GeminiBody(Body):
    """A body for Gemini."""

    output_format: Literal["png", "jpeg", "webp"] = "png"
    aspect_ratio: str = AUTO
    resolution: str = "1K"
    images: list[str] = []


class SeedreamBody(Body):
    """A body for Seedream."""

    image_size: Literal[
        "square_hd",
        "square",
        "portrait_4_3",
        "portrait_16_9",
        "landscape_4_3",
        "landscape_16_9",
        "auto_2K",
        "auto_3K",
    ] = "auto_2K"
    seed: int | None = Field(None, ge=0)
    enable_safety_checker: bool = True
    image_urls: list[str] = []


@dataclass(frozen=True)
class Scene:
    """A request understood: what to paint or make, and what it costs."""

    prompt: str = field(repr=False)
    sketches: tuple[Sketch | Solid, ...]
    credits: Decimal


def understand(
    request: httpx.Request, action: str, found: tuple[Model, Route], call: bytes
) -> Scene:
    """Read and check a submission. `call` makes pictures without a seed differ. Raises Refusal."""
    offer, route = found
    body = _read(request, action, offer, route)
    seed = call
    if isinstance(body, GeminiBody):
        sent, kind, ratio = body.images, body.output_format, body.aspect_ratio
        resolution = body.resolution.removesuffix("px")
    else:
        sent, kind, ratio = body.image_urls, "png", PRESETS.get(body.image_size, AUTO)
        resolution = body.image_size.removeprefix("auto_")
        seed = call if body.seed is None else f"seed {body.seed}".encode()
    images = [image_of(uri) for uri in sent]
    sources = [source for _, source in images]
    ratio = fitting(sources, offer.aspect_ratios) if ratio == AUTO else ratio
    resolution = resolution if resolution in offer.sizes[ratio] else offer.resolutions[0]
    size = offer.sizes[ratio][resolution]
    said = (route.wire_model.encode(), repr(size).encode(), seed, body.prompt.encode())
    identity = b"".join(map(digest, (*said, *(data for data, _ in images))))
    sketch = Sketch(
        key=b"",
        model=route.wire_model,
        caption=directives.without(body.prompt)[:120],
        size=size,
        format=kind,
        sources=tuple(kept for source in sources[:THUMBNAILS] for kept in small(source)),
    )
    numbers = range(body.num_images)
    return Scene(
        prompt=body.prompt,
        sketches=tuple(replace(sketch, key=digest(identity + b"%d" % n)) for n in numbers),
        credits=_credits(route, resolution) * body.num_images,
    )


def _credits(route: Route, resolution: str) -> Decimal:
    """What one picture costs. A resolution that the row does not offer costs what others do."""
    prices = route.price.by or {}
    return Decimal(prices.get(resolution, max(prices.values()))) / 1_000_000


def _read(
    request: httpx.Request, action: str, offer: Model, route: Route
) -> GeminiBody | SeedreamBody:
    """The body of a picture, its fields checked one by one."""
    shape = SeedreamBody if route.wire_model.startswith("seedream/") else GeminiBody
    taken = [name for name in shape.model_fields if action == "edit" or name not in MOST_IMAGES]
    if len(offer.resolutions) == 1 and "resolution" in taken:
        taken.remove("resolution")
    body: GeminiBody | SeedreamBody = (
        read(request, SeedreamBody, taken)
        if shape is SeedreamBody
        else read(request, GeminiBody, taken)
    )
    _check(body, action, offer, route)
    return body


def read(request: httpx.Request, shape: type[B], taken: Sequence[str]) -> B:
    """A body of that shape, of whose fields only some are taken. Raises Refusal."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Refusal(415, "unsupported_media_type", "Unsupported media type in request.")
    try:
        fields = json.loads(request.content)
        strange = sorted(set(fields) - set(taken)) if isinstance(fields, dict) else []
        if strange:
            raise wrong(f"unknown field {strange[0]!r}: there are {', '.join(taken)}.")
        return shape.model_validate(fields)
    except ValidationError as error:
        raise wrong(_reason(error.errors(include_url=False)[0])) from error
    except (ValueError, RecursionError) as error:
        raise wrong(f"JSON parse error - {error}") from error


def _check(body: GeminiBody | SeedreamBody, action: str, offer: Model, route: Route) -> None:
    """What depends on the model."""
    if body.num_images > route.images_per_call:
        raise wrong(f"num_images: must be from 1 to {route.images_per_call}.")
    if len(body.prompt) > offer.prompt_limit:
        raise wrong(f"prompt: at most {offer.prompt_limit} characters.")
    name = "images" if isinstance(body, GeminiBody) else "image_urls"
    sent = body.images if isinstance(body, GeminiBody) else body.image_urls
    if action == "edit" and not 1 <= len(sent) <= MOST_IMAGES[name]:
        raise wrong(f"{name}: from 1 to {MOST_IMAGES[name]} images are needed.")
    if isinstance(body, GeminiBody):
        ratios = (AUTO, *offer.aspect_ratios)
        if body.aspect_ratio not in ratios:
            raise wrong(f"aspect_ratio: must be one of {', '.join(ratios)}.")
        resolutions = [f"{name}px" if name.isdecimal() else name for name in offer.resolutions]
        if body.resolution not in resolutions:
            raise wrong(f"resolution: must be one of {', '.join(resolutions)}.")


def image_of(uri: str) -> tuple[bytes, Source]:
    """A picture that came as a data URI: links are not followed."""
    match = DATA_URI.fullmatch(uri)
    if match is None:
        raise wrong("images: must be data URIs, such as data:image/png;base64,iVBOR…")
    try:
        data = base64.b64decode(match[1], validate=True)
        return data, look(data)
    except (ValueError, BadPicture) as error:
        raise wrong("images: not an image.") from error


def _reason(error: ErrorDetails) -> str:
    place = ".".join(map(str, error["loc"])) or "body"
    if error["type"] == "missing":
        return f"{place}: this field is required."
    allowed = error.get("ctx", {}).get("expected")
    return f"{place}: must be one of {allowed}." if allowed else f"{place}: {error['msg']}."


def wrong(message: str) -> Refusal:
    """The refusal of a field."""
    return Refusal(400, "validation_failed", message)


def digest(piece: bytes) -> bytes:
    """What a piece of a request counts for in a key."""
    return hashlib.sha256(piece).digest()
