"""Answers at once or as server-sent events: of the images API (openai 3.52,
types/image_gen_*_event.py, image_edit_*_event.py) and of chat/completions.

An error in the middle is `data: {"error": …}`, which the SDK raises, and silence is filled with
comments, which it skips. A stream of several pictures has an event for each, in order, and each
with its share of the usage, so that they add up.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import to_json

from shared.catalogue.rows import Model
from shared.domain import Json, Record
from shared.errors import DarkroomError
from shared.providers import Inline
from shared.surfaces import Shown, openai_completion, openai_errors, openai_images, openai_size
from shared.surfaces.openai_completion import Delivery

if TYPE_CHECKING:
    from shared.work import Answer

MEDIA_TYPE = "text/event-stream"
_WAITING = b": keep-alive\n\n"
_DONE = b"data: [DONE]\n\n"


class Events:
    """The images API. `record` is the request as it was let in, `models` is the catalogue's, by id,
    and `linked` puts a link beside each picture."""

    media_type = MEDIA_TYPE

    def __init__(self, record: Record, models: Mapping[str, Model], *, linked: bool) -> None:
        edits = record.operation == "edit"
        self._kind = "image_edit" if edits else "image_generation"
        self._record = record
        self._models = models
        self._linked = linked
        self._sketches = 0

    def waiting(self) -> bytes:
        """A comment."""
        return _WAITING

    def sketch(self, picture: Inline) -> bytes:
        """A partial picture; they are counted through, whichever picture they are of."""
        asked, model = self._record.parameters, self._models.get(self._record.model)
        event: dict[str, Json] = {
            "b64_json": base64.b64encode(picture.data).decode(),
            "partial_image_index": self._sketches,
            "created_at": openai_images.created(self._record),
            "size": openai_size.size_of(self._record, model),
            "quality": openai_size.quality_of(asked, model) or openai_size.AUTO,
            "background": openai_images.background_of(self._record),
            "output_format": openai_images.FORMATS.get(picture.content_type, "png"),
        }
        self._sketches += 1
        return self._event("partial_image", event)

    def refusal(self, answer: Answer) -> DarkroomError | None:
        """Whatever it ended with."""
        return answer.error

    def whole(self, answer: Answer, pictures: Sequence[Shown]) -> Mapping[str, Json]:
        """The answer for who waits for all of it."""
        model = self._models.get(answer.record.model)
        return openai_images.answer(answer.record, pictures, model, linked=self._linked)

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterator[bytes]:
        """Every picture, whole."""
        record = answer.record
        for n, picture in enumerate(pictures):
            look = openai_images.look(record, picture, self._models.get(record.model))
            yield self._event(
                "completed",
                {
                    # The SDK's event has no other place for a picture.
                    "b64_json": None,
                    **openai_images.item(picture, linked=self._linked),
                    "created_at": openai_images.created(record),
                    **look,
                    "quality": look["quality"] or openai_size.AUTO,
                    "usage": openai_images.usage(record.usage, n, len(pictures)),
                },
            )

    def failed(self, error: DarkroomError) -> bytes:
        """An error in the middle."""
        return _data(openai_errors.body(error, "json"))

    def _event(self, name: str, event: Mapping[str, Json]) -> bytes:
        kind = f"{self._kind}.{name}"
        return f"event: {kind}\n".encode() + _data({"type": kind, **event})


class Chunks:
    """chat/completions. `counted` says that the usage is wanted at the end."""

    media_type = MEDIA_TYPE

    def __init__(self, delivery: Delivery, *, counted: bool) -> None:
        self._delivery = delivery
        self._counted = counted

    def waiting(self) -> bytes:
        """A comment."""
        return _WAITING

    def sketch(self, picture: Inline) -> bytes:
        """A chat shows none."""
        return b""

    def refusal(self, answer: Answer) -> DarkroomError | None:
        """Whatever it ended with, unless the model said something."""
        return None if openai_completion.words_of(answer.record) else answer.error

    def whole(self, answer: Answer, pictures: Sequence[Shown]) -> Mapping[str, Json]:
        """The answer for who waits for all of it."""
        return openai_completion.completion(answer.record, pictures, self._delivery)

    def ended(self, answer: Answer, pictures: Sequence[Shown]) -> Iterator[bytes]:
        """Every chunk, and the closing line."""
        for chunk in openai_completion.chunks(
            answer.record, pictures, self._delivery, counted=self._counted
        ):
            yield _data(chunk)
        yield _DONE

    def failed(self, error: DarkroomError) -> bytes:
        """An error in the middle, and the closing line."""
        return _data(openai_errors.body(error, "chat")) + _DONE


Frames: TypeAlias = Events | Chunks
"""How an endpoint answers."""


def _data(value: Mapping[str, Json]) -> bytes:
    return b"data: " + to_json(value) + b"\n\n"
