"""The sketches in OpenAI's streams, and what a stream comes to."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from shared.errors import ProviderError
from shared.providers import Inline, openai_images, openai_stream

ROUGH = b"\x89PNG\r\n\x1a\nrough"
EVENT = {
    "type": "image_generation.partial_image",
    "b64_json": base64.b64encode(ROUGH).decode(),
    "partial_image_index": 0,
    "output_format": "png",
}


def data(**changes: object) -> bytes:
    return json.dumps(EVENT | changes).encode()


@pytest.mark.parametrize(
    ("changes", "content_type"),
    [
        ({}, "image/png"),
        ({"type": "image_edit.partial_image", "output_format": "webp"}, "image/webp"),
        ({"output_format": "auto"}, "image/png"),
        ({"output_format": None, "partial_image_index": "x"}, "image/png"),
    ],
)
def test_a_sketch_is_in_an_events_data(changes: dict[str, object], content_type: str) -> None:
    assert openai_images.sketch(data(**changes)) == Inline(ROUGH, content_type)


@pytest.mark.parametrize(
    "event",
    [
        data(b64_json="iVBORw0KGg*"),
        data(b64_json=""),
        data(b64_json=7),
        data(b64_json=None),
        data(type="image_generation.completed", note="partial_image"),
        data(type=["image_generation.partial_image"]),
        data()[:-20],
        b'["partial_image"]',
        b"[DONE]",
        b"",
    ],
)
def test_anything_else_is_no_sketch(event: bytes) -> None:
    assert openai_images.sketch(event) is None


def test_only_a_sketch_is_read_as_one() -> None:
    with pytest.raises(ValueError, match="without a picture"):
        openai_stream.whole(b"data: " + data() + b"\n\n")


@pytest.mark.parametrize("cut", [100, -20])
def test_a_stream_that_breaks_off_may_have_been_paid_for(cut: int) -> None:
    body = b"data: " + data(type="image_generation.completed")
    with pytest.raises(ProviderError) as caught:
        openai_images.read(httpx.Response(200, content=body[:cut]))
    assert caught.value.paid


def test_usages_are_added_up_name_by_name_whatever_they_are() -> None:
    usages = [
        {"output_tokens": 5, "input_tokens": "x", "input_tokens_details": {"text_tokens": 1}},
        None,
        {"output_tokens": 7, "input_tokens": 3, "input_tokens_details": {"text_tokens": 2}},
        "x",
    ]
    events = [data(type="image_edit.completed", usage=usage) for usage in usages]
    body = b"".join(b"data: " + event + b"\n\n" for event in events)
    done = openai_images.read(httpx.Response(200, content=body))
    assert (done.usage.output_tokens, done.usage.images) == (12, 4)
