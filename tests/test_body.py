"""What callers may send, and how a wrong body is refused."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from shared import body, form
from shared.body import Files
from shared.catalogue.templates import Template
from shared.domain import ImageRef
from shared.errors import InvalidRequest, PayloadTooLarge

LONG = "m" * 201
MANY = dict.fromkeys(map(str, range(5000)), 1)
NONE: Mapping[str, Template] = {}
PNG = base64.b64encode(b"not looked at here").decode()


def test_every_field_reaches_the_request() -> None:
    parsed = body.edit(
        {
            "model": "nano-banana-pro",
            "prompt": "a cup",
            "n": 2,
            "aspect_ratio": "16:9",
            "resolution": "2K",
            "seed": 7,
            "quality": "high",
            "background": "transparent",
            "output_format": "webp",
            "output_quality": 90,
            "route": {"prefer": "cost", "providers": ["google"], "fallback": False},
            "delivery": "b64_json",
            "timeout_s": 30,
            "metadata": {"order": "17"},
            "options": {"temperature": 0.7},
            "images": [{"b64_json": PNG}, {"url": "https://example.com/a.png"}],
            "mask": {"url": f"data:image/png;base64,{PNG}"},
            "previous_request_id": "req_a",
        },
        Files(),
        NONE,
    )
    request = parsed.request
    assert request.operation == "edit"
    assert (request.n, request.seed, request.timeout_s) == (2, 7, 30.0)
    assert (request.prefer, request.providers, request.fallback) == ("cost", ("google",), False)
    assert request.refs[0] == ImageRef(data=b"not looked at here")
    assert request.refs[1] == ImageRef(url="https://example.com/a.png")
    assert request.mask_ref == ImageRef(url=f"data:image/png;base64,{PNG}")
    assert request.previous_request_id == "req_a"
    assert request.options == {"temperature": 0.7}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "n": "2"}, "n"),
        ({"prompt": "x", "n": True}, "n"),
        ({"prompt": "x", "nn": 2}, "nn"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "x", "template": {"name": "t"}}, "prompt"),
        ({"prompt": "x", "seed": -1}, "seed"),
        ({"prompt": "x", "seed": 2**31}, "seed"),
        ({"prompt": "x", "output_format": "gif"}, "output_format"),
        ({"prompt": "x", "output_quality": 0}, "output_quality"),
        ({"prompt": "x", "timeout_s": 0.5}, "timeout_s"),
        ({"prompt": "x", "route": {"prefer": "fun"}}, "route.prefer"),
        ({"prompt": "x", "metadata": {"a": 1}}, "metadata.a"),
        ({"prompt": "x", "webhook_url": "https://example.com/" + "x" * 2000}, "webhook_url"),
        ({"prompt": "x", "images": []}, "images"),
        ({"prompt": "x", "model": LONG}, "model"),
        ({"prompt": "x", "aspect_ratio": LONG}, "aspect_ratio"),
        ({"prompt": "x", "resolution": LONG}, "resolution"),
        ({"prompt": "x", "quality": LONG}, "quality"),
        ({"prompt": "x", "background": LONG}, "background"),
        ({"prompt": "x", "route": {"providers": ["google", LONG]}}, "route.providers[1]"),
        ({"prompt": "x", "options": dict.fromkeys(map(str, range(101)))}, "options"),
        ({"prompt": "x", "metadata": dict.fromkeys(map(str, range(17)), 1)}, "metadata"),
        (
            {"template": {"name": "t", "variables": dict.fromkeys(map(str, range(101)), 1)}},
            "template.variables",
        ),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.generate(fields, NONE)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"x" * 5000: 1},
        {"prompt": "x", "route": {"x" * 5000: 1}},
        {"prompt": "x", "metadata": {"x" * 5000: "1"}},
    ],
)
def test_of_a_callers_text_an_error_has_no_more_than_a_line(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.generate(fields, NONE)
    assert len(refused.value.message) <= 500
    assert len(refused.value.param or "") <= 200


def test_a_template_has_a_short_name() -> None:
    with pytest.raises(InvalidRequest, match=r"template\.name: .* at most 200 characters"):
        body.generate({"template": {"name": LONG}}, NONE)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x", "route": MANY}, None),
        ({"prompt": "x", "metadata": MANY}, "metadata"),
        ({"template": {"name": "t", "variables": MANY}}, "template.variables"),
    ],
)
def test_of_many_wrong_fields_not_every_one_is_listed(
    fields: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.generate(fields, NONE)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x"}, "images"),
        ({"prompt": "x", "images": [{}]}, "images[0]"),
        ({"prompt": "x", "images": [{"b64_json": PNG, "url": "https://a"}]}, "images[0]"),
        ({"prompt": "x", "images": [{"b64_json": "%%"}]}, "images[0].b64_json"),
        ({"prompt": "x", "images": [{"path": "/etc/passwd"}]}, "images[0].path"),
        ({"prompt": "x", "previous_request_id": "req_a", "mask": {"b64_json": PNG}}, "mask"),
    ],
)
def test_a_wrong_image_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.edit(fields, Files(), NONE)
    assert refused.value.param == param


def test_a_3d_model_is_asked_for_in_a_body_of_its_own() -> None:
    fields = {
        "model": "hunyuan-3d",
        "prompt": "a cup",
        "images": [{"upload_id": "upl_a"}],
        "options": {"enable_pbr": True},
        "webhook_url": "https://example.com/hook",
        "metadata": {"order": "17"},
    }
    parsed = body.three_d(fields)
    request = parsed.request
    assert (request.operation, request.model, request.prompt) == ("three_d", "hunyuan-3d", "a cup")
    assert request.refs == (ImageRef(upload_id="upl_a"),)
    assert (request.options, request.metadata) == ({"enable_pbr": True}, {"order": "17"})
    assert request.webhook_url == "https://example.com/hook"
    assert request.n == 1
    assert body.three_d(dict(reversed(fields.items()))).fingerprint == parsed.fingerprint
    assert body.three_d({**fields, "prompt": "a mug"}).fingerprint != parsed.fingerprint
    alike = {"model": "m", "prompt": "a cup"}
    assert body.three_d(alike).fingerprint != body.generate(alike, NONE).fingerprint


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x"}, "model"),
        ({"model": "m"}, "prompt"),
        ({"model": "m", "images": []}, "prompt"),
        ({"model": "m", "prompt": "  "}, "prompt"),
        ({"model": "m", "prompt": "x", "n": 2}, "n"),
        ({"model": "m", "prompt": "x", "resolution": "1K"}, "resolution"),
        ({"model": "m", "prompt": "x", "timeout_s": 60}, "timeout_s"),
        ({"model": "m", "images": [{}]}, "images[0]"),
        ({"model": "m", "images": [{"b64_json": "%%"}]}, "images[0].b64_json"),
        ({"model": "m", "prompt": "x", "metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_a_wrong_field_of_a_3d_model_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.three_d(fields)
    assert refused.value.param == param


def test_a_3d_model_is_estimated_with_neither_prompt_nor_images() -> None:
    asked = {"operation": "three_d", "model": "trellis-2", "options": {"textures": True}}
    request = body.estimate(asked, NONE).request
    assert (request.operation, request.refs) == ("three_d", ())


def test_the_fingerprint_tells_bodies_apart_and_knows_one_again() -> None:
    one = body.generate({"prompt": "x", "n": 1}, NONE)
    assert one.fingerprint == body.generate({"n": 1, "prompt": "x"}, NONE).fingerprint
    assert one.fingerprint != body.generate({"prompt": "x", "n": 2}, NONE).fingerprint
    edit = body.edit({"prompt": "x"}, Files(images=(b"a", b"b")), NONE)
    assert (
        edit.fingerprint == body.edit({"prompt": "x"}, Files(images=(b"a", b"b")), NONE).fingerprint
    )
    assert (
        edit.fingerprint != body.edit({"prompt": "x"}, Files(images=(b"ab", b"")), NONE).fingerprint
    )
    assert edit.fingerprint != body.edit({"prompt": "x"}, Files((b"b",), b"a"), NONE).fingerprint


def test_multipart_fields_are_text_or_json_as_the_field_is() -> None:
    read = form.fields(
        {"prompt": "42", "n": "2", "options": '{"top_p": 0.5}', "model": "m", "delivery": "url"}
    )
    assert read == {
        "prompt": "42",
        "n": 2,
        "options": {"top_p": 0.5},
        "model": "m",
        "delivery": "url",
    }
    with pytest.raises(InvalidRequest) as refused:
        form.fields({"n": "two"})
    assert refused.value.param == "n"
    with pytest.raises(PayloadTooLarge) as large:
        form.fields({"options": "[" * 100_001})
    assert large.value.param == "options"


def test_an_estimate_needs_neither_prompt_nor_images() -> None:
    assert body.estimate({"count": 10}, NONE).request.operation == "generate"
    parsed = body.estimate({"source_count": 3, "count": 10}, NONE)
    assert parsed.request.operation == "edit"
    assert len(parsed.request.refs) == 3
    assert parsed.count == 10


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x" * 800_001},
        {"prompt": "\x00" * 200_000},
        {"prompt": "字" * 300_000},
        {"prompt": "x", "options": {"system_instruction": "x" * 800_001}},
    ],
)
def test_what_would_not_fit_a_record_is_too_large(fields: dict[str, Any]) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        body.generate(fields, NONE)
    assert refused.value.param == "prompt"
