"""The rows of models that make 3D models: what each takes, what it costs, what a row may not say,
and that they and those of pictures keep out of each other's way."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared import capabilities, pricing, routing
from shared.catalogue import BadCatalogue, load
from shared.catalogue.rows import Model
from shared.catalogue_view import of_model
from shared.domain import ImageRef, ImageRequest, Json
from shared.errors import InvalidRequest
from tests.catalogue.test_loading import change, read

TODAY = date(2026, 11, 21)
CATALOGUE = load()
NEW, OLD, TEXTURE, TRELLIS = "hunyuan-3d-3.1", "hunyuan-3d-3.0", "hunyuan-3d-texture", "trellis-2"
PICTURES = "gemini-3-pro-image"
MODELS = {i: model for i, model in CATALOGUE.models.items() if model.three_d}
OPEN = frozenset(CATALOGUE.providers)
IMAGE = (ImageRef(data=b"x"),)
FBX = {"file_url": "https://files.test/model.fbx?a=%20b"}


def asked(model: str, prompt: str = "", **fields: Any) -> ImageRequest:
    return ImageRequest(operation="three_d", model=model, prompt=prompt, **fields)


def credits(model: str, **options: Json) -> int | None:
    (route,) = CATALOGUE.models[model].routes
    unit = pricing.unit_micros(asked(model, options=options), route, CATALOGUE)
    return pricing.credits_of(unit, route, CATALOGUE.providers[route.provider])


def test_they_are_found_by_their_aliases() -> None:
    assert set(MODELS) == {NEW, OLD, TEXTURE, TRELLIS}
    assert CATALOGUE.resolve("hunyuan-3d", TODAY).id == NEW
    assert CATALOGUE.resolve("trellis-2", TODAY).id == TRELLIS
    for model in MODELS.values():
        assert model.live(TODAY) and model.output_formats == ("glb",)


@pytest.mark.parametrize(
    ("model", "prompt", "refs", "options"),
    [
        (NEW, "a", (), {}),
        (NEW, "a" * 1024, (), {"enable_pbr": True, "face_count": 1_500_000}),
        (NEW, "", IMAGE, {"generate_type": "Geometry", "enable_pbr": False}),
        (NEW, "", IMAGE * 4, {"multi_view": True, "enable_pbr": True}),
        (OLD, "a", IMAGE, {"generate_type": "Sketch", "enable_pbr": True}),
        (OLD, "a", (), {"generate_type": "LowPoly", "polygon_type": "quadrilateral"}),
        (TEXTURE, "a", (), {**FBX, "enable_pbr": True}),
        (TEXTURE, "", IMAGE, {**FBX, "enable_pbr": False}),
        (TRELLIS, "", IMAGE, {}),
        (TRELLIS, "", IMAGE, {"textures": True, "texture_size": 4096, "seed": 0, "steps": 50}),
    ],
)
def test_what_a_model_can_be_made_of(
    model: str, prompt: str, refs: tuple[ImageRef, ...], options: dict[str, Json]
) -> None:
    request = asked(model, prompt, refs=refs, options=options)
    assert [r.model for r in routing.plan(request, CATALOGUE, OPEN, TODAY).routes] == [model]


@pytest.mark.parametrize(
    ("request_", "param", "words"),
    [
        (asked(NEW, "a", refs=IMAGE), "prompt", "a prompt or images, not both"),
        (asked(OLD, "a", refs=IMAGE), "prompt", "unless generate_type is Sketch"),
        (asked(NEW, "a" * 1025), "prompt", "at most 1024"),
        (asked(NEW, refs=IMAGE * 2), "images", "several with options.multi_view"),
        (asked(NEW, refs=IMAGE * 5, options={"multi_view": True}), "images", "at most 4"),
        (asked(NEW, "a", options={"multi_view": True}), "options.multi_view", "with images"),
        (asked(NEW, "a", options={"face_count": 39_999}), "options.face_count", "from 40000 to"),
        (asked(NEW, "a", options={"face_count": 1_500_001}), "options.face_count", "to 1.5e"),
        (
            asked(NEW, "a", options={"generate_type": "LowPoly"}),
            "options.generate_type",
            "one of Normal, Geometry",
        ),
        (asked(NEW, "a", options={"polygon_type": "triangle"}), "options.polygon_type", "has no"),
        (
            asked(OLD, "a", options={"polygon_type": "triangle"}),
            "options.polygon_type",
            "only with generate_type LowPoly",
        ),
        (
            asked(NEW, "a", options={"generate_type": "Geometry", "enable_pbr": True}),
            "options.enable_pbr",
            "only with generate_type Normal",
        ),
        (
            asked(OLD, refs=IMAGE * 2, options={"generate_type": "Sketch", "multi_view": True}),
            "options.multi_view",
            "Normal or LowPoly or Geometry",
        ),
        (asked(NEW, "a", seed=7), "seed", "takes no seed"),
        (asked(NEW, "a", aspect_ratio="1:1"), "aspect_ratio", "none to choose from"),
        (asked(NEW, "a", resolution="1K"), "resolution", "none to choose from"),
        (asked(NEW, "a", quality="high"), "quality", "none to choose from"),
        (asked(NEW, "a", output_format="png"), "output_format", "only glb"),
        (asked(NEW, "a", n=2), "n", "at most 1"),
        (asked(NEW, "a", mask_ref=ImageRef()), "mask", "no mask"),
        (asked(NEW, "a", previous_request_id="req_1"), "previous_request_id", "earlier"),
        (asked(TEXTURE, "a"), "options.file_url", "needs the option file_url"),
        (asked(TEXTURE, "a", refs=IMAGE, options=FBX), "prompt", "not both"),
        (
            asked(TEXTURE, refs=IMAGE, options={**FBX, "enable_pbr": True}),
            "options.enable_pbr",
            "only with a prompt",
        ),
        (asked(TRELLIS, "a", refs=IMAGE), "prompt", "takes no prompt"),
        (asked(TRELLIS, refs=IMAGE * 2), "images", "at most 1"),
        (
            asked(TRELLIS, refs=IMAGE, options={"texture_size": 2048}),
            "options.texture_size",
            "only with textures true",
        ),
        (
            asked(TRELLIS, refs=IMAGE, options={"textures": True, "texture_size": 512}),
            "options.texture_size",
            "one of 1024, 2048, 4096",
        ),
        (
            asked(TRELLIS, refs=IMAGE, options={"resolution": "2048"}),
            "options.resolution",
            "one of 512, 1024, 1536",
        ),
    ],
)
def test_what_does_not_go_is_named_with_its_limit(
    request_: ImageRequest, param: str, words: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        routing.plan(request_, CATALOGUE, OPEN, TODAY)
    assert refused.value.param == param
    assert words in refused.value.message


@pytest.mark.parametrize(
    "link",
    [
        "http://files.test/model.fbx",
        "https://",
        "https://user:secret@files.test/model.fbx",
        "https://files.test/a b.fbx",
        "https://files.test/é.fbx",
        "https://files.test\\@evil.test/",
        "https://files.test/model.fbx\n",
        "file:///etc/passwd",
        "https://files.test/" + "x" * 2000,
        7,
        None,
    ],
)
def test_a_link_is_one_or_refused(link: Json) -> None:
    with pytest.raises(InvalidRequest, match="https:// address") as refused:
        routing.plan(asked(TEXTURE, "a", options={"file_url": link}), CATALOGUE, OPEN, TODAY)
    assert refused.value.param == "options.file_url"


def test_pictures_and_models_are_never_taken_for_each_other() -> None:
    for operation in ("generate", "edit", "three_d"):
        refs = IMAGE if operation == "edit" else ()
        request = ImageRequest(operation, "auto", "a", refs=refs)
        found = routing.plan(request, CATALOGUE, OPEN, TODAY)
        assert {r.model in MODELS for r in found.routes} == {operation == "three_d"}
    with pytest.raises(InvalidRequest, match=r"cannot generate\. Models that can: gem") as refused:
        capabilities.check(ImageRequest("generate", NEW, "a", n=2), MODELS[NEW], CATALOGUE, TODAY)
    assert refused.value.param == "model"
    with pytest.raises(InvalidRequest, match="cannot make 3D models") as refused:
        routing.plan(asked("nano-banana-pro", "a"), CATALOGUE, OPEN, TODAY)
    assert refused.value.details["models"] == [NEW, OLD]


def test_a_price_goes_by_the_options() -> None:
    assert credits(NEW) == credits(OLD) == credits(NEW, enable_pbr=False) == 60
    assert credits(NEW, enable_pbr=True) == credits(NEW, multi_view=True) == 80
    assert credits(OLD, enable_pbr=True, multi_view=True) == 100
    assert credits(TEXTURE, enable_pbr=True) == 80
    table = {
        resolution: [
            credits(TRELLIS, resolution=resolution),
            *(
                credits(TRELLIS, resolution=resolution, textures=True, texture_size=size)
                for size in (1024, 2048, 4096)
            ),
        ]
        for resolution in ("512", "1024", "1536")
    }
    assert table == {
        "512": [15, 25, 25, 30],
        "1024": [20, 30, 30, 40],
        "1536": [25, 40, 40, 55],
    }
    assert (credits(TRELLIS), credits(TRELLIS, textures=True)) == (20, 30)
    assert credits(TRELLIS, textures=False, texture_size=4096) == 20


def test_a_quote_holds_the_extras() -> None:
    request = asked(NEW, "a", options={"enable_pbr": True})
    quote = pricing.quote(request, MODELS[NEW].routes, CATALOGUE, test=False)
    assert (quote.micros, quote.listed_micros) == (800_000, 800_000)
    assert pricing.lowest_micros(MODELS[TRELLIS], CATALOGUE, TODAY) == 200_000


def test_callers_see_what_a_price_goes_by() -> None:
    (route,) = of_model(MODELS[NEW], TODAY).routes
    assert (route.price.by, route.price.extras) == (
        {"any": "60"},
        {"enable_pbr": "20", "multi_view": "20"},
    )
    (route,) = of_model(MODELS[TRELLIS], TODAY).routes
    assert route.price.by is not None and route.price.by["1536/textures/4096"] == "55"
    assert route.price.extras is None


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (NEW, {"operations": ("three_d", "generate")}, "makes one at a time and nothing else"),
        (NEW, {"max_images": 2}, "makes one at a time and nothing else"),
        (NEW, {"qualities": ("high",)}, "have no ratios, resolutions or qualities"),
        (NEW, {"resolutions": ("1K",)}, "have no ratios, resolutions or qualities"),
        (NEW, {"output_formats": ("png",)}, "3D models are glb"),
        (NEW, {"operations": ("generate",)}, "pictures have ratios, resolutions"),
        (PICTURES, {"output_formats": ("png", "glb")}, "pictures have ratios, resolutions"),
        (PICTURES, {"aspect_ratios": ()}, "pictures have ratios, resolutions"),
        (PICTURES, {"prompt_limit": 0}, "pictures have ratios, resolutions"),
    ],
)
def test_a_row_is_of_pictures_or_of_models(
    model: str, changes: dict[str, Any], message: str
) -> None:
    row = CATALOGUE.models[model].model_dump()
    assert Model.model_validate(row) == CATALOGUE.models[model]
    with pytest.raises(ValidationError, match=message):
        Model.model_validate({**row, **changes})


def test_an_option_that_is_spoken_of_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadCatalogue, match="options: 'views' is named and is none of them"):
        read(tmp_path, change("several = 'views'", NEW))


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ("by = { 1K = '1' }", "3D models, and they alone, have a price by_options"),
        ("goes_by = ['resolution'], by_options = { 512 = '1' }", "no price for 1024"),
        ("goes_by = ['steps'], by_options = { any = '1' }", "steps, which is no option"),
        ("by_options = { any = '1' }, extras = { resolution = '1' }", "resolution, which is no"),
        ("by_options = { any = '1', 8K = '2' }", "a price for unknown 8K"),
    ],
)
def test_a_wrong_price_is_named(tmp_path: Path, price: str, message: str) -> None:
    route = "[[model.routes]]\nprovider = 'threedaistudio'"
    text = change(f"{route}\nprice = {{ unit = 'credit', {price} }}", TRELLIS)
    with pytest.raises(BadCatalogue, match=f"trellis-2: routes: .*{message}"):
        read(tmp_path, text)
