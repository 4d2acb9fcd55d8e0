"""Whatever bytes a provider sends of a batch, they are understood or are an error of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain import ImageRequest
from shared.errors import DarkroomError, ProviderError
from shared.providers import Batches, Done, Order, gemini_batches, openai_batches
from shared.providers.registry import BATCHES
from tests.providers.test_any_answer import ENDPOINT, assert_showable, encoded, headers, statuses

pytestmark = pytest.mark.thorough

T = TypeVar("T")
KITE = ImageRequest("generate", "model", "A kite")
ORDERS = {
    wire: Order("bat_1-0", (module.line("k", KITE, ENDPOINT),)) for wire, module in BATCHES.items()
}
EVENTS = {"gemini": gemini_batches.read_event, "openai_images": openai_batches.read_event}
IDS = ["batches/a1", "files/b-1", "batch_a1", "file-b1", "../x", "bat_1-0", "", "\u2028", "k"]
VALUES = [*IDS, "BATCH_STATE_SUCCEEDED", "completed", "file", "batch", "3", "CANCELLED", "\ud800"]
NAMES = [
    *("name", "metadata", "state", "displayName", "batchStats", "output", "done", "error"),
    *("response", "responsesFile", "inlinedResponses", "operations", "nextPageToken", "file"),
    *("id", "object", "status", "output_file_id", "error_file_id", "request_counts", "errors"),
    *("data", "darkroom", "has_more", "successfulRequestCount", "completed", "type"),
    *("status_code", "body", "code", "message", "details", "candidates", "content", "b64_json"),
]
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(VALUES)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)
ids = st.sampled_from(IDS)
subjects = st.fixed_dictionaries({"id": ids, "metadata": trees})
answers = st.fixed_dictionaries(
    {"name": ids, "id": ids},
    optional={
        **dict.fromkeys(("metadata", "response", "error", "errors", "status"), trees),
        "type": st.just("batch.completed"),
        "data": st.lists(subjects, max_size=2) | subjects,
    },
)
bodies = st.binary(max_size=32) | (trees | answers).map(lambda value: json.dumps(value).encode())
keyed = st.fixed_dictionaries(
    {"key": leaves, "custom_id": leaves},
    optional=dict.fromkeys(("response", "error", "status", "metadata"), trees),
)
lines = st.binary(max_size=32) | keyed.map(lambda value: json.dumps(value).encode())
LONG = b"9" * 4200


@given(bodies, statuses, headers)
@example(b"[" * 100_000, 200, {})
@example(b'{"error":{"code":' + LONG + b"}}", 200, {})
@example(b'{"name":"batches/a1","error":{"code":' + LONG + b"}}", 200, {})
@example(b'{"name":"batches/a1","response":{"inlinedResponses":{"inlinedResponses":'
         b'[{"a":NaN,"b":1e999,"c":' + LONG + b"}]}}}", 200, {})  # fmt: skip
@example(b'{"operations":[],"nextPageToken":"' + b"a" * 70_000 + b'"}', 200, {})
@example(b'{"type":"batch.completed","data":{"id":"batch_a1/.."}}', 200, {})
def test_any_answer_is_understood_or_an_error_of_ours(
    body: bytes, status: int, fields: dict[str, str]
) -> None:
    answer = httpx.Response(status, headers=encoded(fields), content=body)
    for wire, module in BATCHES.items():
        begun = understood(answer, module.read_begun, ORDERS[wire], ENDPOINT)
        if isinstance(begun, str):
            assert_token(module, begun)
        stands = understood(answer, module.read_progress)
        for file in stands.files if stands else ():
            assert str(module.download(file, 7, ENDPOINT).url).startswith(ENDPOINT.base_url)
        for line in stands.lines if stands else ():
            assert b"\n" not in line
            assert_line(module, line)
        token, page = understood(answer, module.read_found, "bat_1-0") or (None, None)
        if token:
            assert_token(module, token)
        assert str(module.find("bat_1-0", ENDPOINT, page).url).startswith(ENDPOINT.base_url)
        if (spoken_of := EVENTS[wire](body)) is not None:
            assert_token(module, spoken_of)


@given(lines)
@example(b'{"key":"k","custom_id":"k","response":' + b"[" * 100_000)
@example(b'{"key":"k","custom_id":"k","response":"\\ud800"}')
@example(b'{"key":"k","custom_id":"k","error":{"code":' + LONG + b"}}")
@example(b'{"key":"k","custom_id":"k","error":' + b'{"error":' * 150 + b"1" + b"}" * 151)
@example(b'{"key":"k","custom_id":"k","response":{"status_code":1e999,"body":{"data":[NaN]}}}')
def test_any_line_is_an_outcome_or_an_error_of_ours(line: bytes) -> None:
    for module in BATCHES.values():
        assert_line(module, line)


def understood(answer: httpx.Response, read: Callable[..., T], *rest: object) -> T | None:
    try:
        meant = read(answer, *rest)
    except DarkroomError as error:
        assert_showable(error)
        return None
    assert answer.is_success
    return meant


def assert_token(module: Batches, token: str) -> None:
    """It can be asked for, and leads nowhere else."""
    url = str(module.poll(token, ENDPOINT).url)
    assert url in (f"https://provider.test/v1beta/{p}{token}" for p in ("", "batches/"))


def assert_line(module: Batches, line: bytes) -> None:
    try:
        outcome = module.read_line(line)
    except ProviderError as error:
        assert_showable(error)
        return
    if outcome is None:
        assert not line.strip()
    elif isinstance(outcome.done, Done):
        assert outcome.done.images
        assert outcome.done.reply is None
    else:
        assert_showable(outcome.done)
