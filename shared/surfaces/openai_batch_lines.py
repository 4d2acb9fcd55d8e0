"""The lines of OpenAI's batches: a request on its way in, and what became of it. A line of results
has its pictures in base64 and is never in memory as a whole.

Facts: results recorded in 2026-08 and the guide to batches, 2026-11; codes as quoted in public
issues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import Field
from pydantic_core import from_json, to_json

from shared import body, names
from shared.batch_domain import Batch
from shared.batch_items import Item, ItemResult, Parse
from shared.batch_lines import checked_id
from shared.body import Body, Files
from shared.catalogue.rows import Model
from shared.domain import Image, Json, Problem
from shared.errors import InvalidRequest, ProviderUnavailable, error_of
from shared.surfaces import openai_errors, openai_images

Kind = Literal["output", "error"]
"""The two files of results: what was made, and what was not."""
Piece = bytes | Image
"""Part of a line; for an image, its bytes in base64 between quotes."""
LINE = "line"
"""What an error is about that is about no field of a line."""
_LINE_CODES = {
    None: "invalid_request",
    LINE: "invalid_json_line",
    "custom_id": "invalid_custom_id",
    "method": "invalid_method",
    "url": "invalid_url",
    "body": "invalid_body",
    "model": "model_not_found",
}
_EMPTY = b'"b64_json":null'
"""Where a picture goes. Inside a string it would have its quotes escaped."""
_QUOTES = 2
_NOT_MADE = ProviderUnavailable.code
"""What an item's error is where nobody came to make it."""


class LineBody(Body):
    """A request of a batch."""

    custom_id: str
    method: Literal["POST"]
    url: str = Field(max_length=100)
    body: dict[str, Any]


def reader(endpoint: str, models: Callable[[str], Model | None], ignored: set[str]) -> Parse:
    """Reads lines for an endpoint of the images API; `models` resolves a name, and what is passed
    over in a line is added to `ignored`."""

    def parse(line: bytes) -> Item:
        said = body.validated(LineBody, _object(line))
        custom_id = checked_id(said.custom_id)
        if said.url != endpoint:
            raise InvalidRequest(
                f"The URL of every line is the batch's endpoint, {endpoint}.", param="url"
            )
        read = openai_images.read(endpoint, said.body)
        if read.body.stream:
            raise InvalidRequest("Streaming is not supported in batches.", param="stream")
        if read.body.response_format == "url":
            raise InvalidRequest(
                "The pictures of a batch come as b64_json.", param="response_format"
            )
        asked = openai_images.asked(read, Files(), models(read.body.model))
        ignored.update(asked.ignored)
        return Item(custom_id, asked.request)

    return parse


def problem(said: Json) -> Json:
    """What is wrong with a line, as the engine tells it, in OpenAI's words."""
    told = said if isinstance(said, dict) else {}
    param = told.get("param")
    inside = param if isinstance(param, str) else None
    code = _LINE_CODES.get(inside, "invalid_value")
    if inside == LINE:
        inside = None
    elif inside not in LineBody.model_fields:
        field = openai_errors.field_of(inside, "json")
        inside = f"body.{field}" if field else None
    return {
        "code": code,
        "message": told.get("message"),
        "param": inside,
        "line": told.get("line"),
    }


def belongs(result: ItemResult, kind: Kind) -> bool:
    """Whether a result stands in that file."""
    return (result.status == "succeeded") == (kind == "output")


def line(batch: Batch, result: ItemResult) -> Iterator[Piece]:
    """A result as a line."""
    request_id = names.item(batch.id, result.index)
    late = _late(batch, result)
    response: Json = None
    if late is None and result.error is not None and result.status != "succeeded":
        error = error_of(result.error)
        status, _, _ = openai_errors.meaning(error)
        answer = openai_errors.body(error, "json")
        response = {"status_code": status, "request_id": request_id, "body": answer}
    elif late is None:
        response = {"status_code": 200, "request_id": request_id, "body": _answer(batch, result)}
    whole: dict[str, Json] = {
        "id": f"batch_{request_id}",
        "custom_id": result.custom_id,
        "response": response,
        "error": late,
    }
    before, *rest = (to_json(whole) + b"\n").split(_EMPTY)
    yield before
    for image, text in zip(result.images, rest, strict=True):
        yield _EMPTY.removesuffix(b"null")
        yield image
        yield text


def bytes_of(piece: Piece) -> int:
    """How long a piece is as it is sent."""
    return len(piece) if isinstance(piece, bytes) else (piece.bytes + 2) // 3 * 4 + _QUOTES


def _answer(batch: Batch, result: ItemResult) -> Json:
    """What the single call would have answered, but for how the pictures were asked to look."""
    made_at = batch.completed_at or batch.created_at
    first = result.images[0]
    return {
        "created": int(made_at.timestamp()),
        "data": [{"b64_json": None} for _ in result.images],
        "output_format": openai_images.FORMATS[first.content_type],
        "size": f"{first.width}x{first.height}",
        "usage": openai_images.usage(result.usage),
    }


def _late(batch: Batch, result: ItemResult) -> Json:
    """Why a request was never made, where its batch ended before it; else None."""
    why = result.error or Problem(_NOT_MADE, "This request was not made.")
    if result.status == "cancelled":
        return {"code": "batch_cancelled", "message": why.message}
    if result.status == "failed" and batch.status == "expired" and why.code == _NOT_MADE:
        return {"code": "batch_expired", "message": why.message}
    return None


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest("This line is not parseable as valid JSON.", param=LINE)
    return value
