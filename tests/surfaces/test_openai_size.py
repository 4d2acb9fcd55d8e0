"""Size and quality as OpenAI's clients send them, on every kind of model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.catalogue import load
from shared.catalogue.rows import Model
from shared.domain import Json
from shared.errors import InvalidRequest
from shared.surfaces.openai_size import SQUARE, Shape, quality_of, shape, size_of
from tests.surfaces.records import record

MODELS = load().models
PRO, NANO, LITE = (
    MODELS["gemini-3-pro-image"],
    MODELS["gemini-2.5-flash-image"],
    MODELS["gemini-3.1-flash-lite-image"],
)
FLARE, MINI = MODELS["gpt-image-2.5-flare"], MODELS["gpt-image-1-mini"]
SEEDREAM, SEEDREAM_PRO = MODELS["seedream-4-5"], MODELS["seedream-5-0-pro"]
PASSED = ("quality",)

TABLE: list[tuple[Model | None, str | None, str | None, Shape]] = [
    # The table of sizes: the ratio, and the nearest resolution or the one of the quality.
    (PRO, None, None, Shape(SQUARE)),
    (PRO, "auto", "auto", Shape(SQUARE)),
    (PRO, "256x256", None, Shape(SQUARE, "1K")),
    (PRO, "512x512", None, Shape(SQUARE, "1K")),
    (PRO, "1024x1024", None, Shape(SQUARE, "1K")),
    (PRO, "1024x1024", "auto", Shape(SQUARE, "1K")),
    (PRO, "1536x1024", None, Shape("3:2", "1K")),
    (PRO, "1024x1536", "standard", Shape("2:3", "1K")),
    (PRO, "1792x1024", "medium", Shape("16:9", "2K")),
    (PRO, "1024x1792", "hd", Shape("9:16", "4K")),
    (PRO, "1024x1024", "high", Shape(SQUARE, "4K")),
    (PRO, "1024x1024", "2K", Shape(SQUARE, "2K")),
    (PRO, None, "low", Shape(SQUARE, "1K")),
    (LITE, "512x512", None, Shape(SQUARE, "512")),
    (LITE, "256x256", None, Shape(SQUARE, "512")),
    (LITE, "1024x1024", "512", Shape(SQUARE, "512")),
    (SEEDREAM_PRO, "1536x1024", None, Shape("3:2", "1K")),
    (SEEDREAM_PRO, None, "1.5K", Shape(SQUARE, "1.5K")),
    # One resolution leaves a quality nothing to choose.
    (NANO, "1536x1024", None, Shape("3:2")),
    (NANO, "1536x1024", "auto", Shape("3:2")),
    (NANO, "1536x1024", "high", Shape("3:2", ignored=PASSED)),
    (NANO, None, "max", Shape(SQUARE, ignored=PASSED)),
    (NANO, None, "1K", Shape(SQUARE, "1K")),
    # The model's own sizes, and any other of one of its ratios.
    (PRO, "2752x1536", None, Shape("16:9", "2K", settled=True)),
    (PRO, "2752x1536", "low", Shape("16:9", "2K", settled=True, ignored=PASSED)),
    (PRO, "1376x768", None, Shape("16:9", "1K", settled=True)),
    (PRO, "1920x1080", None, Shape("16:9", "1K")),
    (PRO, "3840x2160", None, Shape("16:9", "2K")),
    (PRO, "3840x2160", "high", Shape("16:9", "4K")),
    (PRO, "2100x900", None, Shape("21:9", "1K")),
    # Ratios and resolutions by name.
    (PRO, "16:9", None, Shape("16:9")),
    (PRO, "16:9", "medium", Shape("16:9", "2K")),
    (PRO, "2K", None, Shape(None, "2K", settled=True)),
    (PRO, "2K", "high", Shape(None, "2K", settled=True, ignored=PASSED)),
    # Free sizes go through as they are, and qualities to models that have some.
    (FLARE, None, None, Shape()),
    (FLARE, "auto", "auto", Shape(quality="auto")),
    (FLARE, "1536x864", "xhigh", Shape(quality="xhigh", size="1536x864", settled=True)),
    (FLARE, "100x100", None, Shape(size="100x100", settled=True)),
    (FLARE, "1024x1024", "standard", Shape(quality="medium", size="1024x1024", settled=True)),
    (FLARE, "16:9", "hd", Shape("16:9", quality="high")),
    (FLARE, "2K", "low", Shape(None, "2K", "low", settled=True)),
    (MINI, "1792x1024", "low", Shape(quality="low", size="1792x1024", settled=True)),
    (SEEDREAM, "2000x3000", None, Shape(size="2000x3000", settled=True)),
    (SEEDREAM, "2000x3000", "high", Shape(size="2000x3000", settled=True, ignored=PASSED)),
    (SEEDREAM, None, "high", Shape(None, "4K")),
    # OpenAI's own sizes are ratios where a model has no picture so small.
    (SEEDREAM, "1024x1024", None, Shape(SQUARE, "2K")),
    (SEEDREAM, "1536x1024", "high", Shape("3:2", "4K")),
    # Whichever model comes to make it.
    (None, None, None, Shape(SQUARE)),
    (None, "256x256", None, Shape(SQUARE, "512")),
    (None, "1024x1024", None, Shape(SQUARE, "1K")),
    (None, "1024x1024", "high", Shape(SQUARE, "4K")),
    (None, "1792x1024", None, Shape("16:9", "1K")),
    (None, "3840x2160", None, Shape("16:9", "2K")),
    (None, "3072x3072", "3K", Shape(SQUARE, "3K")),
    (None, "2100x900", "2K", Shape("21:9", "2K")),
    (None, "3:4", None, Shape("3:4")),
    (None, "4K", None, Shape(None, "4K", settled=True)),
]


@pytest.mark.parametrize(("model", "size", "quality", "expected"), TABLE)
def test_a_size_and_a_quality_are_a_shape(
    model: Model | None, size: str | None, quality: str | None, expected: Shape
) -> None:
    assert shape(size, quality, model, SQUARE) == expected


@pytest.mark.parametrize("model", [PRO, NANO, FLARE, None])
@pytest.mark.parametrize("size", [None, "auto"])
def test_without_a_size_the_ratio_may_be_left_open(model: Model | None, size: str | None) -> None:
    assert shape(size, None, model, None) == Shape()


@pytest.mark.parametrize(
    ("model", "size", "quality", "param", "words"),
    [
        (PRO, "1000x333", None, "size", "16:9"),
        (PRO, "1000x333", None, "size", "1264x848"),
        (PRO, "17:3", None, "size", "21:9"),
        (PRO, "8K", None, "size", "4K"),
        (PRO, "512", None, "size", "1K"),
        (PRO, "", None, "size", "1K"),
        (PRO, "1024X1024", None, "size", "1K"),
        (PRO, "0x0", None, "size", "1K"),
        (MINI, "16:9", None, "size", "3:2"),
        (MODELS["imagen-4.0-generate-001"], "1536x1024", None, "size", "4:3"),
        (PRO, None, "xhigh", "quality", "medium"),
        (PRO, None, "3K", "quality", "4K"),
        (LITE, None, "medium", "quality", "low"),
        (SEEDREAM, None, "low", "quality", "medium"),
        (NANO, None, "4K", "quality", "1K"),
        (NANO, None, "nice", "quality", "1K"),
        (NANO, "4096x4096", None, "size", "1024x1024"),
        (LITE, "4096x4096", None, "size", "1024x1024"),
        (None, "big", None, "size", "WIDTHxHEIGHT"),
        (None, None, "max", "quality", "high"),
    ],
)
def test_what_a_model_does_not_make_is_refused_with_what_it_does(
    model: Model | None, size: str | None, quality: str | None, param: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        shape(size, quality, model, SQUARE)
    assert caught.value.param == param


def test_every_shape_of_the_table_is_one_the_model_has() -> None:
    for model, size, quality, _ in TABLE:
        if model is not None:
            chosen = shape(size, quality, model, SQUARE)
            assert chosen.aspect_ratio in (None, *model.aspect_ratios)
            assert chosen.resolution in (None, *model.resolutions)


@pytest.mark.parametrize(
    ("model", "asked", "word"),
    [
        (PRO, {"resolution": "4K"}, "high"),
        (PRO, {}, "low"),
        (LITE, {"resolution": "512"}, None),
        (NANO, {}, None),
        (FLARE, {}, "medium"),
        (FLARE, {"quality": "max"}, "max"),
        (FLARE, {"quality": "auto"}, None),
        (SEEDREAM, {}, "medium"),
        (SEEDREAM, {"options": {"size": "2000x3000"}}, None),
        (None, {"quality": "high"}, None),
    ],
)
def test_the_quality_of_what_was_made_has_openais_word(
    model: Model | None, asked: dict[str, Json], word: str | None
) -> None:
    assert quality_of(asked, model) == word


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        (FLARE, {}, "1024x1024"),
        (FLARE, {"options": {"size": "1536x864"}}, "1536x864"),
        (FLARE, {"options": {"size": "auto"}}, "auto"),
        (PRO, {"aspect_ratio": "16:9", "resolution": "2K"}, "2752x1536"),
        (PRO, {"aspect_ratio": "17:3"}, "auto"),
        (None, {"aspect_ratio": "1:1"}, "auto"),
    ],
)
def test_the_size_to_come_is_told_where_it_is_known(
    model: Model | None, asked: dict[str, Json], size: str
) -> None:
    assert size_of(record(parameters=asked), model) == size


def test_the_size_of_an_edit_follows_its_image() -> None:
    edit = record(operation="edit", parameters={})
    assert size_of(edit, FLARE) == "auto"
    assert size_of(replace(edit, parameters={"aspect_ratio": "3:2"}), FLARE) == "1536x1024"
