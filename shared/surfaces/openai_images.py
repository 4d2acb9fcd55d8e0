"""OpenAI's images/generations and images/edits as our requests, and our records as their answers.

Fields: openai 3.52 (types/image_generate_params.py, image_edit_params.py) and openai-openapi
(2026-08), `images` and `mask` of an edit in JSON as there; `image` in JSON as relays take it
(laozhang.ai, 2026-10). A form has texts only, so its numbers and flags are read by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared import body, sizes
from shared.body import Body, Files
from shared.catalogue.rows import Model
from shared.domain import IMAGE_TYPES, ImageRef, ImageRequest, Json, Record, Usage
from shared.errors import InvalidRequest
from shared.surfaces import (
    TIMEOUT_S,
    Asked,
    Shown,
    Support,
    Treatment,
    openai_fields,
    openai_refs,
    openai_size,
    options,
)
from shared.surfaces.openai_fields import Word
from shared.surfaces.openai_size import AUTO, SQUARE

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
_BOTH: dict[str, tuple[Treatment, str]] = {
    "model": ("honoured", "any id or alias of the catalogue; auto if left out"),
    "prompt": ("honoured", ""),
    "n": ("honoured", "up to the model's limit"),
    "size": ("honoured", "exact where the model takes any size, else by ratio and resolution"),
    "quality": ("honoured", "the model's quality, else the resolution"),
    "background": ("honoured", ""),
    "output_format": (
        "honoured",
        "png, jpeg, webp; if left out png, or the provider's own above 5 megapixels",
    ),
    "output_compression": ("honoured", "of jpeg and webp"),
    "moderation": ("honoured", "where the model has it, else ignored"),
    "complexity": ("honoured", "where the model has it, else ignored"),
    "input_fidelity": ("honoured", "where the model has it, else ignored"),
    "stream": ("honoured", ""),
    "partial_images": ("honoured", "as many as the provider sends"),
    "response_format": ("honoured", "url adds a signed link"),
    "user": ("ignored", "no provider is told about your users"),
    "safety_identifier": ("ignored", "no provider is told about your users"),
    "style": ("ignored", "of retired models"),
    "frame_count": ("ignored", "of the gif preview"),
    "frame_duration_ms": ("ignored", "of the gif preview"),
    "svg": ("ignored", "of the svg preview"),
}
SUPPORT: Support = {
    f"POST {GENERATIONS}": {
        **_BOTH,
        "image": ("refused", "send it to images/edits"),
        "images": ("refused", "send them to images/edits"),
        "mask": ("refused", "send it to images/edits"),
    },
    f"POST {EDITS}": {
        **_BOTH,
        "image": ("honoured", "files image, image[], images[]; in JSON a URL or a list of them"),
        "images": ("honoured", "in JSON: image_url or file_id each"),
        "mask": ("honoured", "a file, or image_url or file_id"),
        "markup": ("refused", "draw on the picture itself, or send a mask"),
    },
}
_LARGEST_PNG_PIXELS = 5_000_000
_NUMBERS = ("n", "output_compression", "partial_images")
_FLAGS = {"true": True, "false": False}
FORMATS = {kind: name for name, kind in IMAGE_TYPES.items()}
"""Content type → output format."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_picture(value: object) -> object:
    return {"image_url": value} if isinstance(value, str) else value


class PictureBody(Body):
    """An image in JSON: exactly one of the two."""

    image_url: str | None = None
    file_id: Word | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.image_url is None) == (self.file_id is None):
            raise ValueError("give exactly one of image_url and file_id")
        return self


class ImagesBody(Body):
    """What is read of a body; `image`, `images` and `mask` are an edit's."""

    model: Word = AUTO
    prompt: str
    n: int = Field(1, ge=1)
    size: Word | None = None
    quality: Word | None = None
    background: Literal["auto", "opaque", "transparent"] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    moderation: Word | None = None
    complexity: Word | None = None
    input_fidelity: Word | None = None
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    response_format: Literal["b64_json", "url"] = "b64_json"
    image: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        default_factory=list, max_length=body.MAX_IMAGES
    )
    images: list[PictureBody] = Field(default_factory=list, max_length=body.MAX_IMAGES)
    mask: Annotated[PictureBody | None, BeforeValidator(_as_picture)] = None


@dataclass(frozen=True)
class Read:
    """A body understood: the endpoint it is for, what was sent, and the names of what is passed
    over."""

    endpoint: str
    body: ImagesBody
    fields: Mapping[str, Json] = field(repr=False)
    ignored: tuple[str, ...] = ()


