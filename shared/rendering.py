"""A request that names a template, filled in: the prompt with its caller's variables, and what the
template has for fields that were left out; pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from shared.catalogue.templates import Template, render
from shared.domain import ImageRequest, Operation
from shared.errors import InvalidRequest, NotFound

_MOST_CHARACTERS = 500
"""Of a message, and of the caller's text in one at most a fifth."""


def find(name: str, templates: Mapping[str, Template]) -> Template:
    """The template of that name. Raises NotFound."""
    template = templates.get(name)
    if template is None:
        raise NotFound(
            f"There is no template named {name!r:.100}. GET /models/templates lists them.",
            param="template.name",
        )
    return template


def filled(
    request: ImageRequest, template: Template, variables: Mapping[str, str], own: Set[str]
) -> ImageRequest:
    """The request with the template's prompt, and its fields and model where they are none of the
    caller's `own`. Raises InvalidRequest for variables and for how many images there are."""
    prompt = _prompt(template, variables)
    there = len(request.refs) + (request.previous_request_id is not None)
    _check_sources(template, request.operation, there)
    if "size" in request.options:
        # A size says both.
        own = own | {"aspect_ratio", "resolution"}
    left_out = {n: value for n, value in template.fields.given.items() if n not in own}
    return replace(
        request,
        **left_out,
        prompt=prompt,
        template={
            "name": template.name,
            "version": template.version,
            "variables": dict(variables),
        },
        recommended=None if "model" in own else template.model,
    )


def examples(template: Template) -> dict[str, str]:
    """What the variables might be that have to be given."""
    return {n: v.example for n, v in template.variables.items() if v.default is None}


def _prompt(template: Template, variables: Mapping[str, str]) -> str:
    """The prompt, once the variables are checked; the first wrong one is named, and what it may
    be."""
    for name, value in variables.items():
        variable = template.variables.get(name)
        if variable is None:
            known = ", ".join(template.variables) or "none"
            raise _wrong(name, f"{template.name} has no variable {name!r:.100}: it has {known}.")
        if reason := variable.refuses(value):
            raise _wrong(name, f"{template.name} cannot take this as {name}: {reason}.")
    for name, variable in template.variables.items():
        if name not in variables and variable.default is None:
            what, such = variable.description.rstrip("."), variable.example
            raise _wrong(name, f"{template.name} needs {name}: {what}, such as {such!r}.")
    return render(template, variables)


def _check_sources(template: Template, operation: Operation, count: int) -> None:
    least, most = template.min_sources, template.max_sources
    if least <= count <= most:
        return
    if operation == "generate":
        allowed = f"works on images: send it to /edit with {_several(least, most)}"
    elif most == 0:
        allowed = "takes no images: send it to /generate"
    else:
        earlier = ", an earlier request counted as one" if most > 1 else ""
        allowed = f"takes {_several(least, most)}{earlier}; here are {count}"
    raise InvalidRequest(f"The template {template.name} {allowed}.", param="images")


def _several(least: int, most: int) -> str:
    if least == most:
        return f"{most} image{'s' if most > 1 else ''}"
    return (
        f"{least} to {most} images" if least else f"at most {most} image{'s' if most > 1 else ''}"
    )


def _wrong(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(reason[:_MOST_CHARACTERS], param=f"template.variables.{name}"[:200])
