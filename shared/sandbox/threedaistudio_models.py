"""What 3D AI Studio is sent for a 3D model: its fields, checked as strictly as its pages list them,
and what is to be made of them.

Facts: www.3daistudio.com/Platform/API/Documentation (3d-generation/tencent-hunyuan,
3d-generation/trellis2, texturing/tencent-hunyuan; 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field

from shared.catalogue.rows import Model, Route
from shared.domain import Json
from shared.sandbox import directives
from shared.sandbox.solid import Solid
from shared.sandbox.threedaistudio_bodies import (
    Scene,
    digest,
    image_of,
    read,
    wrong,
)

LONGEST_PROMPT = 1024
VIEWS = {
    "3.0": ("front", "left", "right", "back"),
    "3.1": ("front", "left", "right", "back", "top", "bottom", "left_front", "right_front"),
}
"""The views that a version knows, as a public client of 2026 sends them."""
ONLY_3_0 = ("LowPoly", "Sketch")
WITH_ARCHIVE = "tencent/generate/"
"""How the paths begin whose results have an archive beside the model."""


class Body(BaseModel):
    """What every endpoint may take, under names of its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    image: str | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """The pictures that came along."""
        return () if self.image is None else (self.image,)

    @property
    def version(self) -> str:
        """Which of a path's models is meant."""
        return ""

    @property
    def said(self) -> Mapping[str, Json]:
        """What a price may go by."""
        return self.model_dump(exclude={"image"})

    def check(self) -> None:
        """Raise Refusal for fields that do not go together."""


class PromptBody(Body):
    """A body that may have a prompt instead of a picture."""

    prompt: str | None = Field(None, min_length=1, max_length=LONGEST_PROMPT)


class View(BaseModel):
    """A picture of the thing from one side."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    view_type: str
    view_image: str


class HunyuanBody(PromptBody):
    """A body for the Pro edition of Hunyuan 3D."""

    model: Literal["3.0", "3.1"]
    enable_pbr: bool = False
    face_count: int = Field(500_000, ge=40_000, le=1_500_000)
    generate_type: Literal["Normal", "LowPoly", "Geometry", "Sketch"] = "Normal"
    polygon_type: Literal["triangle", "quadrilateral"] = "triangle"
    multi_view_images: list[View] = []

    @property
    def images(self) -> tuple[str, ...]:
        return (*super().images, *(view.view_image for view in self.multi_view_images))

    @property
    def version(self) -> str:
        return self.model

    @property
    def said(self) -> Mapping[str, Json]:
        return {"enable_pbr": self.enable_pbr, "multi_view": bool(self.multi_view_images)}

    def check(self) -> None:
        if not (self.prompt or self.images):
            raise wrong("prompt: required if no image is provided.")
        if self.prompt and self.images and self.generate_type != "Sketch":
            raise wrong("prompt and image: both only with generate_type Sketch.")
        if self.model == "3.1" and self.generate_type in ONLY_3_0:
            raise wrong(f"generate_type: {self.generate_type} is not available on model 3.1.")
        views = [view.view_type for view in self.multi_view_images]
        if set(views) - set(VIEWS[self.model]) or len(set(views)) < len(views):
            raise wrong(f"multi_view_images: each one of {', '.join(VIEWS[self.model])}, once.")
        if views and "front" not in views:
            raise wrong("multi_view_images: must include a front view.")


class TextureBody(PromptBody):
    """A body for a new texture on a model that lies elsewhere."""

    file_url: str = Field(pattern=r"^https?://[^\s/]+/")
    enable_pbr: bool = False

    def check(self) -> None:
        if (self.prompt is None) == (self.image is None):
            raise wrong("exactly one of image and prompt is needed.")
        if self.enable_pbr and self.prompt is None:
            raise wrong("enable_pbr: only supported when using a prompt.")


class TrellisBody(Body):
    """A body for TRELLIS.2."""

    image_url: str | None = None
    resolution: Literal["512", "1024", "1536"] = "1024"
    steps: int = Field(12, ge=1, le=50)
    textures: bool = False
    texture_size: Literal[1024, 2048, 4096] = 2048
    decimation_target: int = Field(1_000_000, ge=1_000, le=16_000_000)
    seed: int | None = Field(None, ge=0)
    generate_thumbnail: bool = False

    def check(self) -> None:
        if (self.image is None) == (self.image_url is None):
            raise wrong("exactly one of image and image_url is needed.")


SHAPES: Mapping[str, type[Body]] = {
    "tencent/generate/pro": HunyuanBody,
    "tencent/texture-edit": TextureBody,
    "trellis2/generate": TrellisBody,
}
"""Path → the body it takes."""


def path_of(route: Route) -> str:
    """Where a route's model is asked for: behind the colon stands its version."""
    return route.wire_model.partition(":")[0]


def understand(request: httpx.Request, offers: Sequence[tuple[Model, Route]], call: bytes) -> Scene:
    """The 3D model that is asked for, by the one of a path's offers that has its version. Where
    there is no seed, `call` makes it unlike any other. Raises Refusal."""
    shape = SHAPES[path_of(offers[0][1])]
    body = read(request, shape, tuple(shape.model_fields))
    body.check()
    found = [(o, r) for o, r in offers if r.wire_model.partition(":")[2] == body.version]
    if not found:
        raise wrong(f"model: {body.version} is not available.")
    offer, route = found[0]
    pictures = [image_of(uri)[0] for uri in body.images]
    prompt = body.prompt or "" if isinstance(body, PromptBody) else ""
    said = body.model_dump_json(exclude={"image", "multi_view_images"}).encode()
    seeded = isinstance(body, TrellisBody) and body.seed is not None
    pieces = (route.wire_model.encode(), said, b"" if seeded else call, *pictures)
    key = digest(b"".join(map(digest, pieces)))
    solid = Solid(key, directives.without(prompt)[:120])
    archives = (replace(solid, format="zip"),) if WITH_ARCHIVE in route.wire_model else ()
    price = route.price.of_options(body.said, offer.options) or 0
    return Scene(prompt=prompt, sketches=(*archives, solid), credits=Decimal(price) / 1_000_000)
