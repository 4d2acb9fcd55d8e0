"""Bodies of the images API → requests, and records → its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import ImagesResponse

from shared.body import Files
from shared.catalogue import load
from shared.domain import ImageRef, Usage
from shared.errors import InvalidRequest, PayloadTooLarge
from shared.surfaces import Asked
from shared.surfaces.openai_images import (
    EDITS,
    GENERATIONS,
    SUPPORT,
    ImagesBody,
    answer,
    asked,
    from_form,
    read,
    usage,
)
from tests.surfaces.records import record, shown

MODELS = load().models
FLARE, SECOND, PRO = "gpt-image-2.5-flare", "gpt-image-2", "gemini-3-pro-image"
URL = "https://host.test/cat.png"
FILE = Files((b"one",))


def generated(model: str | None = FLARE, **fields: Any) -> Asked:
    said = read(GENERATIONS, {"model": model, "prompt": "A cat", **fields})
    return asked(said, Files(), MODELS.get(model or ""))


def edited(files: Files = FILE, model: str = FLARE, **fields: Any) -> Asked:
    return asked(read(EDITS, {"model": model, "prompt": "A cat", **fields}), files, MODELS[model])


def test_a_bare_prompt_is_a_png_by_whichever_model_is_cheapest() -> None:
    request = asked(read(GENERATIONS, {"prompt": "A cat"}), Files(), None).request
    assert (request.operation, request.model, request.prompt) == ("generate", "auto", "A cat")
    assert (request.n, request.output_format, request.timeout_s) == (1, "png", 600.0)


def test_what_is_honoured_arrives() -> None:
    said = generated(
        "gpt-image-2.6-flare",
        n=2,
        size="1536x864",
        quality="low",
        background="transparent",
        output_format="webp",
        output_compression=0,
        moderation="low",
        complexity="high",
        stream=True,
        partial_images=3,
    )
    request = said.request
    assert (request.n, request.quality, request.background) == (2, "low", "transparent")
    assert (request.output_format, request.output_quality) == ("webp", 0)
    assert request.partial_images == 3
    assert request.options == {"moderation": "low", "complexity": "high", "size": "1536x864"}
    assert said.stream
    assert said.ignored == ()


def test_what_means_nothing_here_is_named() -> None:
    said = generated(
        PRO,
        moderation="low",
        input_fidelity="high",
        style="vivid",
        user="me",
        safety_identifier="me",
        frame_count=3,
        svg={"model": "x"},
        partial_images=2,
        size="2752x1536",
        quality="high",
        whatever=1,
    )
    assert set(said.ignored) == {
        *("moderation", "input_fidelity", "style", "user", "safety_identifier", "frame_count"),
        *("svg", "partial_images", "quality", "whatever"),
    }
    assert said.request.options == {}
    assert said.request.partial_images == 0


def test_a_null_says_the_same_as_nothing() -> None:
    nothing = dict.fromkeys(SUPPORT[f"POST {GENERATIONS}"])
    said = asked(read(GENERATIONS, {**nothing, "prompt": "A cat"}), Files(), None)
    assert said.request == asked(read(GENERATIONS, {"prompt": "A cat"}), Files(), None).request
    assert said.ignored == ()


@pytest.mark.parametrize(
    ("model", "background", "sent", "ignored"),
    [
        (FLARE, "auto", "auto", ()),
        (FLARE, "opaque", "opaque", ()),
        (FLARE, "transparent", "transparent", ()),
        (PRO, "auto", None, ()),
        (PRO, "opaque", None, ()),
        (PRO, "transparent", "transparent", ()),
        ("auto", "auto", None, ()),
        ("auto", "opaque", None, ("background",)),
        ("auto", "transparent", "transparent", ()),
    ],
)
def test_a_background_is_asked_for_where_there_is_a_choice(
    model: str, background: str, sent: str | None, ignored: tuple[str, ...]
) -> None:
    said = generated(model, background=background)
    assert (said.request.background, said.ignored) == (sent, ignored)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"model": 7}, "model"),
        ({"model": "x" * 101}, "model"),
        ({"size": 1024}, "size"),
        ({"background": "green"}, "background"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "svg"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"output_compression": -1}, "output_compression"),
        ({"output_compression": 99}, "output_compression"),
        ({"output_compression": 99, "output_format": "png"}, "output_compression"),
        ({"partial_images": 4}, "partial_images"),
        ({"stream": "true"}, "stream"),
        ({"response_format": "json"}, "response_format"),
        ({"image": URL}, "image"),
        ({"images": [{"image_url": URL}]}, "images"),
        ({"mask": {"image_url": URL}}, "mask"),
    ],
)
def test_what_is_wrong_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generated(**fields)
    assert caught.value.param == param


def test_a_png_may_be_compressed_by_nothing() -> None:
    assert generated(output_compression=100).request.output_quality is None


def test_a_prompt_that_cannot_be_kept_is_too_large() -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        generated(prompt="x" * 800_001)
    assert caught.value.param == "prompt"


def test_an_edit_has_images_and_a_mask() -> None:
    request = edited(Files((b"one", b"two"), b"mask")).request
    assert request.operation == "edit"
    assert request.refs == (ImageRef(data=b"one"), ImageRef(data=b"two"))
    assert request.mask_ref == ImageRef(data=b"mask")
    assert request.aspect_ratio is None
    assert edited(model=PRO).request.aspect_ratio is None
    assert edited(model=PRO, size="1536x1024").request.aspect_ratio == "3:2"


def test_an_edit_in_json_names_its_images() -> None:
    link = "https://elsewhere.test/x/account/images/img_abc-1_0?expires=1&signature=s"
    named = [
        {"image_url": "data:image/png;base64,AAAA"},
        {"image_url": URL, "file_id": None},
        {"image_url": link},
        {"file_id": "upl_1"},
        {"file_id": "file-1"},
    ]
    request = edited(Files(), images=named, mask={"file_id": "upl_2"}).request
    assert request.refs == (
        ImageRef(url="data:image/png;base64,AAAA"),
        ImageRef(url=URL),
        ImageRef(image_id="img_abc-1_0"),
        ImageRef(upload_id="upl_1"),
        ImageRef(file_id="file-1"),
    )
    assert request.mask_ref == ImageRef(upload_id="upl_2")


@pytest.mark.parametrize("image", [URL, [URL]])
def test_an_edit_names_its_images_as_relays_take_them(image: object) -> None:
    request = edited(Files(), image=image, mask=URL).request
    assert (request.refs, request.mask_ref) == ((ImageRef(url=URL),), ImageRef(url=URL))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "image"),
        ({"images": []}, "image"),
        ({"images": [{}]}, "images[0]"),
        ({"images": [{"image_url": URL}, {"image_url": URL, "file_id": "x"}]}, "images[1]"),
        ({"images": [{"image_url": URL, "detail": "low"}]}, "images[0].detail"),
        ({"images": [{"image_url": "cat.png"}]}, "images[0].image_url"),
        ({"images": [{"image_url": URL}], "mask": {"image_url": "x"}}, "mask.image_url"),
        ({"image": ["cat.png"]}, "image[0]"),
        ({"image": 7}, "image"),
        ({"images": [{"image_url": URL}], "markup": {"image_url": URL}}, "markup"),
    ],
)
def test_an_edit_without_usable_images_is_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        edited(Files(), **fields)
    assert caught.value.param == param


def test_a_form_has_numbers_and_flags_in_words() -> None:
    fields = from_form({"n": "2", "stream": "True", "partial_images": "1", "prompt": "2"})
    assert fields == {"n": 2, "stream": True, "partial_images": 1, "prompt": "2"}
    assert edited(**fields).request.n == 2
    assert from_form({"size": "", "n": "", "prompt": "x"}) == {"prompt": "x"}
    for wrong in ({"n": "two"}, {"n": "9" * 5_000}, {"stream": "yes"}, {"partial_images": "x"}):
        with pytest.raises(InvalidRequest) as caught:
            edited(**from_form(wrong))
        assert caught.value.param == next(iter(wrong))


def test_the_table_has_every_field_that_is_read() -> None:
    for endpoint, fields in SUPPORT.items():
        read_here = {name for name, (treatment, _) in fields.items() if treatment == "honoured"}
        inputs = set() if endpoint == f"POST {EDITS}" else {"image", "images", "mask"}
        assert read_here == set(ImagesBody.model_fields) - inputs


COUNTED = Usage(input_tokens=10, output_tokens=4162, source_tokens=4, image_tokens=4160)


def test_an_answer_is_what_the_sdk_reads() -> None:
    made = record(usage=COUNTED, parameters={"quality": "high"})
    shown_as = answer(made, [shown()], MODELS[FLARE], linked=False)
    reply = ImagesResponse.model_validate_json(json.dumps(shown_as), strict=True)
    assert reply.created == 1795255212
    assert (reply.background, reply.output_format) == ("opaque", "png")
    assert (reply.quality, reply.size) == ("high", "1024x768")
    assert [item.to_dict() for item in reply.data or ()] == [{"b64_json": "AAAA"}]
    assert shown_as["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"image_tokens": 4, "text_tokens": 6},
        "output_tokens": 4162,
        "output_tokens_details": {"image_tokens": 4160, "text_tokens": 2},
        "total_tokens": 4172,
    }


def test_a_link_stands_beside_the_picture_or_in_its_place() -> None:
    linked = answer(record(), [shown(), shown(1, None)], None, linked=True)
    assert linked["data"] == [
        {"b64_json": "AAAA", "url": shown().url},
        {"url": shown(1).url},
    ]
    plain = answer(record(), [shown(0, None)], None, linked=False)
    assert plain["data"] == [{"url": shown().url}]


def test_a_transparent_picture_is_called_so() -> None:
    made = record(parameters={"background": "transparent"})
    webp = answer(made, [shown(kind="image/webp")], None, linked=False)
    assert (webp["background"], webp["output_format"]) == ("transparent", "webp")


def test_the_shares_of_a_usage_add_up() -> None:
    made = record(usage=COUNTED)
    shares: list[Any] = [usage(made.usage, n, 3) for n in range(3)]
    whole: Any = usage(made.usage)
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert sum(share[name] for share in shares) == whole[name]
    assert all(
        share["total_tokens"] == share["input_tokens"] + share["output_tokens"] for share in shares
    )


def test_a_picture_too_large_for_a_png_keeps_its_providers_format() -> None:
    def asked_for(**fields: Any) -> str | None:
        return generated(model="nano-banana-pro", **fields).request.output_format

    assert asked_for() == asked_for(quality="medium") == "png"
    assert asked_for(quality="high") is None
    assert asked_for(quality="high", output_format="png") == "png"
