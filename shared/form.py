"""The parts of a multipart `/edit` body as the fields of a JSON one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from shared import json_size
from shared.body import EditBody
from shared.errors import InvalidRequest

_TEXTS = frozenset(
    name
    for name, info in EditBody.model_fields.items()
    if info.annotation in (str, str | None) or "Literal" in str(info.annotation)
)


def fields(texts: Mapping[str, str]) -> dict[str, Any]:
    """Text where the field is a text, else JSON. Raises InvalidRequest, PayloadTooLarge."""
    return {name: _value(name, text) for name, text in texts.items()}


def _value(name: str, text: str) -> object:
    if name in _TEXTS or name not in EditBody.model_fields:
        return text
    json_size.check_values(text.encode(), param=name)
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"The part {name} has to be JSON.", param=name) from error
