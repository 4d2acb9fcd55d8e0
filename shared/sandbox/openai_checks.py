"""What OpenAI's images API takes of a request, and how it refuses the rest.

Wordings: answers quoted in public issues (2025-05 to 2026-10) where one was found, else like them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.catalogue.rows import Model, Option
from shared.domain import Json, Size
from shared.sandbox.openai_pictures import alpha_size
from shared.sandbox.openai_wire import FILES, IMAGE_PART, Body, Refusal
from shared.sandbox.painter import BadPicture, Source, look

FORMATS = ("png", "jpeg", "webp")
MOST_PROMPT, MOST_IMAGES = 32_000, 10
MOST_URL = 20_971_520
LARGEST_IMAGE_BYTES, LARGEST_MASK_BYTES = 50_000_000, 4_000_000
USER_ERROR = "image_generation_user_error"
TEXTS = ("model", "prompt", "safety_identifier", "user")
CHOICES = ("size", "quality", "background", "output_format", "moderation", "complexity")
NUMBERS = {"n": (1, MOST_IMAGES), "output_compression": (0, 100), "partial_images": (0, 3)}
COMMON = {*TEXTS, *CHOICES, *NUMBERS, "stream"}


@dataclass(frozen=True)
class Asked:
    """A request found good. `size`, `quality` and `background` may be "auto"; `compression` is the
    quality of a JPEG or WebP."""

    prompt: str = field(repr=False)
    n: int = 1
    size: str = "auto"
    quality: str = "auto"
    background: str = "auto"
    format: str = "png"
    compression: int | None = None
    stream: bool = False
    partial_images: int = 0
    sources: tuple[Source, ...] = ()


def check(body: Body, model: Model, wire_model: str, edits: bool) -> Asked:
    """The request, if all of it is good. Raises Refusal."""
    fields = body.fields
    for name in fields:
        if name not in _known(body, model, edits):
            raise Refusal(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )
    numbers = {name: _number(fields, name, *span) for name, span in NUMBERS.items()}
    asked = Asked(
        prompt=_prompt(fields),
        n=numbers["n"] or 1,
        size=_size(fields, model),
        quality=_choice(fields, "quality", model.qualities) or "auto",
        background=_background(fields, model),
        format=_choice(fields, "output_format", FORMATS) or "png",
        compression=numbers["output_compression"],
        stream=_flag(fields, "stream"),
        partial_images=numbers["partial_images"] or 0,
        sources=_sources(body) if edits else (),
    )
    for name in ("moderation", "complexity", "input_fidelity"):
        if name in fields:
            _choice(fields, name, _values(model.options.get(name), name, wire_model))
    _check_format(asked)
    if asked.stream and asked.n > 1:
        words = "Streaming is only supported with n=1."
        raise Refusal(400, words, code="unsupported_parameter", param="input", kind=USER_ERROR)
    return asked


def _known(body: Body, model: Model, edits: bool) -> set[str]:
    known = COMMON - ({"complexity"} - set(model.options))
    if not edits:
        return known
    known = known | {"input_fidelity"}
    return known - {"moderation"} if body.form else known | {"images", "mask"}


def _values(option: Option | None, name: str, wire_model: str) -> tuple[str, ...]:
    if option is None:
        raise Refusal(
            400,
            f"The model '{wire_model}' does not support the '{name}' parameter.",
            code=f"invalid_{name}_model",
            param=name,
        )
    return option.values


def _prompt(fields: Mapping[str, Json]) -> str:
    prompt = fields.get("prompt")
    if prompt is None or prompt == "":
        raise _missing("prompt")
    if not isinstance(prompt, str):
        raise _wrong_type("prompt", "a string", prompt)
    if len(prompt) > MOST_PROMPT:
        raise Refusal(
            400,
            f"Invalid 'prompt': string too long. Expected a string with maximum length "
            f"{MOST_PROMPT}, but got a string with length {len(prompt)} instead.",
            code="string_above_max_length",
            param="prompt",
        )
    return prompt


def _number(fields: Mapping[str, Json], name: str, low: int, high: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(name, "an integer", value)
    if not low <= value <= high:
        over, sign, limit = ("above max", "<=", high) if value > high else ("below min", ">=", low)
        words, code = f"{over}imum value", f"integer_{over.replace(' ', '_')}_value"
        raise Refusal(
            400,
            f"Invalid '{name}': integer {words}. Expected a value {sign} {limit}, but got {value} "
            "instead.",
            code=code,
            param=name,
        )
    return value


def _flag(fields: Mapping[str, Json], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise _wrong_type(name, "a boolean", value)
    return value


def _choice(fields: Mapping[str, Json], name: str, allowed: tuple[str, ...]) -> str | None:
    value = fields.get(name)
    if value is None or value in allowed:
        return value if isinstance(value, str) else None
    if not isinstance(value, str):
        raise _wrong_type(name, "a string", value)
    *rest, last = [f"'{choice}'" for choice in allowed]
    some = f"values are: {', '.join(rest)}, and {last}" if rest else f"value is: {last}"
    raise Refusal(
        400,
        f"Invalid value: '{value[:100]}'. Supported {some}.",
        code="invalid_value",
        param=name,
    )


def _background(fields: Mapping[str, Json], model: Model) -> str:
    chosen = _choice(fields, "background", ("transparent", "opaque", "auto")) or "auto"
    if chosen not in model.backgrounds:
        words = "Transparent background is not supported for this model."
        raise Refusal(400, words, code="invalid_value", param="background", kind=USER_ERROR)
    return chosen


def _size(fields: Mapping[str, Json], model: Model) -> str:
    value, option = fields.get("size"), model.options.get("size")
    named = option.values if option else ()
    if option is None or option.kind != "size" or value is None or value in named:
        return _choice(fields, "size", named) or "auto"
    if not isinstance(value, str):
        raise _wrong_type("size", "a string", value)
    size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
    wrong = _wrong_size((int(size[1]), int(size[2])), option) if size else "Use WIDTHxHEIGHT."
    if wrong:
        words = f"Invalid size '{value[:100]}'. {wrong}"
        raise Refusal(400, words, code="invalid_value", param="size", kind=USER_ERROR)
    return value


def _wrong_size(size: Size, option: Option) -> str:
    short, long, pixels = min(size), max(size), size[0] * size[1]
    if any(side % option.step for side in size):
        return f"Width and height must both be divisible by {option.step}."
    if option.longest and long > option.longest:
        return f"The longest edge must be at most {option.longest} pixels."
    if option.widest and long > short * option.widest:
        return "The aspect ratio must be between 1:3 and 3:1."
    if not (option.min or 0) <= pixels <= (option.max or pixels):
        return f"It must have between {option.min:g} and {option.max:g} pixels."
    return ""


def _check_format(asked: Asked) -> None:
    if asked.background == "transparent" and asked.format == "jpeg":
        words = "Transparent background is not supported for JPEG output format."
        raise Refusal(400, words, code="invalid_value", param="background", kind=USER_ERROR)
    if asked.format == "png" and asked.compression not in (None, 100):
        words = "Compression less than 100 is not supported for PNG output format."
        raise Refusal(400, words, code="invalid_png_output_compression", kind=USER_ERROR)


def _sources(body: Body) -> tuple[Source, ...]:
    """The images of an edit; the mask and the markup are looked at and done with."""
    param = "image" if body.form else "images"
    images = _in_form(body) if body.form else _in_json(body.fields.get("images"))
    if not images:
        raise _missing(param)
    if len(images) > 16:
        raise Refusal(
            400,
            f"Invalid '{param}': array too long. Expected an array with maximum length 16, but got "
            f"an array with length {len(images)} instead.",
            code="array_above_max_length",
            param=param,
        )
    sources = tuple(_image(data, number) for number, data in enumerate(images, 1))
    overlays = {name: data for name, data in body.files if name in FILES}
    if not body.form and (mask := body.fields.get("mask")) is not None:
        overlays["mask"] = _named(mask, "mask")
    if len(overlays) == len(FILES):
        raise Refusal(400, "'mask' and 'markup' cannot be used together.", code="invalid_value")
    for name, data in overlays.items():
        _check_overlay(name, data, sources[0])
    return sources


def _in_form(body: Body) -> list[bytes]:
    for name, _ in body.files:
        if name not in FILES and not IMAGE_PART.fullmatch(name):
            raise Refusal(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )
    return [data for name, data in body.files if name not in FILES]


def _in_json(value: Json) -> list[bytes]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong_type("images", "an array of objects", value)
    return [_named(item, f"images[{i}]") for i, item in enumerate(value)]


def _named(item: Json, param: str) -> bytes:
    """The bytes of a picture in a JSON body."""
    url = item.get("image_url") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or len(item) != 1 or not {*item} <= {"image_url", "file_id"}:
        words = f"Invalid '{param}': provide exactly one of 'image_url' or 'file_id'."
        raise Refusal(400, words, code="invalid_value", param=param)
    if not isinstance(url, str) or len(url) > MOST_URL or not url.startswith("data:image/"):
        words = f"Invalid '{param}': the sandbox takes data URLs of at most {MOST_URL} characters."
        raise Refusal(400, words, code="invalid_value", param=param)
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error as error:
        words = f"Invalid '{param}': the data URL is not valid base64."
        raise Refusal(400, words, code="invalid_value", param=param) from error


def _image(data: bytes, number: int) -> Source:
    try:
        source = look(data)
    except BadPicture:
        source = None
    if source is None or source.thumbnail is None or len(data) > LARGEST_IMAGE_BYTES:
        raise Refusal(
            400,
            f"Invalid image file or mode for image {number}, please check your image file.",
            code="invalid_image_file",
            param="image",
            kind=USER_ERROR,
        )
    return source


def _check_overlay(name: str, data: bytes, first: Source) -> None:
    try:
        size, alpha = alpha_size(data)
    except BadPicture:
        size, alpha = (0, 0), False
    wrong = ""
    if len(data) > LARGEST_MASK_BYTES:
        wrong = f"{name} image must be less than 4MB"
    elif not alpha:
        wrong = f"{name} image must be a PNG with an alpha channel"
    elif size != (first.width, first.height):
        wrong = f"{name} size does not match image size"
    if wrong:
        words = f"Invalid {name} image format - {wrong}"
        code = f"invalid_{name}_image_format"
        raise Refusal(400, words, code=code, param=name, kind=USER_ERROR)


def _missing(name: str) -> Refusal:
    words = f"Missing required parameter: '{name}'."
    return Refusal(400, words, code="missing_required_parameter", param=name)


def _wrong_type(name: str, wanted: str, value: Json) -> Refusal:
    kinds = {bool: "a boolean", int: "an integer", float: "a decimal number", str: "a string"}
    got = kinds.get(type(value), "an array" if isinstance(value, list) else "an object")
    return Refusal(
        400,
        f"Invalid type for '{name}': expected {wanted}, but got {got} instead.",
        code="invalid_type",
        param=name,
    )
