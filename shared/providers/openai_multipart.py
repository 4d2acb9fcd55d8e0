"""multipart/form-data as RFC 7578 has it, for OpenAI's images/edits (openai-openapi, 2026-08)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from shared.domain import Endpoint, Json


@dataclass(frozen=True)
class Attached:
    """A part that is a file. `name` is the form's field; several parts may have the same."""

    name: str
    filename: str
    data: bytes = field(repr=False)
    content_type: str


def post(
    url: str, endpoint: Endpoint, fields: Mapping[str, Json], files: Sequence[Attached]
) -> httpx.Request:
    """A call with a form: the fields as text, then the files."""
    parts = [_text(name, value) for name, value in fields.items()] + [_file(f) for f in files]
    # What follows from the parts is in none of them.
    boundary = hashlib.sha256(b"".join(parts)).hexdigest()
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return httpx.Request(
        "POST",
        url,
        headers={
            **endpoint.headers,
            "content-type": f"multipart/form-data; boundary={boundary}",
        },
        content=body + b"--%s--\r\n" % boundary.encode(),
    )


def _text(name: str, value: Json) -> bytes:
    text = json.dumps(value) if isinstance(value, bool) else value
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode()


def _file(attached: Attached) -> bytes:
    head = (
        f'Content-Disposition: form-data; name="{attached.name}"; '
        f'filename="{attached.filename}"\r\nContent-Type: {attached.content_type}\r\n\r\n'
    )
    return head.encode() + attached.data
