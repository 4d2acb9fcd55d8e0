"""What is kept of a request for a later one that continues it: JSON, in its record where it is
short, else as the object turns/<request id>, written once.

It names the turn before it, so a conversation is a chain. Its picture is the request's own first
image, and is not kept a second time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pybase64

from shared.domain import Source, Turn

LITTLE_BYTES = 16_384
"""In a record a turn may have: lists read whole records. Thought signatures alone can be megabytes,
models without them have a few hundred bytes."""
_PREVIOUS = "previous_request_id"


def encode(turn: Turn, previous_request_id: str | None) -> bytes:
    """A turn as JSON, with the id of the request before it. Its pictures are left out, for they
    are stored by themselves, and so is a source's `uri`: the provider's copy does not last."""
    return orjson.dumps(
        {
            "prompt": turn.prompt,
            "sources": [_encoded(source) for source in turn.sources],
            "wire": turn.wire,
            "wire_model": turn.wire_model,
            "reply": turn.reply,
            _PREVIOUS: previous_request_id,
        }
    )


def decode(data: bytes | str) -> tuple[Turn, str | None]:
    """What `encode` was given, without the pictures."""
    kept = orjson.loads(data)
    reply = kept["reply"]
    turn = Turn(
        prompt=kept["prompt"],
        sources=tuple(Source(**_decoded(source)) for source in kept["sources"]),
        images=(),
        wire=kept["wire"],
        wire_model=kept["wire_model"],
        # One text, as they were written until November 2026.
        reply=(reply,) if isinstance(reply, str) else reply and tuple(reply),
    )
    return turn, kept[_PREVIOUS]


def filled(pieces: Sequence[str | int], images: Mapping[int, bytes]) -> tuple[str | int, ...]:
    """A reply with these pictures' base64 where their numbers stood."""
    return tuple(
        pybase64.b64encode_as_string(images[piece])
        if isinstance(piece, int) and piece in images
        else piece
        for piece in pieces
    )


def whole(turn: Turn) -> str | None:
    """The reply as it came; None where there was none, or its picture is gone."""
    images = {number: picture.data for number, picture in enumerate(turn.images)}
    pieces = filled(turn.reply or (), images)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if texts and len(texts) == len(pieces) else None


def size_bytes(turn: Turn) -> int:
    """Of its pictures, and of their base64 where the reply has it."""
    given_back = [turn.images[n] for n in turn.reply or () if isinstance(n, int) and turn.images]
    inline = sum((len(picture.data) + 2) // 3 * 4 for picture in given_back)
    return inline + sum(len(picture.data) for picture in turn.images)


def _encoded(image: Source) -> Mapping[str, str | int]:
    return {
        "content_type": image.content_type,
        "width": image.width,
        "height": image.height,
        "data": pybase64.b64encode_as_string(image.data),
    }


def _decoded(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**kept, "data": pybase64.b64decode(kept["data"])}
