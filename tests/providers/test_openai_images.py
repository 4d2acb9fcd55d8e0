"""What fixtures cannot say of the adapter for OpenAI's images API."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import DarkroomError
from shared.providers import Done, openai_images

ENDPOINT = Endpoint("https://provider.test", "v1", "model-1", "provider-key")
PHOTO = Source(b"\xff\xd8\xff\xe0photo\r\n--x", "image/jpeg", 64, 48)
MASK = Source(b"\x89PNG\r\n\x1a\nmask", "image/png", 64, 48)
EDIT = ImageRequest("edit", "gpt-image", "A red bicycle", sources=(PHOTO, PHOTO), mask=MASK)
NAMES = [
    *("data", "b64_json", "url", "mime_type", "revised_prompt", "output_format", "usage", "error"),
    *("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details"),
    *("prompt_tokens", "completion_tokens_details", "image_tokens", "text_tokens"),
    *("message", "type", "param", "code"),
]
VALUES = ["AAAA", "data:image/png;base64,AAAA", "data:", "https://x.test/1.png", "\ud800", "high"]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | st.text()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
items = st.lists(st.dictionaries(st.sampled_from(NAMES), leaves, max_size=3) | leaves, max_size=3)
near = st.fixed_dictionaries({"data": items}, optional={"usage": trees, "output_format": leaves})
bodies = st.binary(max_size=64) | (trees | near).map(lambda v: json.dumps(v).encode())


@pytest.mark.thorough
@settings(max_examples=200)
@given(bodies, st.sampled_from([200, 200, 200, 204, 302, 400, 401, 429, 500, 503, 504, 999]))
@example(b"[" * 100_000, 200)
@example(b"9" * 100_000, 200)
@example(b'{"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":' + b"9" * 5000 + b"}}", 200)
@example(b'{"data":[{"url":"data:image/png;base64"},{"url":"data:,"}]}', 200)
def test_any_answer_is_a_done_or_an_error_of_ours(body: bytes, status: int) -> None:
    asked = httpx.Request("POST", "https://provider.test/v1/images/generations")
    answer = httpx.Response(status, content=body, request=asked)
    try:
        outcome = openai_images.read(answer)
    except DarkroomError as error:
        shown = {"message": error.message, "details": error.details}
        json.dumps(shown, ensure_ascii=False).encode()
        assert error.message
    else:
        assert isinstance(outcome, Done)
        assert outcome.images
        assert 200 <= status < 300


def test_the_json_of_a_call_is_what_is_sent() -> None:
    generate = replace(EDIT, operation="generate", sources=(), mask=None)
    plain, spoken = ENDPOINT, replace(ENDPOINT, dialect="json")
    for request, endpoint in ((generate, plain), (EDIT, spoken)):
        sent = json.loads(openai_images.submit(request, endpoint).content)
        assert sent == openai_images.json_body(request, endpoint)


def test_the_json_of_an_edit_is_there_where_a_form_is_sent() -> None:
    body = openai_images.json_body(EDIT, ENDPOINT)
    url = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.data).decode()}"
    assert body["images"] == [{"image_url": url}] * 2
    assert set(body) == {"model", "prompt", "n", "size", "images", "mask"}
    sent = openai_images.submit(EDIT, ENDPOINT)
    assert sent.headers["content-type"].startswith("multipart/form-data")


def test_a_form_is_the_same_for_the_same_request() -> None:
    first, second = (openai_images.submit(EDIT, ENDPOINT) for _ in range(2))
    assert first.content == second.content
    assert first.headers == second.headers


@pytest.mark.parametrize("prompt", ["--", '"; name="n"', "a\r\n--b", "日本"])
def test_a_form_keeps_a_strange_prompt_whole(prompt: str) -> None:
    sent = openai_images.submit(replace(EDIT, prompt=prompt), ENDPOINT)
    boundary = sent.headers["content-type"].partition("boundary=")[2].encode()
    pieces = sent.content.split(b"--" + boundary)
    assert len(pieces) == 9
    assert pieces[2].endswith(f'name="prompt"\r\n\r\n{prompt}\r\n'.encode())
    assert pieces[5].endswith(b"Content-Type: image/jpeg\r\n\r\n" + PHOTO.data + b"\r\n")
    assert pieces[-1] == b"--\r\n"
