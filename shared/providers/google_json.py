"""JSON as Google's APIs write it (protobuf.dev/programming-guides/json, 2026-10): how a message is
read."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """A message in an answer. Null means absent, and names that are not ours are passed over."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: item for name, item in value.items() if item is not None}
