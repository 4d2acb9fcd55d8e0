"""What fixtures cannot say of OpenAI's batches: the form, calls without a body, and that a line is
read as a single answer would be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain import Endpoint, ImageRequest, Source
from shared.errors import DarkroomError
from shared.providers import Done, Order, openai_batches, openai_images
from tests.providers.test_fixtures import FIXTURES, load, response

ENDPOINT = Endpoint("https://provider.test", "v1", "model-1", "provider-key")
KITE = ImageRequest("generate", "model", "A kite", partial_images=2)
EDIT = replace(KITE, operation="edit", sources=(Source(b"\0\1", "image/png", 1, 1),))
SINGLE = sorted((FIXTURES / "openai_images").glob("*/response.json"))


def test_a_line_is_one_line_and_asks_for_no_stream() -> None:
    asked = replace(KITE, prompt="Two\nlines\u2028of \N{KITE}")
    for request, path in ((asked, "generations"), (EDIT, "edits")):
        line = openai_batches.line("7", request, ENDPOINT)
        assert len(line.splitlines()) == 1
        assert json.loads(line) == {
            "custom_id": "7",
            "method": "POST",
            "url": f"/v1/images/{path}",
            "body": openai_images.json_body(request, ENDPOINT),
        }
        assert b"stream" not in line
        assert b"partial_images" not in line


def test_edits_and_generations_go_into_two_batches() -> None:
    assert openai_batches.kind(KITE) != openai_batches.kind(EDIT)


def test_the_form_is_the_same_for_the_same_lines_and_can_be_sent_twice() -> None:
    order = Order("bat_1-0", tuple(openai_batches.line(k, KITE, ENDPOINT) for k in "abc"))
    first, second = (openai_batches.begin(order, ENDPOINT) for _ in range(2))
    sent = first.read()
    assert sent == second.read() == b"".join(second.stream)  # type: ignore[arg-type]
    assert first.headers == second.headers
    assert int(first.headers["content-length"]) == len(sent)
    assert b'filename="bat_1-0.jsonl"' in sent
    assert b"".join(line + b"\n" for line in order.lines) in sent
    boundary = first.headers["content-type"].partition("boundary=")[2].encode()
    assert sent.count(boundary) == 3


def test_a_batch_is_looked_at_found_cancelled_and_fetched() -> None:
    look = openai_batches.poll("batch_1", ENDPOINT)
    stop = openai_batches.cancel("batch_1", ENDPOINT)
    first = openai_batches.find("bat_1-0", ENDPOINT, None)
    second = openai_batches.find("bat_1-0", ENDPOINT, "batch_9")
    file = openai_batches.download("file-1", 0, ENDPOINT)
    rest = openai_batches.download("file-1", 1048576, ENDPOINT)
    root = "https://provider.test/v1"
    assert [(r.method, str(r.url)) for r in (look, stop, first, second, file, rest)] == [
        ("GET", f"{root}/batches/batch_1"),
        ("POST", f"{root}/batches/batch_1/cancel"),
        ("GET", f"{root}/batches?limit=100"),
        ("GET", f"{root}/batches?limit=100&after=batch_9"),
        ("GET", f"{root}/files/file-1/content"),
        ("GET", f"{root}/files/file-1/content"),
    ]
    assert "range" not in file.headers
    assert rest.headers["range"] == "bytes=1048576-"
    for request in (look, stop, first, second, file, rest):
        assert request.headers["authorization"] == "Bearer provider-key"
        assert request.content == b""


@pytest.mark.parametrize(
    ("event", "token"),
    [
        ({"type": "batch.completed", "data": {"id": "batch_1"}}, "batch_1"),
        ({"type": "batch.expired", "data": {"id": "batch_1"}}, "batch_1"),
        ({"type": "response.completed", "data": {"id": "batch_1"}}, None),
        ({"type": "batch.completed", "data": {"id": "batches/1"}}, None),
        ({"type": "batch.completed", "data": {"id": "batch_1/../x"}}, None),
        ({"type": "batch.completed", "data": "batch_1"}, None),
        ({"type": "batch.completed"}, None),
        ("batch.completed", None),
    ],
)
def test_an_event_speaks_of_a_batch_or_of_none(event: Any, token: str | None) -> None:
    assert openai_batches.read_event(json.dumps(event).encode()) == token


def known(error: DarkroomError) -> tuple[Any, ...]:
    """All that may follow from an error."""
    facts = (error.message, error.param, error.retry_after_s, error.details, error.usage)
    return (type(error), *facts, error.paid)


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: str(path.parent.name))
def test_a_line_means_what_a_single_answer_does(path: Path) -> None:
    recorded = load(path)
    if recorded.get("headers") or "body" not in recorded:
        return
    said = {"status_code": recorded["status"], "request_id": "r", "body": recorded["body"]}
    line = {"id": "batch_req_1", "custom_id": "k", "response": said, "error": None}
    listed = openai_batches.read_line(json.dumps(line).encode())
    assert listed is not None
    try:
        alone: Done | httpx.Response = openai_images.read(response(recorded))
    except DarkroomError as error:
        assert isinstance(listed.done, DarkroomError)
        assert known(listed.done) == known(error)
    else:
        assert listed.done == alone
