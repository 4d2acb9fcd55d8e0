"""The events of OpenAI's images API (openai-openapi, 2026-08; openai 3.52): sketches on the way,
and pictures at the end. What an event is stands in the `type` of its data.

A stream is of one picture: with a greater `n` the API refuses it ("Streaming is only supported with
n=1.", theopenco/llmgateway issue 3963, 2026-09).
"""

from __future__ import annotations

import contextlib
import functools

from pydantic_core import from_json

from shared import sse
from shared.domain import IMAGE_TYPES
from shared.errors import ProviderError
from shared.providers import Inline
from shared.providers.bodies import Message, Text, unpack

_SKETCHES = ("image_generation.partial_image", "image_edit.partial_image")
_PICTURES = ("image_generation.completed", "image_edit.completed")


class _Sketch(Message):
    type: Text = ""
    b64_json: Text = ""
    output_format: Text = ""


def sketch(event: bytes) -> Inline | None:
    """A partial picture in an event's data; None for anything else."""
    # The last event has a whole picture in it, which need not be parsed for this.
    if b"partial_image" not in event:
        return None
    with contextlib.suppress(ValueError, ProviderError):
        said = _Sketch.model_validate(from_json(event))
        if said.type in _SKETCHES:
            return unpack(said.b64_json, IMAGE_TYPES.get(said.output_format, "image/png"))
    return None


def whole(body: bytes) -> object:
    """A body as JSON; a stream of events as the answer that would have come at once, or the error
    that came instead. Raises ValueError where it is neither."""
    if not sse.is_stream(body):
        return from_json(body)
    pictures: list[dict[str, object]] = []
    fault: object = None
    for data in sse.events(body):
        with contextlib.suppress(ValueError):
            event = from_json(data)
            if not isinstance(event, dict):
                continue
            if event.get("type") in _PICTURES:
                pictures.append(event)
            elif event.get("error") or event.get("type") == "error":
                fault = event.get("error") or event
    if pictures:
        return {
            "data": pictures,
            "output_format": pictures[0].get("output_format"),
            "usage": functools.reduce(_added, (event.get("usage") for event in pictures)),
        }
    if fault:
        return {"error": fault}
    raise ValueError("The stream ends without a picture.")


def _added(one: object, other: object) -> object:
    """Two counts as one, or two objects of counts, name by name."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _added(one.get(name), other.get(name)) for name in one | other}
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return other if one is None else one
