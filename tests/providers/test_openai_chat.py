"""chat/completions where fixtures do not reach: masks, long answers, anything at all."""

from __future__ import annotations

import base64
import io
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import DarkroomError
from shared.providers import Done, Provider, mask, openai_chat, openrouter_images
from shared.providers.chat_pictures import collect

ENDPOINT = Endpoint("https://relay.test", "v1", "model-1", "provider-key")


def file(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def answer(message: object) -> httpx.Response:
    choice = {"message": message, "finish_reason": "stop"}
    return httpx.Response(200, content=json.dumps({"choices": [choice]}).encode())


def test_a_mask_is_shown_in_black_and_white_behind_its_explanation() -> None:
    data = file(mode="RGBA")
    source = Source(file("JPEG"), "image/jpeg", 8, 8)
    request = ImageRequest(
        "edit", "m", "Add a hat", sources=(source,), mask=Source(data, "image/png", 8, 8)
    )
    body = json.loads(openai_chat.submit(request, ENDPOINT).content)
    prompt, shown, explained, drawn = body["messages"][0]["content"]
    assert prompt == {"type": "text", "text": "Add a hat"}
    assert shown["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert explained == {"type": "text", "text": mask.EXPLANATION}
    expected = packed(mask.black_and_white(data))
    assert drawn["image_url"]["url"] == f"data:image/png;base64,{expected}"


@pytest.mark.parametrize(
    "text",
    [
        "![" * 2_500_000,
        "](" * 2_500_000,
        "![a](" * 6_000_000,
        "data:image/" * 450_000,
        "A" * 5_000_000 + "!",
        "http://" * 700_000,
        " " * 5_000_000,
        "A\n" * 2_500_000,
    ],
    ids=lambda text: str(text[:11]),
)
def test_no_answer_takes_for_ever_to_read(text: str) -> None:
    assert not collect([], [text], []).pictures


def test_a_large_picture_is_read_byte_for_byte() -> None:
    data = file() + bytes(5_000_000)
    done = openai_chat.read(
        answer({"content": f"Done.\n![image](data:image/png;base64,{packed(data)})"})
    )
    assert [image.data for image in done.images if hasattr(image, "data")] == [data]
    assert done.text == "Done."


def test_the_text_holds_no_picture_whatever_the_shape() -> None:
    url = f"data:image/png;base64,{packed(file())}"
    part = {"type": "image_url", "image_url": {"url": url}}
    for content in (f"a ![x]({url}) b", f"a {url} b", ["a", part, {"type": "text", "text": "b"}]):
        done = openai_chat.read(answer({"content": content, "images": [url]}))
        assert len(done.images) == 1
        assert "base64" not in str(done.text)


NAMES = [
    *("choices", "message", "delta", "content", "images", "image_url", "url", "b64_json", "media"),
    *("image_b64_json", "outputs", "type", "text", "finish_reason", "native_finish_reason"),
    *("refusal", "usage", "prompt_tokens", "completion_tokens_details", "image_tokens", "cost"),
    *("data", "media_type", "error", "code", "metadata", "raw", "detail", "loc", "msg", "param"),
    *("success", "flagged_input", "prompt_tokens_details"),
]
PICTURE = packed(file())
VALUES = [
    *("stop", "content_filter", "AAAA", "\ud800", "https://x.test/", "data:image/png;base64,AAAA"),
    *(PICTURE, f"![i](data:image/png;base64,{PICTURE})", f"![i](data:image/png;base64,{PICTURE}"),
    *("RateLimitExceeded.X", "try again in 9s", "](", "429", "[[[["),
]
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES) | st.text()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=20,
)
said = st.dictionaries(st.sampled_from(NAMES), trees, max_size=5)
near = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": said}), min_size=1, max_size=2)},
    optional={"usage": trees, "media": trees, "data": trees, "error": trees},
)
whole = (trees | near).map(lambda v: json.dumps(v).encode())
streams = st.lists(whole, max_size=3).map(lambda c: b"".join(b"data: " + x + b"\n\n" for x in c))


@pytest.mark.thorough
@pytest.mark.parametrize("adapter", [openai_chat, openrouter_images])
@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=64) | whole | streams,
    st.sampled_from([200, 200, 200, 201, 302, 400, 403, 408, 429, 500, 503, 524, 999]),
)
def test_whatever_comes_is_done_or_an_error_of_ours(
    adapter: Provider, body: bytes, status: int
) -> None:
    try:
        outcome = adapter.read(httpx.Response(status, content=body))
    except DarkroomError as error:
        shown = {"message": error.message, "details": error.details}
        json.dumps(shown, ensure_ascii=False).encode()
        assert error.message
        assert error.details["http_status"] == status
        assert error.retry_after_s is None or 0 <= error.retry_after_s < 1e6
    else:
        assert isinstance(outcome, Done)
        assert outcome.images
        assert 200 <= status < 300
