"""Whatever bytes a provider sends, `read` gives a Done or raises an error of ours, and `sketch` a
picture or none."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain import Endpoint
from shared.errors import DarkroomError
from shared.providers import Pending, Provider, google_files
from shared.providers.registry import ADAPTERS

pytestmark = pytest.mark.thorough

EVERY = [pytest.param(adapter, id=name) for name, adapter in ADAPTERS.items()]
# Most adapters share the one that sees none.
SKETCHING = list({adapter.sketch: adapter for adapter in ADAPTERS.values()}.values())
ENDPOINT = Endpoint("https://provider.test", "v1beta", "model-1", "provider-key", "x-goog-api-key")
ASKED = httpx.Request("GET", "https://provider.test/v1/generation-request/a/status/#late=1")
EXAMPLES = 60
NAMES = [
    *("candidates", "content", "parts", "text", "thought", "inlineData", "mimeType", "data"),
    *("finishReason", "finishMessage", "promptFeedback", "blockReason", "usageMetadata"),
    *("promptTokenCount", "candidatesTokensDetails", "modality", "tokenCount", "verbatim"),
    *("predictions", "bytesBase64Encoded", "raiFilteredReason", "error", "code", "message"),
    *("status", "details", "reason", "retryDelay", "violations", "quotaId", "quotaValue"),
    *("file", "uri", "name", "state"),
    *("b64_json", "url", "usage", "output_tokens", "input_tokens_details", "image_tokens", "cost"),
    *("choices", "message", "images", "image_url", "finish_reason", "media", "outputs", "size"),
    *("task_id", "results", "asset", "asset_url", "failure_reason", "progress", "detail", "type"),
]
VALUES = [
    *("STOP", "SAFETY", "AAAA", "34.4s", "1e999s", "IMAGE", "FAILED_PRECONDITION", "\ud800"),
    *("FINISHED", "FAILED", "content_filter", "data:image/png;base64,AAAA", "https://[", "RPD"),
    *("image_generation.completed", "image_edit.partial_image"),
]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(VALUES)
    | st.text(max_size=8)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
counts = st.dictionaries(st.sampled_from(NAMES), leaves, max_size=4)
blobs = st.fixed_dictionaries({"inlineData": st.fixed_dictionaries({"data": st.just("AAAA")})})
parts = st.lists(blobs | trees, max_size=3)
near = st.fixed_dictionaries(
    {
        "candidates": st.lists(
            st.fixed_dictionaries({"content": st.fixed_dictionaries({"parts": parts})})
        )
    },
    optional={"usageMetadata": counts | trees, "promptFeedback": trees, "predictions": parts},
)
items = st.lists(st.dictionaries(st.sampled_from(NAMES), trees, max_size=4), max_size=3)
listed = st.dictionaries(
    st.sampled_from(["data", "choices", "results", "images", "media"]), items | trees, min_size=1
)
failures = st.fixed_dictionaries(
    {"error": st.dictionaries(st.sampled_from(NAMES), trees, max_size=4) | trees}
)
whole = (trees | near | listed | failures).map(lambda v: json.dumps(v).encode())
shown = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["image_generation.partial_image", "image_edit.completed"]),
        "b64_json": leaves,
    },
    optional={"output_format": leaves, "usage": trees},
)
events = st.binary(max_size=64) | (trees | failures | shown).map(lambda v: json.dumps(v).encode())
streams = st.lists(events, max_size=3).map(lambda e: b"".join(b"data: " + x + b"\n\n" for x in e))
bodies = st.binary(max_size=64) | whole | streams
statuses = st.sampled_from(
    [200, 200, 200, 201, 204, 302, 400, 403, 404, 413, 429, 500, 503, 504, 999]
)
headers = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "x-goog-upload-url"]),
    st.sampled_from(
        ["5", "-1", "²", "text/html; charset=nonsense", "http://[", "https://provider.test/x"]
    ),
)


@pytest.mark.parametrize("adapter", EVERY)
@settings(max_examples=EXAMPLES)
@given(bodies, statuses, headers)
@example(b"[" * 100_000, 200, {})
@example(b"9" * 100_000, 200, {})
@example(b'{"error": {"code": 1e999}}', 200, {})
@example(
    b'{"candidates":[{"content":{"parts":[{"inlineData":{"data":"AAAA"},"x":1e999}]}}]}', 200, {}
)
def test_read_gives_done_or_raises_an_error_of_ours(
    adapter: Provider, body: bytes, status: int, fields: dict[str, str]
) -> None:
    answer = httpx.Response(status, headers=encoded(fields), content=body, request=ASKED)
    try:
        outcome = adapter.read(answer)
    except DarkroomError as error:
        assert_showable(error)
    else:
        assert 200 <= status < 300
        assert isinstance(outcome, Pending) or outcome.images


@pytest.mark.parametrize("adapter", SKETCHING)
@settings(max_examples=EXAMPLES)
@given(events)
@example(b"partial_image" + b"[" * 100_000)
@example(b'{"type":"image_edit.partial_image","b64_json":"AAAA","output_format":["png"]}')
def test_a_sketch_is_a_picture_or_none(adapter: Provider, event: bytes) -> None:
    sketch = adapter.sketch(event)
    assert sketch is None or (sketch.data and sketch.content_type.startswith("image/"))


@settings(max_examples=EXAMPLES)
@given(bodies, statuses, headers)
def test_an_upload_goes_on_or_raises_an_error_of_ours(
    body: bytes, status: int, fields: dict[str, str]
) -> None:
    answer = httpx.Response(status, headers=encoded(fields), content=body)
    for step in (google_files.read, lambda a: google_files.send(a, b"x", ENDPOINT)):
        try:
            step(answer)
        except DarkroomError as error:
            assert_showable(error)


def encoded(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in fields.items()]


def assert_showable(error: DarkroomError) -> None:
    """It can be put into a JSON answer and a record."""
    shown: dict[str, Any] = {"message": error.message, "details": error.details}
    json.dumps({**shown, "retry_after_s": error.retry_after_s}, ensure_ascii=False).encode()
    assert error.message
    assert error.retry_after_s is None or 0 <= error.retry_after_s < 1e6
