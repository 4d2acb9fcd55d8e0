"""The lines of a batch as text: a caller's own, an item kept until it is made, and a result."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson
from pydantic_core import from_json

from shared import body, request_json
from shared.batch_items import Item, ItemResult, Parse
from shared.catalogue.templates import Template
from shared.domain import Image, ImageRequest, Json, Problem, Usage
from shared.errors import InvalidRequest

MAX_ID = 255
_PROMPTS = ("prompt", "template")
_EDITS = ("images", "mask", "previous_request_id")
NOT_OF_ITEMS = ("webhook_url", "delivery", "cache", "timeout_s", "metadata")
"""Fields of a request that somebody waits for, or that stands alone."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An item as it waits in storage: its place in the batch, and what is held for it."""

    index: int
    custom_id: str
    held_micros: int
    request: ImageRequest


def native(defaults: Mapping[str, Json], templates: Mapping[str, Template]) -> Parse:
    """Read lines that are bodies of `/generate` or `/edit` with a custom_id; what one leaves out
    is as `defaults` say. A prompt or a template of its own takes the place of either there."""
    others = {name: value for name, value in defaults.items() if name not in _PROMPTS}

    def parse(line: bytes) -> Item:
        fields = _object(line)
        custom_id = fields.pop("custom_id", None)
        own = any(fields.get(name) is not None for name in _PROMPTS)
        given = {**(others if own else defaults), **fields}
        for name in NOT_OF_ITEMS:
            if name in given:
                raise InvalidRequest(f"An item has no {name}.", param=name)
        if any(given.get(name) for name in _EDITS):
            request = body.edit(given, body.Files(), templates).request
        else:
            request = body.generate(given, templates).request
        return Item(checked_id(custom_id), request)

    return parse


def checked_id(custom_id: object) -> str:
    """A caller's name for an item. Raises InvalidRequest."""
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_ID:
        raise InvalidRequest(
            f"Every item has a custom_id of 1 to {MAX_ID} characters.", param="custom_id"
        )
    return custom_id


def keep(item: Kept) -> bytes:
    """An item as a line, without its end."""
    return _packed(
        {
            "index": item.index,
            "custom_id": item.custom_id,
            "held_micros": item.held_micros,
            "request": request_json.encode(item.request),
        }
    )


def alike(request: ImageRequest) -> bytes:
    """What is the same for requests that differ in their words only, and not in how many: they go
    the same ways at the same prices. Only of requests without images."""
    prompt = request.prompt.encode(errors="surrogatepass")
    words: dict[str, Any] = {
        "prompt": [len(request.prompt), len(prompt)],
        "template": None,
        "metadata": {},
    }
    return hashlib.sha256(_packed({**request_json.encode(request), **words})).digest()


def kept(data: bytes, done: bytes | bytearray, *, whole: bool) -> list[Kept]:
    """The items of a chunk whose bit is not set; without their images' bytes and their prompts
    unless `whole`, and then those that are alike share what is left of their request."""
    found: list[Kept] = []
    shared: dict[bytes, ImageRequest] = {}
    for line in data.splitlines():
        said = from_json(line)
        if is_set(done, said["index"]):
            continue
        asked = said.pop("request")
        request = request_json.decode(asked) if whole else _light(asked, shared)
        found.append(Kept(**said, request=request))
    return found


def _light(asked: dict[str, Any], shared: dict[bytes, ImageRequest]) -> ImageRequest:
    refs: list[dict[str, str]] = [{} for _ in asked["refs"]]
    texts: dict[str, Any] = {"prompt": "", "template": None, "metadata": {}}
    light = {**asked, **texts, "refs": refs, "mask_ref": None}
    key = _packed(light)
    if key not in shared:
        shared[key] = request_json.decode(light)
    return shared[key]


def keep_results(results: Iterable[ItemResult]) -> bytes:
    """Results as lines."""
    return b"".join(_packed(result) + b"\n" for result in results)


def kept_results(data: bytes) -> list[ItemResult]:
    """What `keep_results` was given."""
    return [_result(from_json(line)) for line in data.splitlines()]


def is_set(bits: bytes | bytearray, index: int) -> bool:
    """Whether an item has a result."""
    return bool(bits[index >> 3] & (1 << (index & 7)))


def pack(done: bytes) -> str:
    """Bits as text."""
    return base64.b64encode(zlib.compress(done)).decode()


def unpack(text: str, items: int) -> bytearray:
    """The bits of so many items; none is set where there is no text yet."""
    if not text:
        return bytearray((items + 7) // 8)
    return bytearray(zlib.decompress(base64.b64decode(text)))


def _packed(value: object) -> bytes:
    """JSON on one line, of dataclasses too. What orjson does not take, half a character or an
    integer of more than 64 bits, the standard library does."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=_fields).encode()


def _fields(value: object) -> dict[str, Any]:
    return dict(vars(value))


def _result(said: dict[str, Any]) -> ItemResult:
    names = {field.name for field in fields(ItemResult)}
    known = ItemResult(**{name: value for name, value in said.items() if name in names})
    return replace(
        known,
        images=tuple(Image(**image) for image in said["images"]),
        usage=Usage(**said["usage"]),
        error=Problem(**said["error"]) if said["error"] else None,
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        why = str(error).replace(" at line 1 column", " at column")
        raise InvalidRequest(f"The line is not valid JSON: {why}.") from error
    if not isinstance(value, dict):
        raise InvalidRequest("A line has to be a JSON object.")
    return value