def from_form(texts: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a form, with its numbers and flags as such. Those left empty are none."""
    return {name: _form_value(name, text) for name, text in texts.items() if text}


def read(endpoint: str, fields: Mapping[str, Any]) -> Read:
    """A body found good as far as that can be said without a model. Raises InvalidRequest."""
    known, ignored = openai_fields.sort(fields, SUPPORT[f"POST {endpoint}"])
    said = body.validated(ImagesBody, known)
    if not said.prompt.strip():
        raise InvalidRequest("The prompt is empty.", param="prompt")
    if said.output_format in (None, "png") and said.output_compression not in (None, 100):
        raise InvalidRequest(
            "Compression less than 100 is not supported for PNG output format: use jpeg or webp.",
            param="output_compression",
        )
    return Read(endpoint, said, fields, ignored)


def asked(read: Read, files: Files, model: Model | None) -> Asked:
    """What is asked for of a model, or of whichever comes to make it. Raises InvalidRequest,
    PayloadTooLarge."""
    said, edits = read.body, read.endpoint == EDITS
    refs = _refs(said, files)
    if edits and not refs:
        raise InvalidRequest("Send at least one image to edit.", param="image")
    chosen = openai_size.shape(said.size, said.quality, model, None if edits else SQUARE)
    names = ("moderation", "complexity", "input_fidelity")
    extras = options(model, {name: (name, getattr(said, name)) for name in names})
    background, unclear = _background(said.background, model)
    unseen = ("partial_images",) if said.partial_images and not said.stream else ()
    request = ImageRequest(
        operation="edit" if edits else "generate",
        model=said.model,
        prompt=said.prompt,
        n=said.n,
        aspect_ratio=chosen.aspect_ratio,
        resolution=chosen.resolution,
        quality=chosen.quality,
        background=background,
        output_format=said.output_format,
        # A PNG has nothing to compress away.
        output_quality=said.output_compression if said.output_format in ("jpeg", "webp") else None,
        partial_images=said.partial_images if said.stream else 0,
        timeout_s=TIMEOUT_S,
        options={**extras.taken, **({"size": chosen.size} if chosen.size else {})},
        refs=refs,
        mask_ref=_mask(said, files),
    )
    if said.output_format is None and not _large(request, model):
        request = replace(request, output_format="png")
    return Asked(
        request=openai_fields.bounded(request, "prompt"),
        fields=read.fields,
        stream=said.stream,
        ignored=(*read.ignored, *extras.ignored, *chosen.ignored, *unclear, *unseen),
    )


def answer(
    record: Record, pictures: Sequence[Shown], model: Model | None, *, linked: bool
) -> dict[str, Json]:
    """An ended request as the images API answers. `linked` puts the link beside each picture."""
    return {
        "created": created(record),
        "data": [item(picture, linked=linked) for picture in pictures],
        **look(record, pictures[0], model),
        "usage": usage(record.usage),
    }


def item(picture: Shown, *, linked: bool) -> dict[str, Json]:
    """A picture in base64, by its link where that is not wanted or does not fit."""
    inline: dict[str, Json] = {"b64_json": picture.b64_json} if picture.b64_json else {}
    return inline | ({"url": picture.url} if linked or not inline else {})


def look(record: Record, picture: Shown, model: Model | None) -> dict[str, Json]:
    """What a picture is, with its real size."""
    return {
        "background": background_of(record),
        "output_format": FORMATS[picture.image.content_type],
        "quality": openai_size.quality_of(record.parameters, model),
        "size": f"{picture.image.width}x{picture.image.height}",
    }


def background_of(record: Record) -> str:
    """Every picture is opaque unless it was asked for otherwise."""
    asked = record.parameters.get("background")
    return "transparent" if asked == "transparent" else "opaque"


def created(record: Record) -> int:
    """When it was done, in Unix seconds."""
    return int((record.completed_at or record.created_at).timestamp())


def usage(counted: Usage, part: int = 0, parts: int = 1) -> dict[str, Json]:
    """What was counted, or one of so many equal parts of it, which add up to the whole."""
    image_in, image_out = counted.source_tokens, counted.image_tokens
    whole = (
        max(0, counted.input_tokens - image_in),
        image_in,
        max(0, counted.output_tokens - image_out),
        image_out,
    )
    text_in, image_in, text_out, image_out = (
        count // parts + (part < count % parts) for count in whole
    )
    return {
        "input_tokens": text_in + image_in,
        "input_tokens_details": {"image_tokens": image_in, "text_tokens": text_in},
        "output_tokens": text_out + image_out,
        "output_tokens_details": {"image_tokens": image_out, "text_tokens": text_out},
        "total_tokens": text_in + image_in + text_out + image_out,
    }


def _background(asked: str | None, model: Model | None) -> tuple[str | None, tuple[str, ...]]:
    """The background to ask a model for, and what cannot be promised. Models without a choice make
    opaque pictures, and choose so by themselves."""
    if asked is None or asked == "transparent":
        return asked, ()
    if model is not None:
        return (asked if asked in model.backgrounds else None), ()
    return None, ("background",) if asked == "opaque" else ()


def _large(request: ImageRequest, model: Model | None) -> bool:
    """Whether a picture is too large to be made a PNG of unasked: as OpenAI's default it would not
    fit into an answer, so the provider's own format is kept."""
    if model is None:
        return request.resolution in ("3K", "4K")
    return max(math.prod(size) for size in sizes.sizes_of(request, model)) > _LARGEST_PNG_PIXELS


def _refs(said: ImagesBody, files: Files) -> tuple[ImageRef, ...]:
    listed = [_ref(picture, f"images[{n}]") for n, picture in enumerate(said.images)]
    named = [openai_refs.of_url(url, f"image[{n}]") for n, url in enumerate(said.image)]
    return (*listed, *named, *(ImageRef(data=data) for data in files.images))


def _mask(said: ImagesBody, files: Files) -> ImageRef | None:
    if said.mask is not None:
        return _ref(said.mask, "mask")
    return ImageRef(data=files.mask) if files.mask is not None else None


def _ref(picture: PictureBody, param: str) -> ImageRef:
    if picture.file_id is not None:
        return openai_refs.of_file(picture.file_id)
    return openai_refs.of_url(picture.image_url or "", f"{param}.image_url")


def _form_value(name: str, text: str) -> object:
    if name in _NUMBERS and re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII):
        return int(text)
    return _FLAGS.get(text.lower(), text) if name == "stream" else text
