"""What the bodies of all wire formats have in common: a call with JSON, and pictures in base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import httpx

from shared.domain import Endpoint, Json
from shared.errors import HTTP_STATUS, ProviderError
from shared.providers import Inline


def post(url: str, endpoint: Endpoint, body: Json) -> httpx.Request:
    """A call with a JSON body."""
    return httpx.Request(
        "POST",
        url,
        headers={**endpoint.headers, "content-type": "application/json"},
        content=json.dumps(body, default=dict).encode(),
    )


def present(message: Mapping[str, Json]) -> dict[str, Json]:
    """The fields that are set. The provider's defaults hold for the others."""
    return {name: value for name, value in message.items() if value is not None}


def pack(data: bytes) -> str:
    """Bytes as they stand in a body."""
    return base64.b64encode(data).decode("ascii")


def unpack(data: str, content_type: str) -> Inline:
    """A picture out of an answer. Raises ProviderError where `data` is not base64 of anything."""
    try:
        decoded = base64.b64decode(data, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise ProviderError(
            "The provider sent a picture that cannot be decoded. Try again.",
            details={HTTP_STATUS: 200},
        )
    return Inline(decoded, content_type)
