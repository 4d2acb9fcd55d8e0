"""What the bodies of all wire formats have in common: a call with JSON, objects in its answer, and
pictures in base64."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

import httpx
import orjson
import pybase64
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import from_json

from shared.domain import Endpoint, Json
from shared.errors import HTTP_STATUS, ProviderError
from shared.providers import Inline


def _countable(value: object) -> object:
    return value if type(value) is int and 0 <= value < 2**31 else 0


Count = Annotated[int, BeforeValidator(_countable)]
"""A number of tokens or pictures: one that makes no sense is 0, and costs nobody the picture."""


def _text(value: object) -> object:
    return value if isinstance(value, str) else ""


Text = Annotated[str, BeforeValidator(_text)]
"""Words; anything else is none, and costs nobody the picture beside it."""


def _object(value: object) -> object:
    return value if isinstance(value, Mapping) else {}


Object = BeforeValidator(_object)
"""An object; anything else is an empty one."""


def _objects(value: object) -> object:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else None


Objects = BeforeValidator(_objects)
"""The objects of a list; None where there is none."""


class Message(BaseModel):
    """An object in an answer. Null means absent, and names that are not ours are passed over."""

    # Each is built when it is first used: a function uses few of them.
    model_config = ConfigDict(frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: item for name, item in value.items() if item is not None}


class _Subject(Message):
    id: Text = ""


class _Event(Message):
    type: Text = ""
    data: Annotated[_Subject, Object] = _Subject()


def subject(event: bytes) -> str:
    """The id of the batch that a webhook's event speaks of, as Google and OpenAI put it alike;
    empty for any other event, and for what is none."""
    try:
        said = _Event.model_validate(from_json(event))
    except ValueError:
        return ""
    return said.data.id if said.type.startswith("batch.") else ""


def post(url: str, endpoint: Endpoint, body: Json) -> httpx.Request:
    """A call with a JSON body."""
    return httpx.Request(
        "POST",
        url,
        headers={**endpoint.headers, "content-type": "application/json"},
        content=encode(body),
    )


def encode(body: Json) -> bytes:
    """JSON as it is sent, on one line."""
    try:
        return orjson.dumps(body, default=dict)
    except TypeError:
        # Half a surrogate pair in a caller's text, or a number beyond 64 bits.
        return json.dumps(body, default=dict).encode()


def present(message: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that are set. The provider's defaults hold for the others."""
    return {name: value for name, value in message.items() if value is not None}


def pack(data: bytes) -> str:
    """Bytes as they stand in a body."""
    return pybase64.b64encode_as_string(data)


def unpack(data: str, content_type: str) -> Inline:
    """A picture out of an answer. Raises ProviderError where `data` is not base64 of anything."""
    try:
        decoded = pybase64.b64decode(data, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise ProviderError(
            "The provider sent a picture that cannot be decoded. Try again.",
            details={HTTP_STATUS: 200},
        )
    return Inline(decoded, content_type)
