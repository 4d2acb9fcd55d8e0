"""A body that names a template: what it becomes, and how a wrong one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared import batch_lines, body, request_json, routing, upload_trigger
from shared.body import Files
from shared.catalogue import Catalogue, load
from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.estimate import estimate
from shared.template_view import of_template

CATALOGUE = load()
TEMPLATES = CATALOGUE.templates
PHOTO = {"name": "product-photo", "variables": {"subject": "a ceramic mug"}}
RECOLOUR = {"name": "colour-variant", "variables": {"part": "the lid", "colour": "red"}}
CUT_OUT = {"name": "background-removal"}
ONE = Files(images=(b"a",))
TODAY = date(2026, 11, 21)


def generate(**fields: Any) -> body.Parsed:
    return body.generate(fields, TEMPLATES)


def edit(files: Files = ONE, **fields: Any) -> body.Parsed:
    return body.edit(fields, files, TEMPLATES)


def test_a_template_becomes_a_prompt_and_is_kept_beside_it() -> None:
    request = generate(template=PHOTO, n=2).request
    assert request.prompt.startswith("A photorealistic studio photograph of a ceramic mug, ")
    assert request.template == {**PHOTO, "version": 1}
    assert (request.model, request.recommended, request.n) == ("auto", "nano-banana-2", 2)
    assert request.aspect_ratio == "1:1"
    assert "ceramic" not in repr(request)


def test_what_the_caller_says_comes_before_what_the_template_has() -> None:
    request = generate(template=PHOTO, model="gpt-image", aspect_ratio="3:2").request
    assert (request.model, request.recommended, request.aspect_ratio) == ("gpt-image", None, "3:2")
    # A null says the same as leaving the field out.
    request = generate(template=PHOTO, model=None, aspect_ratio=None).request
    assert (request.recommended, request.aspect_ratio) == ("nano-banana-2", "1:1")


def test_a_size_stands_for_the_templates_ratio_and_resolution() -> None:
    request = generate(
        template={"name": "texture-reference", "variables": {"material": "felt"}},
        options={"size": "1024x1024"},
    ).request
    assert (request.aspect_ratio, request.resolution, request.output_format) == (None, None, "png")


def test_auto_said_means_the_cheapest_and_left_out_the_templates() -> None:
    left_out, said = generate(template=PHOTO), generate(template=PHOTO, model="auto")
    assert (said.request.model, said.request.recommended) == ("auto", None)
    assert left_out.fingerprint != said.fingerprint
    assert left_out.fingerprint == generate(template=PHOTO, model=None).fingerprint


def test_the_fingerprint_is_over_what_was_sent() -> None:
    text = generate(template=PHOTO).request.prompt
    assert generate(template=PHOTO).fingerprint == generate(template=PHOTO).fingerprint
    assert generate(template=PHOTO).fingerprint != generate(prompt=text).fingerprint


def test_a_template_of_another_name_is_not_found() -> None:
    with pytest.raises(NotFound, match="GET /models/templates lists them") as refused:
        generate(template={"name": "\U0010ffff" * 200})
    assert refused.value.param == "template.name"
    assert len(refused.value.message) <= 200


@pytest.mark.parametrize(
    ("variables", "name", "allowed"),
    [
        ({}, "brand", "needs brand: The name, .* such as 'Halden'"),
        ({"brand": "A", "business": " \n"}, "business", "it is not blank"),
        ({"brand": "A" * 41, "business": "b"}, "brand", "at most 40 characters"),
        ({"brand": "A", "business": "b", "style": "odd"}, "style", "one of flat geometric, hand"),
        ({"brand": "A", "business": "b", "size": "c"}, "size", "it has brand, business, idea"),
        ({"x" * 5000: "c"}, "x", "has no variable"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_allowed(
    variables: dict[str, str], name: str, allowed: str
) -> None:
    with pytest.raises(InvalidRequest, match=allowed) as refused:
        generate(template={"name": "logo", "variables": variables})
    assert (refused.value.param or "").startswith(f"template.variables.{name}")
    assert len(refused.value.param or "") <= 200
    assert len(refused.value.message) <= 500


def test_a_length_is_counted_in_characters() -> None:
    said = {"name": "logo", "variables": {"brand": "字" * 40, "business": "b"}}
    assert "字" * 40 in generate(template=said).request.prompt


@pytest.mark.parametrize(
    ("files", "fields", "why"),
    [
        (Files(), {"previous_request_id": "req_a", "template": PHOTO}, "to /generate"),
        (Files((b"a", b"b")), {"template": RECOLOUR}, "takes 1 image; here are 2"),
        (ONE, {"template": RECOLOUR, "previous_request_id": "req_a"}, "here are 2"),
        (ONE, {"template": {"name": "style-transfer"}}, "2 images, an earlier .*; here are 1"),
    ],
)
def test_a_template_has_the_images_it_works_on(
    files: Files, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidRequest, match=why) as refused:
        body.edit(fields, files, TEMPLATES)
    assert refused.value.param == "images"


def test_one_that_works_on_images_is_sent_to_edit() -> None:
    with pytest.raises(InvalidRequest, match="send it to /edit with 1 image") as refused:
        generate(template=CUT_OUT)
    assert refused.value.param == "images"
    request = edit(template=CUT_OUT).request
    assert (request.background, request.output_format) == ("transparent", "png")
    assert edit(Files(), template=CUT_OUT, previous_request_id="req_a").request.refs == ()
    both = edit(template={"name": "style-transfer"}, previous_request_id="req_a").request
    assert both.recommended == "nano-banana-pro"


def test_the_templates_fields_are_checked_like_the_callers() -> None:
    with pytest.raises(InvalidRequest, match="output_quality") as refused:
        edit(template=CUT_OUT, output_quality=90)
    assert refused.value.param == "output_quality"
    asked = edit(template=CUT_OUT, model="nano-banana-2").request
    with pytest.raises(InvalidRequest, match="background 'transparent'"):
        routing.plan(asked, CATALOGUE, CATALOGUE.providers, TODAY)


def test_what_would_not_fit_a_record_is_too_large() -> None:
    wide = TEMPLATES["logo"].variables["brand"].model_copy(update={"max_length": 10**6})
    logo = TEMPLATES["logo"]
    wider = logo.model_copy(update={"variables": {**logo.variables, "brand": wide}})
    said = {"name": "logo", "variables": {"brand": "x" * 300_000, "business": "b"}}
    with pytest.raises(PayloadTooLarge) as refused:
        body.generate({"template": said}, {"logo": wider})
    assert refused.value.param == "prompt"


def test_the_recommended_model_comes_first_where_it_can_be_reached() -> None:
    request = generate(template=PHOTO).request
    here = routing.plan(request, CATALOGUE, {"google", "openai"}, TODAY)
    assert {route.model for route in here.routes} == {"gemini-nano-banana-2.1"}
    elsewhere = routing.plan(request, CATALOGUE, {"openai"}, TODAY)
    assert elsewhere.routes[0].provider == "openai"
    cheapest = generate(template=PHOTO, model="auto").request
    found = routing.plan(cheapest, CATALOGUE, {"google", "openai"}, TODAY)
    assert found.routes[0].model != "gemini-nano-banana-2.1"
    alone = generate(template=PHOTO, route={"fallback": False}).request
    every = CATALOGUE.providers
    assert len(routing.plan(alone, CATALOGUE, every, TODAY).routes) == 1


def ended(name: str, heir: str = "") -> Catalogue:
    """The catalogue once all routes of a model have shut down."""
    model = CATALOGUE.find(name)
    gone = [route.model_copy(update={"shutdown": TODAY}) for route in model.routes]
    row = model.model_copy(update={"routes": tuple(gone), "successor": heir or None})
    return replace(CATALOGUE, models={**CATALOGUE.models, model.id: row})


@pytest.mark.parametrize("name", ["nano-banana-2", "gemini-nano-banana-2.1"])
@pytest.mark.parametrize("heir", ["", "gemini-3-pro-image"])
def test_one_whose_model_is_retired_goes_to_its_heir_or_to_any(name: str, heir: str) -> None:
    later, request = ended(name, heir), generate(template=PHOTO).request
    request = replace(request, recommended=name)
    here = routing.plan(request, later, {"google"}, TODAY)
    any_ = routing.plan(replace(request, recommended=None), later, {"google"}, TODAY)
    assert here.routes[0].model == (heir or any_.routes[0].model)
    shown = of_template(TEMPLATES["product-photo"].model_copy(update={"model": name}), later, TODAY)
    assert shown.model == (heir or "auto")
    # Nor does it matter to what was queued that a row has another name now.
    lost = replace(request, recommended="no-more")
    assert routing.plan(lost, later, {"google"}, TODAY).routes == any_.routes


def test_it_is_kept_until_it_is_made() -> None:
    request = edit(template=RECOLOUR).request
    kept = json.loads(json.dumps(request_json.encode(request)))
    assert request_json.decode(kept) == request
    for name in ("template", "recommended"):
        # One that was queued before there were templates.
        del kept[name]
    assert request_json.decode(kept) == replace(request, template=None, recommended=None)
    item = batch_lines.Kept(0, "a", 0, request)
    (light,) = batch_lines.kept(batch_lines.keep(item), b"\0", whole=False)
    assert (light.request.prompt, light.request.template) == ("", None)
    assert light.request.recommended == "nano-banana-2"


def test_an_estimate_is_of_the_model_that_would_make_it() -> None:
    def models(**fields: Any) -> set[str]:
        parsed = body.estimate({"template": {"name": "product-photo"}, **fields}, TEMPLATES)
        shown = estimate(parsed, CATALOGUE, {"google", "openai"}, TODAY)
        assert shown.choice is not None
        return {route.model for route in shown.routes}

    assert models() == {"gemini-nano-banana-2.1"}
    assert models(model="gpt-image") == {CATALOGUE.resolve("gpt-image", TODAY).id}
    assert len(models(model="auto")) > 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"template": PHOTO, "prompt": "a cup"}, "prompt"),
        ({"template": PHOTO, "operation": "edit"}, "operation"),
        ({"template": RECOLOUR, "operation": "generate"}, "operation"),
        ({"template": PHOTO, "operation": "three_d"}, "operation"),
        ({"masked": True, "operation": "generate"}, "operation"),
        ({"options": {"x" * 201: 1}}, f"options.{'x' * 192}"),
        ({"n": 1001}, "n"),
    ],
)
def test_an_estimate_of_what_cannot_be_sent_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body.estimate(fields, TEMPLATES)
    assert refused.value.param == param


def test_an_estimate_needs_neither_variables_nor_images() -> None:
    asked = body.estimate({"template": {"name": "style-transfer"}}, TEMPLATES).request
    assert (asked.operation, len(asked.refs)) == ("edit", 2)
    logo = body.estimate({"template": {"name": "logo"}, "count": 10}, TEMPLATES)
    assert (logo.request.operation, logo.count) == ("generate", 10)
    assert '"Halden"' in logo.request.prompt
    assert (logo.request.recommended, logo.request.output_format) == ("gpt-image", "png")
    for wrong in ({"name": "x"}, {"name": "logo", "variables": {"brand": ""}}):
        with pytest.raises((InvalidRequest, NotFound)):
            body.estimate({"template": wrong}, TEMPLATES)


@pytest.mark.parametrize(
    ("defaults", "line", "start"),
    [
        ({"template": PHOTO}, {}, "A photorealistic"),
        ({"template": PHOTO}, {"prompt": "a cup"}, "a cup"),
        ({"prompt": "a cup"}, {"template": PHOTO}, "A photorealistic"),
        ({"template": {"name": "logo"}}, {"template": PHOTO}, "A photorealistic"),
    ],
)
def test_an_items_prompt_or_template_takes_the_place_of_the_defaults(
    defaults: dict[str, Any], line: dict[str, Any], start: str
) -> None:
    parse = batch_lines.native({"resolution": "2K", **defaults}, TEMPLATES)
    request = parse(json.dumps({"custom_id": "a", **line}).encode()).request
    assert request.prompt.startswith(start)
    assert request.resolution == "2K"
    assert (request.template is None) == (start == "a cup")


def test_an_item_has_a_prompt_or_a_template() -> None:
    parse = batch_lines.native({}, TEMPLATES)
    for line in ({}, {"prompt": "a cup", "template": PHOTO}):
        with pytest.raises(InvalidRequest, match="exactly one"):
            parse(json.dumps({"custom_id": "a", **line}).encode())


def test_an_uploads_variables_are_checked_before_the_file_is_there() -> None:
    good = {
        "darkroom-template": "colour-variant",
        "darkroom-variables": '{"part": "the lid", "colour": "red"}',
    }
    upload_trigger.check("a.jpg", good, TEMPLATES)
    upload_trigger.check("a.jsonl", good, TEMPLATES)
    for name, more, param in (
        ("a.jpg", {"darkroom-variables": '{"part": "the lid"}'}, "template.variables.colour"),
        ("a.jpg", {"darkroom-variables": '{"part": 3}'}, "template.variables.part"),
        ("a.jpg", {"darkroom-variables": "part"}, "darkroom-variables"),
        ("a.jpg", {"darkroom-variables": "[]"}, "darkroom-variables"),
        ("a.jpg", {"darkroom-template": "logo"}, "template.variables.part"),
        ("a.jpg", {"darkroom-prompt": "x"}, "prompt"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            upload_trigger.check(name, {**good, **more}, TEMPLATES)
        assert refused.value.param == param
    with pytest.raises(InvalidRequest, match="darkroom-variables goes with darkroom-template"):
        alone = {"darkroom-prompt": "x", "darkroom-variables": "{}"}
        upload_trigger.check("a.jpg", alone, TEMPLATES)
