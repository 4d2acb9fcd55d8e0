"""The compatibility table is the code's own, complete, and what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from openai.types import image_edit_params, image_generate_params
from openai.types.chat import completion_create_params
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from shared.surfaces.gemini_files import StartMessage
from shared.surfaces.gemini_messages import DATA, GenerateContentRequest, Tool
from shared.surfaces.imagen_messages import PredictRequest
from shared.surfaces.table import SURFACES, endpoints, table

PAGE = Path("functions/README.md").read_text()
FIELDS = {path: fields for name in SURFACES for _, path, fields in endpoints(name)}
WHOLE = (
    "systemInstruction",
    "contents.parts.inlineData",
    "safetySettings",
    "tools.googleSearch.searchTypes",
)
"""Rows that speak for all that is inside their message."""
KINDS = {
    "contents.parts": set(DATA) - {"text", "inline_data", "file_data", "function_call"},
    "tools": set(Tool.model_fields) - {"google_search", "function_declarations"},
}
"""What the rows contents.parts.functionCall and tools.functionDeclarations stand for besides."""


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


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gemini/{version}/models/{model}:generateContent", GenerateContentRequest),
        ("/gemini/{version}/models/{model}:streamGenerateContent", GenerateContentRequest),
        ("/gemini/{version}/models/{model}:predict", PredictRequest),
        ("/gemini/upload/{version}/files", StartMessage),
    ],
)
def test_every_field_of_googles_messages_is_listed(path: str, message: type[BaseModel]) -> None:
    listed = set(FIELDS[path])
    kinds = {f"{above}.{to_camel(name)}" for above, names in KINDS.items() for name in names}

    def is_listed(field: str) -> bool:
        """By itself, by a row for the whole of what it is in, or by what is inside it."""
        whole = any(field.startswith(f"{row}.") for row in WHOLE)
        return field in listed or whole or any(row.startswith(f"{field}.") for row in listed)

    assert set(WHOLE) <= set(FIELDS["/gemini/{version}/models/{model}:generateContent"])
    assert not {field for field in fields_of(message) if not is_listed(field)} - kinds
