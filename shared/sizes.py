"""How large a picture will be, pure: what a caller asked for in ratio, resolution or pixels, set
against what a model offers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shared.catalogue.rows import Model
from shared.domain import ImageRequest, Size

AUTO = "auto"
"""A value of the option `size`: the provider chooses."""


def resolution_of(request: ImageRequest, offer: Model) -> str:
    """The resolution that will be made: the one asked for, else the model's default."""
    return request.resolution or next(iter(offer.resolutions), "")


def ratio_of(request: ImageRequest, offer: Model) -> str | None:
    """The ratio that will be made: the one asked for, else the nearest to the first image given,
    else the model's default. None while that image is not at hand, or without any choice."""
    if request.aspect_ratio or not offer.aspect_ratios:
        return request.aspect_ratio
    if request.sources:
        first = request.sources[0]
        return nearest((first.width, first.height), offer.aspect_ratios)
    return None if request.refs else offer.aspect_ratios[0]


def nearest(shape: Size, ratios: Sequence[str]) -> str:
    """The ratio most like a shape."""
    wanted = math.log(shape[0] / shape[1])
    return min(ratios, key=lambda ratio: abs(_log(ratio) - wanted))


def size_of(request: ImageRequest, offer: Model) -> Size | None:
    """Its size in pixels; None where that is not known, or left to the provider."""
    asked = request.options.get("size")
    if isinstance(asked, str):
        return None if asked == AUTO else pixels(asked)
    ratio = ratio_of(request, offer)
    return offer.sizes[ratio][resolution_of(request, offer)] if ratio else None


def sizes_of(request: ImageRequest, offer: Model) -> tuple[Size, ...]:
    """Every size it may turn out to have."""
    size, resolution = size_of(request, offer), resolution_of(request, offer)
    if size:
        return (size,)
    return tuple(offer.sizes[r][resolution] for r in offer.aspect_ratios or tuple(offer.sizes))


def pixels(text: str) -> Size | None:
    """ "1024x768" → (1024, 768); None for anything else."""
    width, _, height = text.partition("x")
    if not (width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal()):
        return None
    if len(text) > 11 or not int(width) or not int(height):
        return None
    return int(width), int(height)


def _log(ratio: str) -> float:
    width, height = ratio.split(":")
    return math.log(int(width) / int(height))
