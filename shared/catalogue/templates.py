"""Prompt templates: the shape of their rows, checked when they are read, and their rendering. A
name and a version always mean one text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictInt, StringConstraints, model_validator

from shared.catalogue.rows import Model, Row
from shared.catalogue.values import Count, Ratio
from shared.domain import Operation

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
VariableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)]
"""As a field of a body: an upload's metadata has hyphens in place of the underscores."""

MAX_LENGTH = 100_000
"""Characters of a variable's value: no model takes a longer prompt."""
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NEARLY = re.compile(r"\{\s*\w*\s*\}")
"""What was meant as a place. Other braces, such as those of JSON, are text."""


class Variable(Row):
    """What a caller says in a place of the prompt. It has to be given where there is no `default`;
    only `values` are taken where there are some, else any text of `max_length` characters."""

    description: Text
    example: str
    default: str | None = None
    values: tuple[str, ...] = ()
    max_length: Annotated[StrictInt, Field(ge=1, le=MAX_LENGTH)] = 200

    @model_validator(mode="after")
    def _takes_its_own(self) -> Self:
        for value in (self.example, *([] if self.default is None else [self.default])):
            if reason := self.refuses(value):
                raise ValueError(f"{value!r} is no value of it: {reason}")
        for value in self.values:
            if not value.strip() or len(value) > self.max_length:
                raise ValueError(f"{value!r} is blank or longer than max_length")
        return self

    def refuses(self, value: str) -> str | None:
        """What it takes instead, if not this value."""
        if self.values:
            return None if value in self.values else f"it is one of {', '.join(self.values)}"
        if not value.strip():
            return "it is not blank"
        if len(value) > self.max_length:
            return f"it has at most {self.max_length} characters"
        return None


class Fields(Row):
    """Fields of a request, for where its caller leaves them out."""

    aspect_ratio: Ratio | None = None
    resolution: str | None = None
    quality: str | None = None
    background: str | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    output_quality: Annotated[StrictInt, Field(ge=1, le=100)] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Those that it has."""
        return self.model_dump(exclude_none=True)


class Template(Row):
    """A prompt with places such as {subject} for `variables`. `avoid` are negative hints, put at
    its end; it takes `min_sources` to `max_sources` images, none for one that is only generated;
    `model` is the id or alias of the one to use where the caller names none."""

    name: Slug
    version: Annotated[StrictInt, Field(ge=1, lt=2**53)]
    title: Text
    description: Text
    prompt: Text
    variables: Mapping[VariableName, Variable] = Field(default_factory=dict)
    min_sources: Count = 0
    max_sources: Count = 0
    model: str
    avoid: tuple[Text, ...] = ()
    fields: Fields = Fields()

    @model_validator(mode="after")
    def _places_are_variables(self) -> Self:
        places = set(_PLACE.findall(self.prompt))
        if stray := _NEARLY.search(_PLACE.sub("", self.prompt)):
            raise ValueError(f"prompt: {stray[0]} is no place: write it as {{name}}")
        if stray := _NEARLY.search(" ".join(self.avoid)):
            raise ValueError(f"avoid: {stray[0]}: places are in the prompt alone")
        for name in sorted(places - set(self.variables)):
            raise ValueError(f"prompt: there is no [template.variables.{name}]")
        for name in sorted(set(self.variables) - places):
            raise ValueError(f"variables: {name} has no place in the prompt")
        return self

    @model_validator(mode="after")
    def _sources_are_in_order(self) -> Self:
        if self.min_sources > self.max_sources:
            raise ValueError("min_sources is more than max_sources")
        return self

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What it can be used for, the usual first."""
        if not self.max_sources:
            return ("generate",)
        return ("edit",) if self.min_sources else ("generate", "edit")

    @property
    def longest(self) -> int:
        """The characters of the longest prompt it makes."""
        widest = {
            name: "x" * max(map(len, variable.values), default=variable.max_length)
            for name, variable in self.variables.items()
        }
        return len(render(self, widest))


def render(template: Template, variables: Mapping[str, str]) -> str:
    """The prompt with a value in each place, as it was given; a default where none was. Raises
    KeyError for a missing one. Whatever looks like a place in a value is text."""
    values = {n: v.default for n, v in template.variables.items() if v.default is not None}
    values |= variables
    text = _PLACE.sub(lambda place: values[place[1]], template.prompt)
    return f"{text} Avoid: {', '.join(template.avoid)}." if template.avoid else text


def misfits(template: Template, model: Model) -> Iterator[str]:
    """What the model cannot do of it, in words."""
    for operation in template.operations:
        if operation not in model.operations:
            yield f"it cannot {operation}"
    if template.max_sources > model.max_sources:
        yield f"it takes at most {model.max_sources} images"
    if template.longest > model.prompt_limit:
        yield f"it takes prompts of at most {model.prompt_limit} characters"
    choices: Mapping[str, tuple[str, ...]] = {
        "aspect_ratio": model.aspect_ratios,
        "resolution": model.resolutions,
        "quality": model.qualities,
        "background": model.backgrounds,
        "output_format": model.output_formats,
    }
    for name, value in template.fields.given.items():
        if name in choices and value not in choices[name]:
            yield f"it has no {name} {value!r}"
    if template.fields.background == "transparent" and template.fields.output_format == "jpeg":
        yield "jpeg has no transparent background"
    if template.fields.output_quality and template.fields.output_format not in ("jpeg", "webp"):
        yield "output_quality goes with the output_format jpeg or webp"
