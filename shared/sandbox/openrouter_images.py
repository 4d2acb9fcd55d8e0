"""OpenRouter's image API as it is asked: fields, which of them a model takes, and what that makes
(openrouter.ai/docs/api/api-reference/images and the package openrouter 1.3.84, 2026-10)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.catalogue.rows import Model, Route
from shared.domain import Json, Size
from shared.sandbox import chat
from shared.sandbox.chat import ImageConfig, Malformed, Scene

MOST_REFERENCES = 16


class _Address(BaseModel):
    url: str = Field(min_length=1)


class _Reference(BaseModel):
    type: Literal["image_url"]
    image_url: _Address


class ImagesRequest(BaseModel):
    """The body of POST /images, without `size` and `stream`, which say the same in other words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    prompt: str = Field(min_length=1)
    n: int = Field(1, ge=1, le=10)
    aspect_ratio: str | None = Field(None, pattern=r"^(auto|[0-9.]{1,4}:[0-9.]{1,4})$")
    resolution: Literal["512", "768", "1K", "1.5K", "2K", "4K"] | None = None
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp", "svg"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    seed: int | None = None
    input_references: list[_Reference] = Field(default_factory=list, max_length=MOST_REFERENCES)
    provider: dict[str, JsonValue] | None = None
    user: str | None = None
    session_id: str | None = None
    trace: dict[str, JsonValue] | None = None


def understand(asked: ImagesRequest, call: bytes) -> Scene:
    """What is to be painted. Raises Malformed."""
    addresses = [reference.image_url.url for reference in asked.input_references]
    seed = call if asked.seed is None else f"seed {asked.seed}".encode()
    ratio = None if asked.aspect_ratio == "auto" else asked.aspect_ratio
    said = (asked.model.encode(), seed, asked.prompt.encode(), "".join(addresses).encode())
    return Scene(
        prompt=asked.prompt,
        stream=False,
        config=ImageConfig(aspect_ratio=ratio, image_size=asked.resolution),
        sources=tuple(map(chat.picture, addresses)),
        shown=len(addresses),
        characters=len(asked.prompt),
        identity=chat.digest(*said),
    )


def size(asked: ImagesRequest, scene: Scene, whole: Model, offer: Model) -> Size:
    """The size of the picture in pixels. Raises Malformed for what the model does not take."""
    if asked.n > 1:
        raise Malformed(f"{asked.model} makes one image a request: n must be 1")
    if len(asked.input_references) > whole.max_sources:
        raise Malformed(f"{asked.model} takes at most {whole.max_sources} input_references")
    return chat.size(scene, whole, offer)


def listed(model: Model, offer: Model, route: Route) -> dict[str, Json]:
    """A model as GET /images/models shows it."""
    takes: dict[str, Json] = {
        "resolution": {"type": "enum", "values": list(offer.resolutions)},
        "aspect_ratio": {"type": "enum", "values": list(offer.aspect_ratios)},
        "n": {"type": "range", "min": 1, "max": route.images_per_call},
        "input_references": {"type": "range", "min": 0, "max": offer.max_sources},
    }
    return {
        "id": route.wire_model,
        "name": model.name,
        "created": 1_795_000_000,
        "architecture": {
            "input_modalities": ["text", "image"],
            "output_modalities": ["image", "text"],
        },
        "supported_parameters": takes,
        "supports_streaming": False,
        "endpoints": f"/api/v1/images/models/{route.wire_model}/endpoints",
    }
