"""How large a picture gets, by what was asked and what a model offers."""

from __future__ import annotations

import pytest

from shared import sizes
from shared.catalogue import load
from shared.domain import ImageRef, ImageRequest, Size, Source

CATALOGUE = load()
OFFER = CATALOGUE.models["gpt-image-2"]


def asked(**fields: object) -> ImageRequest:
    return ImageRequest("generate", "gpt-image-2", "x", **fields)  # type: ignore[arg-type] # a test's shorthand


def source(width: int, height: int) -> Source:
    return Source(b"", "image/png", width, height)


def test_what_is_left_out_is_the_models_default() -> None:
    assert sizes.size_of(asked(), OFFER) == (1024, 1024)
    assert sizes.size_of(asked(resolution="2K"), OFFER) == (2048, 2048)


def test_a_ratio_and_a_resolution_are_looked_up() -> None:
    request = asked(aspect_ratio="16:9", resolution="4K")
    assert sizes.size_of(request, OFFER) == (3840, 2160)


@pytest.mark.parametrize(
    ("shape", "ratio"),
    [((800, 600), "4:3"), ((9, 16), "9:16"), ((1, 9000), "9:16"), ((5, 5), "1:1")],
)
def test_without_a_ratio_the_first_image_gives_it(shape: Size, ratio: str) -> None:
    request = asked(sources=(source(*shape), source(1, 1)), refs=(ImageRef(),) * 2)
    assert sizes.ratio_of(request, OFFER) == ratio


def test_before_the_image_is_there_it_may_be_any() -> None:
    request = asked(refs=(ImageRef(url="https://x.test/a"),), resolution="1K")
    assert sizes.size_of(request, OFFER) is None
    assert set(sizes.sizes_of(request, OFFER)) == {s["1K"] for s in OFFER.sizes.values()}


def test_a_size_in_pixels_is_taken_as_it_is() -> None:
    assert sizes.size_of(asked(options={"size": "1536x864"}), OFFER) == (1536, 864)
    assert sizes.size_of(asked(options={"size": "auto"}), OFFER) is None


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "0x5", "5x0", "-1x5", "1e3x5", "²x5", "1x5x6", "9" * 12]
)
def test_anything_else_is_no_size(text: str) -> None:
    assert sizes.pixels(text) is None
