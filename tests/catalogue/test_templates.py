"""Prompt templates as rows: ours fit their models, an operator's change or add some, and a wrong
one is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared import catalogue
from shared.catalogue import BadCatalogue, Catalogue, load
from shared.catalogue.templates import Template, render

CATALOGUE = load()
OURS = list(CATALOGUE.templates.values())
MUG = """
[[template]]
name = "mug"
version = 1
title = "Mug"
description = "A mug."
prompt = "A {colour} mug"
model = "gpt-image"
[template.variables.colour]
description = "Its colour"
example = "red"
"""


def loaded(tmp_path: Path, rows: str) -> Catalogue:
    overlay = tmp_path / "own.toml"
    overlay.write_text(rows)
    return load(overlay)


def own(tmp_path: Path, rows: str) -> Template:
    """The one template of an operator's file, without reading ours again."""
    overlay = tmp_path / "own.toml"
    overlay.write_text(rows)
    [(name, row)] = catalogue._read(overlay)["template"].items()
    return catalogue._template(row, CATALOGUE, f"own.toml: template {name}")


def filled(template: Template) -> str:
    return render(template, {name: row.example for name, row in template.variables.items()})


@pytest.mark.parametrize("template", OURS, ids=lambda row: row.name)
def test_ours_are_whole_with_their_examples(template: Template) -> None:
    text = filled(template)
    assert not re.search(r"[{}\n]|  |\.\.", text)
    assert text.endswith(f" Avoid: {', '.join(template.avoid)}.")
    assert all(row.example in text for row in template.variables.values())
    assert template.description.endswith(".")
    assert template.version == 1


def test_those_that_people_ask_for_are_there() -> None:
    wanted = {
        "product-photo", "logo", "social-post", "blog-hero", "icon-set", "background-removal",
        "colour-variant", "style-transfer", "texture-reference", "character-consistency",
    }  # fmt: skip
    assert wanted <= set(CATALOGUE.templates)
    assert CATALOGUE.templates["style-transfer"].min_sources == 2
    assert CATALOGUE.templates["background-removal"].fields.given["background"] == "transparent"


def test_a_value_is_never_looked_at_again(tmp_path: Path) -> None:
    mug = own(tmp_path, MUG)
    for value in ("{colour}", r"\1 \g<0>", "a\nb", "{{", "100% {}"):
        assert render(mug, {"colour": value}) == f"A {value} mug"


def test_braces_that_are_no_place_are_text(tmp_path: Path) -> None:
    rows = MUG.replace('"A {colour} mug"', """'{"mug": {"colour": "{colour}"}}'""")
    assert filled(own(tmp_path, rows)) == '{"mug": {"colour": "red"}}'


