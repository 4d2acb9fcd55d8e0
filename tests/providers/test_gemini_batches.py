"""What fixtures cannot say of Google's batches: limits, calls without a body, and that a line is
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
from shared.providers import Done, Order, gemini, gemini_batches
from tests.providers.test_fixtures import FIXTURES, load, response

ENDPOINT = Endpoint("https://provider.test/", "v1beta", "model-1", "provider-key", "x-goog-api-key")
KITE = ImageRequest("generate", "model", "A kite")


def comparable(path: Path) -> bool:
    """Whether an answer can stand in a line: not by its headers, nor by being no JSON, nor with an
    error of a relay's, or one that only the status of HTTP tells."""
    said = load(path)
    body, status = said.get("body"), said["status"]
    if said.get("headers") or not isinstance(body, dict):
        return False
    error = body.get("error")
    if error is None:
        return bool(status == 200 and body)
    return isinstance(error, dict) and error.get("code") in (status, 503) and status != 499


SINGLE = [
    path for path in sorted((FIXTURES / "gemini").glob("*/response.json")) if comparable(path)
]


def order(*sizes: int) -> Order:
    """A request with a source of that many bytes, for each size."""
    sources = [(Source(b"\0" * size, "image/png", 1, 1),) for size in sizes]
    requests = [replace(KITE, operation="edit", sources=source) for source in sources]
    lines = [gemini_batches.line(str(i), asked, ENDPOINT) for i, asked in enumerate(requests)]
    return Order("bat_1-0", tuple(lines))


