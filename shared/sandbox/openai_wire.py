"""JSON over HTTP as OpenAI's API speaks it: pretty-printed answers, errors of four keys, and the
two forms in which a body comes.

Facts: openai-openapi (2026-08), recorded answers of 2026-08, and what openai 3.52 sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from shared.domain import Json

IMAGE_PART = re.compile(r"images?(\[\d*\])?")
"""What clients call the parts that are images: `image`, `image[]`, `image[0]`, `images[]`."""
FILES = ("mask", "markup")
_NUMBERS = ("n", "output_compression", "partial_images")
_FLAGS = {"true": True, "false": False}


class Refusal(Exception):
    """An answer that is an error: `status` is HTTP's, the rest stands in the body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, Json] = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }


@dataclass(frozen=True)
class Body:
    """What was sent: the fields by name, nulls left out, and the images as files or as JSON names
    them. `form` is whether it was a form."""

    fields: Mapping[str, Json]
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    form: bool = False


def answer(
    body: Json, status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """A JSON answer."""
    sent = {"content-type": "application/json", **(headers or {})}
    return httpx.Response(status, headers=sent, content=json.dumps(body, indent=2).encode())


def read(request: httpx.Request, *, forms: bool) -> Body:
    """The body of a request: JSON, or a form where one is taken. Raises Refusal."""
    kind = request.headers.get("content-type", "")
    if forms and kind.lower().startswith("multipart/form-data"):
        return _form(request.content, kind)
    if not kind.lower().startswith("application/json"):
        accepted = "'application/json'" + (" and 'multipart/form-data'" if forms else "")
        raise Refusal(
            400,
            f"Unsupported content type: '{kind[:100]}'. This API method only accepts {accepted} "
            "requests.",
            code="unsupported_content_type",
        )
    try:
        fields = json.loads(request.content)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    return Body({name: value for name, value in fields.items() if value is not None})


def _form(content: bytes, kind: str) -> Body:
    boundary = re.search(r'boundary="?([^";,]+)"?', kind)
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary[1].encode()) if boundary else []
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refusal(400, "We could not parse the multipart body of your request.")
    fields: dict[str, Json] = {}
    files = []
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'(?<!file)name="([^"]*)"', head)
        field_ = name[1].decode(errors="replace") if name else ""
        # Some clients send pictures without a file name.
        if b"filename=" in head or IMAGE_PART.fullmatch(field_) or field_ in FILES:
            files.append((field_, data))
        else:
            fields[field_] = _value(field_, data.decode(errors="replace"))
    return Body(fields, tuple(files), form=True)


def _value(name: str, text: str) -> Json:
    """A form has texts only: the numbers and flags among them are known by name."""
    if name in _NUMBERS and re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    return _FLAGS.get(text.lower(), text) if name == "stream" else text
