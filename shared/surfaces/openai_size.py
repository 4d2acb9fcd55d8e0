"""OpenAI's `size` and `quality` as our aspect ratio, resolution, quality or exact size.

A model that takes any size, or OpenAI's own, is given it as it is. For others there is the table
that litellm and new-api use (litellm llms/openrouter/image_generation/transformation.py, new-api
relay/channel/gemini/adaptor.go, 2026-10): the size says the ratio and the quality the resolution.
Without a quality that is the resolution nearest in pixels. Nothing is clamped: what a model does
not make is refused, and a quality with nothing to choose is named as ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared import capabilities, sizes
from shared.catalogue.rows import Model
from shared.domain import Json, Record, Size
from shared.errors import InvalidRequest

AUTO = sizes.AUTO
SQUARE = "1:1"
RATIOS = {
    "256x256": SQUARE,
    "512x512": SQUARE,
    "1024x1024": SQUARE,
    "1536x1024": "3:2",
    "1024x1536": "2:3",
    "1792x1024": "16:9",
    "1024x1792": "9:16",
}
"""The sizes OpenAI has names for, today's and those of dall-e."""
RESOLUTIONS = {"low": "1K", "standard": "1K", "medium": "2K", "high": "4K", "hd": "4K"}
_WORDS = {"1K": "low", "2K": "medium", "4K": "high"}
_RETIRED = {"standard": "medium", "hd": "high"}
_QUALITIES = frozenset({*RESOLUTIONS, "xhigh", "max"})
_SIDES = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
"""A square's side at each resolution that many models have, for when it is not settled which will
make it."""
_NAMED = (*_SIDES, "3K")
_RATIO = re.compile(r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}", re.ASCII)
_SHOWN = 4
_LARGER = 2
"""How many times the pixels may be asked for that a picture of the same shape has."""


@dataclass(frozen=True)
class Shape:
    """What was asked for in our fields; `size` is the option of that name. `settled` says that the
    size leaves no resolution to choose, `ignored` which of OpenAI's fields had nothing to say."""

    aspect_ratio: str | None = None
    resolution: str | None = None
    quality: str | None = None
    size: str | None = None
    settled: bool = False
    ignored: tuple[str, ...] = ()


def shape(size: str | None, quality: str | None, model: Model | None, auto: str | None) -> Shape:
    """Size and quality on a model, or on whichever comes to make it. `auto` is the ratio where none
    is asked for, None to leave that open. Raises InvalidRequest."""
    told = _sized(size, model, auto)
    if model is not None and model.qualities:
        return replace(told, quality=_RETIRED.get(quality or "", quality))
    if quality is None or quality == AUTO:
        return told
    resolution = _resolution(quality, model)
    if told.settled or resolution is None:
        return replace(told, ignored=("quality",))
    return replace(told, resolution=resolution)


def quality_of(asked: Mapping[str, Json], model: Model | None) -> str | None:
    """OpenAI's word for the quality of what was made, from a record's parameters: the one asked
    for, or that would have asked for the same. None where there is none, or nobody knows."""
    if model is None or not (model.qualities or len(model.resolutions) > 1):
        return None
    if model.qualities:
        chosen = asked.get("quality") or model.qualities[0]
        return str(chosen) if chosen != AUTO else None
    if "size" in _options(asked):
        return None
    return _WORDS.get(str(asked.get("resolution") or model.resolutions[0]))


def size_of(record: Record, model: Model | None) -> str:
    """The size its pictures are going to have, as far as that is known: an edit without any follows
    its first image."""
    asked = record.parameters
    exact, ratio = _options(asked).get("size"), asked.get("aspect_ratio")
    if isinstance(exact, str) or model is None:
        return str(exact or AUTO)
    if ratio is None and record.operation == "generate":
        ratio = model.aspect_ratios[0]
    made = model.sizes.get(str(ratio), {})
    size = made.get(str(asked.get("resolution") or model.resolutions[0]))
    return _text(size) if size else AUTO


def _options(asked: Mapping[str, Json]) -> Mapping[str, Json]:
    options = asked.get("options")
    return options if isinstance(options, Mapping) else {}


