"""JSON as Google's APIs write it (protobuf.dev/programming-guides/json, 2026-10)."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from shared.providers import bodies


class Message(bodies.Message):
    """A message in an answer, its fields in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True)
