"""Answers in events, as the SDKs read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
)

from shared import sse
from shared.catalogue import load
from shared.domain import Operation, Problem, Usage
from shared.errors import RateLimited
from shared.providers import Inline
from shared.surfaces.openai_stream import Chunks, Events
from shared.work import Answer
from tests.surfaces.records import record, shown

MODELS = load().models
COUNTED = Usage(input_tokens=10, output_tokens=397, image_tokens=396)
FAILED = record(
    status="failed", error=Problem("no_image", "No picture.", details={"text": "A cat"})
)


def events(frames: Iterable[bytes]) -> list[Any]:
    """The data of every event, of frames that are whole events each."""
    found = []
    for frame in frames:
        (event,) = sse.events(frame)
        assert frame.endswith(b"\n\n")
        found.append(event.decode() if event == b"[DONE]" else json.loads(event))
    return found


@pytest.mark.parametrize(
    ("operation", "kind", "partial", "whole"),
    [
        ("generate", "image_generation", ImageGenPartialImageEvent, ImageGenCompletedEvent),
        ("edit", "image_edit", ImageEditPartialImageEvent, ImageEditCompletedEvent),
    ],
)
def test_events_are_what_the_sdk_reads(
    operation: Operation, kind: str, partial: Any, whole: Any
) -> None:
    made = record(operation=operation, usage=COUNTED, n=2, parameters={"quality": "low"})
    frames = Events(made, MODELS, linked=False)
    sketches = [frames.sketch(Inline(b"abc", "image/webp")) for _ in range(2)]
    first, second = (
        partial.model_validate_json(json.dumps(e), strict=True) for e in events(sketches)
    )
    assert (first.partial_image_index, second.partial_image_index) == (0, 1)
    assert (first.b64_json, first.output_format, first.quality) == ("YWJj", "webp", "low")
    assert first.size == ("1024x1024" if operation == "generate" else "auto")
    ended = list(frames.ended(Answer(made), [shown(), shown(1)]))
    assert ended[0].startswith(f"event: {kind}.completed\ndata: ".encode())
    done = [whole.model_validate_json(json.dumps(e), strict=True) for e in events(ended)]
    assert [event.size for event in done] == ["1024x768", "1024x768"]
    assert [event.usage.total_tokens for event in done] == [204, 203]
    assert {(e.b64_json, e.quality, e.background, e.output_format) for e in done} == {
        ("AAAA", "low", "opaque", "png")
    }


def test_an_event_has_its_key_even_where_the_picture_is_behind_a_link() -> None:
    frames = Events(record(), MODELS, linked=False)
    (event,) = events(frames.ended(Answer(record()), [shown(0, None)]))
    assert (event["b64_json"], event["url"]) == (None, shown().url)


def test_the_look_is_that_of_the_model_that_made_it() -> None:
    asked = record(model="gemini-3-pro-image", parameters={"resolution": "4K"})
    frames = Events(asked, MODELS, linked=False)
    (event,) = events(frames.ended(Answer(record(parameters={"quality": "max"})), [shown()]))
    assert event["quality"] == "max"


def test_a_model_that_is_gone_makes_no_difference() -> None:
    frames = Events(record(model="gone"), {}, linked=True)
    assert events([frames.sketch(Inline(b"", "x"))])[0]["size"] == "auto"
    (event,) = events(frames.ended(Answer(record(model="gone")), [shown()]))
    assert (event["quality"], event["url"]) == ("auto", shown().url)


@pytest.mark.parametrize(
    "frames", [Events(record(), {}, linked=False), Chunks("url", counted=True)]
)
def test_silence_is_filled_with_comments_and_errors_are_raised(frames: Events | Chunks) -> None:
    assert sse.events(frames.waiting()) == []
    assert frames.waiting().startswith(b":")
    error, *rest = sse.events(frames.failed(RateLimited("Later.")))
    assert json.loads(error)["error"]["message"] == "Later."
    assert rest == ([b"[DONE]"] if isinstance(frames, Chunks) else [])


def test_chunks_end_with_the_closing_line() -> None:
    frames = Chunks("b64_json", counted=True)
    *said, usage, done = events(frames.ended(Answer(record(usage=COUNTED)), [shown()]))
    assert usage["usage"]["completion_tokens"] == 397
    assert said[-1]["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"
    assert frames.sketch(Inline(b"abc", "image/png")) == b""


def test_words_alone_are_an_answer_to_a_chat_only() -> None:
    answer = Answer(FAILED)
    assert Chunks("url", counted=False).refusal(answer) is None
    refused = Events(FAILED, MODELS, linked=False).refusal(answer)
    assert refused is not None
    assert refused.code == "no_image"
    whole = Chunks("url", counted=False).whole(answer, [])
    assert json.loads(json.dumps(whole))["choices"][0]["message"]["content"] == "A cat"