def _sized(size: str | None, model: Model | None, auto: str | None) -> Shape:
    """What the size says. Its resolution is the nearest, unless that is settled."""
    free = model is not None and "size" in model.options
    if size is None or size == AUTO:
        return Shape(aspect_ratio=None if free else auto)
    if _RATIO.fullmatch(size):
        if model is not None and size not in model.aspect_ratios:
            raise _not_made(size, model)
        return Shape(aspect_ratio=size)
    if size in _resolutions(model):
        return Shape(resolution=size, settled=True)
    if free and not (model and RATIOS.get(size) in model.aspect_ratios and _refuses(model, size)):
        return Shape(size=size, settled=True)
    asked = sizes.pixels(size)
    if asked is None:
        raise _not_made(size, model)
    return _of_pixels(asked, model)


def _refuses(model: Model, size: str) -> bool:
    """Whether a model that has sizes of its own has not this one: some have no small ones."""
    return not capabilities.allows(model.options["size"], size)


def _of_pixels(asked: Size, model: Model | None) -> Shape:
    ratio = RATIOS.get(_text(asked))
    if model is None:
        ratio = ratio or _reduced(asked)
        nearest = min(_SIDES, key=lambda name: abs(_SIDES[name] ** 2 - asked[0] * asked[1]))
        return Shape(aspect_ratio=ratio, resolution=nearest)
    if ratio is None:
        for own, by_resolution in model.sizes.items():
            for resolution, size in by_resolution.items():
                if size == asked:
                    return Shape(aspect_ratio=own, resolution=resolution, settled=True)
        ratio = next((r for r in model.aspect_ratios if _is(r, asked)), None)
    if ratio not in model.aspect_ratios:
        raise _not_made(_text(asked), model)
    made = model.sizes[ratio]
    nearest = min(model.resolutions, key=lambda name: abs(math.prod(made[name]) - math.prod(asked)))
    if math.prod(asked) > _LARGER * math.prod(made[nearest]):
        raise _not_made(_text(asked), model)
    if len(model.resolutions) == 1:
        return Shape(aspect_ratio=ratio)
    return Shape(aspect_ratio=ratio, resolution=nearest)


def _resolution(quality: str, model: Model | None) -> str | None:
    """The resolution that a quality stands for; None where there is no choice. Raises
    InvalidRequest."""
    offered = _resolutions(model)
    named = quality in offered or quality in _NAMED
    if len(offered) == 1 and not named and quality in _QUALITIES:
        return None
    resolution = quality if named else RESOLUTIONS.get(quality)
    if resolution not in offered:
        words = [word for word, meant in RESOLUTIONS.items() if meant in offered]
        who = model.id if model is not None else "all models"
        raise InvalidRequest(
            f"There is no quality {quality!r} of {who}. These work: "
            f"{', '.join([AUTO, *words, *offered])}.",
            param="quality",
        )
    return resolution


def _resolutions(model: Model | None) -> tuple[str, ...]:
    return model.resolutions if model is not None else _NAMED


def _is(ratio: str, size: Size) -> bool:
    width, height = map(int, ratio.split(":"))
    return size[0] * height == size[1] * width


def _reduced(size: Size) -> str:
    divisor = math.gcd(*size)
    ratio = f"{size[0] // divisor}:{size[1] // divisor}"
    # Two names of one ratio, of which models use the longer.
    return {"7:3": "21:9", "3:7": "9:21"}.get(ratio, ratio)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _not_made(size: str, model: Model | None) -> InvalidRequest:
    """The refusal of a size, with what there is instead."""
    if model is None:
        return InvalidRequest(
            f"The size {size!r} is not understood. Send WIDTHxHEIGHT, an aspect ratio such as 16:9 "
            f"or one of {', '.join(_NAMED)}.",
            param="size",
        )
    first = [model.sizes[ratio][model.resolutions[0]] for ratio in model.aspect_ratios[:_SHOWN]]
    return InvalidRequest(
        f"{model.id} makes no {size!r}. It makes the aspect ratios "
        f"{', '.join(model.aspect_ratios)} at {', '.join(model.resolutions)}: send one of these, "
        f"or a size such as {', '.join(map(_text, first))}.",
        param="size",
    )