def test_a_body_is_below_the_limit_and_a_line_too_many_is_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inline, few = "model-1:batchGenerateContent", order(300, 300)
    length = len(gemini_batches.begin(few, ENDPOINT).content)
    for limit, path in ((length + 1, inline), (length, "files"), (length // 2, "files")):
        monkeypatch.setattr(gemini, "INLINE_LIMIT_BYTES", limit)
        assert str(gemini_batches.begin(few, ENDPOINT).url).endswith(f"/{path}")
    monkeypatch.undo()
    for count, path in ((gemini_batches.INLINE_LINES, inline), (11, "files")):
        assert str(gemini_batches.begin(order(*[3] * count), ENDPOINT).url).endswith(f"/{path}")


def test_the_announced_length_is_that_of_what_is_sent() -> None:
    many = order(*range(11))
    announced = gemini_batches.begin(many, ENDPOINT).headers["x-goog-upload-header-content-length"]
    opened = httpx.Response(200, headers={"x-goog-upload-url": "https://provider.test/upload/1"})
    sending = gemini_batches.read_begun(opened, many, ENDPOINT)
    assert isinstance(sending, httpx.Request)
    assert int(announced) == len(sending.content)
    assert sending.content.splitlines() == list(many.lines)


def test_a_line_is_one_line_and_asks_what_a_single_call_does() -> None:
    asked = replace(KITE, prompt="Two\nlines\u2028of \N{KITE}", options={"temperature": 1})
    line = gemini_batches.line("7", asked, ENDPOINT)
    assert len(line.splitlines()) == 1
    alone = json.loads(gemini.submit(asked, ENDPOINT).content)
    assert json.loads(line) == {"key": "7", "request": alone}
    assert gemini_batches.kind(asked) == gemini_batches.kind(replace(asked, operation="edit"))


def test_a_batch_is_looked_at_found_cancelled_and_fetched() -> None:
    look = gemini_batches.poll("batches/a1", ENDPOINT)
    stop = gemini_batches.cancel("batches/a1", ENDPOINT)
    first = gemini_batches.find("bat_1-0", ENDPOINT, None)
    second = gemini_batches.find("bat_1-0", ENDPOINT, "a/b+c=&d")
    file = gemini_batches.download("files/batch-a1", 0, ENDPOINT)
    rest = gemini_batches.download("files/batch-a1", 1048576, ENDPOINT)
    root = "https://provider.test/v1beta/batches"
    assert [(r.method, str(r.url)) for r in (look, stop, first)] == [
        ("GET", f"{root}/a1"),
        ("POST", f"{root}/a1:cancel"),
        ("GET", f"{root}?pageSize=100"),
    ]
    assert stop.content == b"{}"
    assert dict(second.url.params) == {"pageSize": "100", "pageToken": "a/b+c=&d"}
    fetched = "https://provider.test/download/v1beta/files/batch-a1:download?alt=media"
    assert {str(file.url), str(rest.url)} == {fetched}
    assert "range" not in file.headers
    assert rest.headers["range"] == "bytes=1048576-"
    for request in (look, stop, first, second, file, rest):
        assert request.headers["x-goog-api-key"] == "provider-key"


@pytest.mark.parametrize(
    ("event", "token"),
    [
        ({"type": "batch.succeeded", "data": {"id": "batches/a1"}}, "batches/a1"),
        ({"type": "batch.failed", "data": {"id": "batches/a1", "error_code": 3}}, "batches/a1"),
        ({"type": "batch.not_invented_yet", "data": {"id": "batches/a1"}}, "batches/a1"),
        ({"type": "video.generated", "data": {"id": "batches/a1"}}, None),
        ({"type": "batch.succeeded", "data": {"id": "batch_a1"}}, None),
        ({"type": "batch.succeeded", "data": {"id": "batches/../files/a1"}}, None),
        ({"type": "batch.succeeded", "data": None}, None),
        ({"type": 7, "data": {"id": "batches/a1"}}, None),
        (["batch.succeeded"], None),
    ],
)
def test_an_event_speaks_of_a_batch_or_of_none(event: Any, token: str | None) -> None:
    assert gemini_batches.read_event(json.dumps(event).encode()) == token


def outcome(**said: Any) -> Done | DarkroomError:
    read = gemini_batches.read_line(json.dumps({**said, "key": "k"}).encode())
    assert read is not None
    assert read.key == "k"
    return read.done


def known(error: DarkroomError) -> tuple[Any, ...]:
    """All that may follow from an error."""
    facts = (error.message, error.param, error.retry_after_s, error.details, error.usage)
    return (type(error), *facts, error.paid)


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: str(path.parent.name))
def test_a_line_means_what_a_single_answer_does(path: Path) -> None:
    said = load(path)
    try:
        alone: Done | DarkroomError = replace(gemini.read(response(said)), reply=None)
    except DarkroomError as error:
        alone = error
    if said["status"] == 200:
        listed = outcome(response=said["body"])
    else:
        listed = outcome(error=said["body"]["error"])
    if isinstance(alone, Done):
        assert listed == alone
    else:
        assert isinstance(listed, DarkroomError)
        assert known(listed) == known(alone)


@pytest.mark.parametrize(
    ("number", "name", "status"),
    [
        (3, "INVALID_ARGUMENT", 400),
        (4, "DEADLINE_EXCEEDED", 504),
        (5, "NOT_FOUND", 404),
        (7, "PERMISSION_DENIED", 403),
        (8, "RESOURCE_EXHAUSTED", 429),
        (9, "FAILED_PRECONDITION", 400),
        (11, "OUT_OF_RANGE", 400),
        (13, "INTERNAL", 500),
        (14, "UNAVAILABLE", 503),
        (16, "UNAUTHENTICATED", 401),
    ],
)
def test_an_error_has_a_number_or_a_name(number: int, name: str, status: int) -> None:
    said = {"code": status, "message": "No.", "status": name}
    with pytest.raises(DarkroomError) as alone:
        gemini.read(httpx.Response(status, json={"error": said}))
    for code in (
        {"code": number},
        {"code": str(number)},
        {"code": name},
        {"status": name},
        {"code": number, "status": name},
        said,
    ):
        for field in ("error", "status"):
            listed = outcome(**{field: {"message": "No.", **code}})
            assert isinstance(listed, DarkroomError)
            assert known(listed) == known(alone.value)
            assert listed.private == "No."
