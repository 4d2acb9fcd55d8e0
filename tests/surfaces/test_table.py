"""The compatibility table is the code's own, complete, and what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from openai.types import image_edit_params, image_generate_params
from openai.types.chat import completion_create_params
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from shared.surfaces.gemini_messages import GenerateContentRequest
from shared.surfaces.table import SURFACES, endpoints, table

PAGE = Path("functions/README.md").read_text()
FIELDS = {path: fields for name in SURFACES for _, path, fields in endpoints(name)}
GENERATE_CONTENT = "/gemini/{version}/models/{model}:generateContent"


def test_the_page_has_the_table_of_today() -> None:
    assert PAGE.endswith(f"\n\n{table()}"), "print it anew: .venv/bin/python -m shared.surfaces"


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/openai/v1/images/generations", image_generate_params.ImageGenerateParamsBase),
        ("/openai/v1/images/edits", image_edit_params.ImageEditParamsBase),
        (
            "/openai/v1/chat/completions",
            completion_create_params.CompletionCreateParamsBase,
        ),
    ],
)
def test_every_field_of_openais_sdk_is_listed(path: str, parameters: Any) -> None:
    assert set(parameters.__annotations__) <= set(FIELDS[path]) | {"stream"}


def fields_of(message: type[BaseModel], above: str = "") -> Iterator[str]:
    """The paths of a message's fields, as far down as messages of ours lead."""
    for name, info in message.model_fields.items():
        path, inner = f"{above}{to_camel(name)}", info.annotation
        while get_origin(inner) is not None:
            inner = next(a for a in get_args(inner) if a is not type(None))
        yield path
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields_of(inner, f"{path}.")


def test_every_field_of_googles_messages_is_listed() -> None:
    listed = set(FIELDS[GENERATE_CONTENT])

    def is_listed(path: str) -> bool:
        """By itself, with all above it, or by what is inside it."""
        above = [path.rsplit(".", n)[0] for n in range(path.count(".") + 1)]
        return any(a in listed for a in above) or any(f.startswith(f"{path}.") for f in listed)

    missing = {path for path in fields_of(GenerateContentRequest) if not is_listed(path)}
    # These two entries stand for all of their kind.
    parts = {p for p in missing if re.fullmatch(r"contents\.parts\.\w+", p)}
    tools = {p for p in missing if re.fullmatch(r"tools\.\w+", p)}
    assert not missing - parts - tools
