"""Prompt templates as callers see them, as pydantic models."""

from __future__ import annotations

from datetime import date
from typing import Literal

from shared.catalogue import Catalogue
from shared.catalogue.templates import Template, Variable
from shared.domain import Operation
from shared.routing import AUTO
from shared.view import View


class VariableView(View):
    """What is said in a place of the prompt: one of `values` where there are some, else a text of
    at most `max_length` characters. The `default` stands where nothing is said; where there is
    none, something has to be."""

    name: str
    description: str
    required: bool
    default: str | None
    example: str
    values: list[str]
    max_length: int


class TemplateView(View):
    """A prompt template: what `template` of a request can name. `operation` is the usual one of
    `operations`, `model` the one used where the caller names none ("auto" for any), `avoid` what
    its prompt ends with, and `fields` are of a request that leaves them out. Its text never changes
    under one version."""

    name: str
    object: Literal["template"] = "template"
    version: int
    title: str
    description: str
    operation: Operation
    operations: list[Operation]
    prompt: str
    variables: list[VariableView]
    min_sources: int
    max_sources: int
    model: str
    avoid: list[str]
    fields: dict[str, str | int]


def of_template(template: Template, catalogue: Catalogue, today: date) -> TemplateView:
    """A row, with its model as it stands on that day."""
    model = catalogue.standing(template.model, today)
    return TemplateView(
        name=template.name,
        version=template.version,
        title=template.title,
        description=template.description,
        operation=template.operations[0],
        operations=list(template.operations),
        prompt=template.prompt,
        variables=[_variable(name, row) for name, row in template.variables.items()],
        min_sources=template.min_sources,
        max_sources=template.max_sources,
        model=model.id if model else AUTO,
        avoid=list(template.avoid),
        fields=template.fields.given,
    )


def _variable(name: str, variable: Variable) -> VariableView:
    return VariableView(
        name=name,
        description=variable.description,
        required=variable.default is None,
        default=variable.default,
        example=variable.example,
        values=list(variable.values),
        max_length=variable.max_length,
    )