def test_a_default_stands_where_nothing_is_said(tmp_path: Path) -> None:
    mug = own(tmp_path, MUG + 'default = "blue"\n')
    assert render(mug, {}) == "A blue mug"
    assert render(mug, {"colour": "green"}) == "A green mug"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('model = "', 'avoid = ["{colour} lids"]\nmodel = "', "avoid: {colour}: places are in"),
        ('example = "red"', 'example = "red"\nmax_length = 100001', "variables.colour.max_length"),
        ('name = "mug"', 'name = "A mug"', "name: "),
        ('name = "mug"', "name = 7", "number 1: name: it must be a string"),
        ("version = 1", "version = 0", "version: "),
        ("version = 1", "version = 10000000000000000", "version: .* less than"),
        ("version = 1", 'version = "1"', "version: "),
        ('title = "Mug"', 'title = " "', "title: "),
        ('model = "gpt-image"', 'model = "no-such"', "model: no model 'no-such'"),
        ('model = "gpt-image"', 'model = "auto"', "model: no model 'auto'"),
        ('model = "gpt-image"', 'modell = "gpt-image"', "model"),
        ("A {colour} mug", "A {color} mug", r"there is no \[template.variables.color\]"),
        ("A {colour} mug", "A mug", "colour has no place in the prompt"),
        ("A {colour} mug", "A { colour } {colour} mug", "{ colour } is no place"),
        ("A {colour} mug", "A {{colour}} mug", "{} is no place"),
        ("variables.colour]", "variables.Colour]", "variables.Colour"),
        ('example = "red"', 'example = ""', "is no value of it: it is not blank"),
        ('example = "red"', 'example = "red"\nmax_length = 2', "it has at most 2 characters"),
        ('example = "red"', 'example = "red"\nvalues = ["blue"]', "it is one of blue"),
        ('example = "red"', 'example = "red"\ndefault = " "', "is no value of it"),
        ('example = "red"', 'example = "red"\ndefault = "b"\nvalues = ["red"]', "one of red"),
        ('example = "red"', 'example = "red"\nvalues = ["red", " "]', "is blank"),
        ('example = "red"\n', "", "variables.colour.example"),
        ('model = "', 'min_sources = 1\nmodel = "', "min_sources is more than max_sources"),
        ('model = "', 'max_sources = 17\nmodel = "', "it takes at most 16 images"),
        (
            '"gpt-image"',
            '"imagen-4"\nmax_sources = 1',
            "imagen-4.0-generate-001 .*: it cannot edit",
        ),
        ('"gpt-image"', '"hunyuan-3d"', "it cannot generate"),
        ('example = "red"', 'example = "red"\nmax_length = 40000', "prompts of at most 32000"),
        ('model = "', 'fields = { seed = 7 }\nmodel = "', "fields.seed"),
        ('model = "', 'fields = { resolution = "8K" }\nmodel = "', "it has no resolution '8K'"),
        ('model = "', 'fields = { aspect_ratio = "7:1" }\nmodel = "', "no aspect_ratio '7:1'"),
        ('model = "', 'fields = { output_quality = 90 }\nmodel = "', "output_quality goes with"),
        (
            'model = "',
            'fields = { background = "transparent", output_format = "jpeg" }\nmodel = "',
            "no transparent background",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in MUG
    with pytest.raises(BadCatalogue, match=r"own\.toml: template") as refused:
        own(tmp_path, MUG.replace(old, new))
    assert re.search(reason.replace("{", r"\{"), str(refused.value)), refused.value


def test_a_row_is_written_once_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadCatalogue, match="template mug: it is there twice"):
        own(tmp_path, MUG + MUG)


CHANGED = '[[template]]\nname = "product-photo"\navoid = ["plastic"]\n'


@pytest.mark.thorough
def test_an_operator_changes_one_of_ours_under_a_version_of_its_own(tmp_path: Path) -> None:
    after = loaded(tmp_path, f"{CHANGED}version = 2\n")
    changed, before = (c.templates["product-photo"] for c in (after, CATALOGUE))
    assert (changed.version, changed.avoid) == (2, ("plastic",))
    assert changed.variables == before.variables
    assert [*after.templates] == [*CATALOGUE.templates]


@pytest.mark.thorough
@pytest.mark.parametrize("version", ["", "version = 1\n"])
def test_one_version_never_means_two_texts(tmp_path: Path, version: str) -> None:
    with pytest.raises(BadCatalogue, match="product-photo: version: it changes version 1, so it"):
        loaded(tmp_path, CHANGED + version)


@pytest.mark.thorough
def test_an_operator_adds_some_and_takes_a_variable_away(tmp_path: Path) -> None:
    rows = MUG + (
        '[[template]]\nname = "restyle"\nversion = 2\nprompt = "As {style}"\n'
        'variables = { detail = "" }\n'
    )
    after = loaded(tmp_path, rows)
    assert [*after.templates] == [*CATALOGUE.templates, "mug"]
    assert [*after.templates["restyle"].variables] == ["style"]


NARROWED = """
[[model]]
id = "gemini-nano-banana-2.1"
aliases = []
[[model]]
id = "gemini-3-pro-image"
aspect_ratios = ["1:1"]
"""


@pytest.mark.thorough
def test_what_an_operators_models_do_not_suit_any_more_goes_to_any(tmp_path: Path) -> None:
    ours = loaded(tmp_path, NARROWED).templates
    assert {ours[name].model for name in ("product-photo", "ad-creative")} == {"auto"}
    assert ours["logo"].model == "gpt-image"
    theirs = '[[template]]\nname = "ad-creative"\nversion = 2\ntitle = "Ad"\n'
    with pytest.raises(BadCatalogue, match=r"own\.toml: template ad-creative: model: gemini-3-pro"):
        loaded(tmp_path, theirs + NARROWED)
