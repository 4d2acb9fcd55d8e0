"""The sandbox on a port of its own, over real connections."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import opened, packed, photo
from tests.sandbox.process import running

pytestmark = pytest.mark.process
PATH = "/google/v1beta/models/gemini-3-pro-image:generateContent"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    headers = {"x-goog-api-key": "any"}
    with running() as address, httpx.Client(base_url=address, headers=headers) as client:
        yield client


def body(prompt: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [{"parts": [{"text": prompt}, *parts]}]}


def test_get_head_post_and_delete_are_answered(client: httpx.Client) -> None:
    listed = client.get("/google/v1beta/models")
    assert listed.json()["models"]
    head = client.head("/google/v1beta/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == listed.headers["content-length"]
    assert client.post(PATH, json=body("A cat")).json()["candidates"]
    assert client.delete("/google/v1beta/files/none").status_code == 403
    assert client.get("/").status_code == 404


def test_an_encoded_colon_and_a_query_come_through(client: httpx.Client) -> None:
    path = PATH.replace(":generateContent", "%3AstreamGenerateContent?alt=sse")
    with client.stream("POST", path, json=body("A cat")) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.read().endswith(b"\r\n\r\n")


def test_a_big_body_is_taken(client: httpx.Client) -> None:
    data = photo(64, 64) + bytes(12_000_000)
    image = {"inlineData": {"mimeType": "image/png", "data": packed(data)}}
    answer = client.post(PATH, json=body("Edit", image))
    assert answer.status_code == 200, answer.text


def test_a_file_goes_up_to_the_address_that_was_given(client: httpx.Client) -> None:
    headers = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": "3",
    }
    started = client.post("/google/upload/v1beta/files", headers=headers)
    url = started.headers["x-goog-upload-url"]
    assert url.startswith(f"{str(client.base_url).rstrip('/')}/google/upload/v1beta/files?")
    sent = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
    file = httpx.post(url, headers=sent, content=b"abc").json()["file"]
    assert client.get(file["uri"]).json() == file


def test_a_slow_answer_takes_its_time(client: httpx.Client) -> None:
    before = time.monotonic()
    assert client.post(PATH, json=body("A cat [sandbox:slow=0.2]")).status_code == 200
    assert time.monotonic() - before >= 0.2


def test_a_timeout_is_never_answered(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post(PATH, json=body("A cat [sandbox:timeout]"), timeout=0.3)
    assert client.get("/google/v1beta/models").status_code == 200


def test_a_torn_answer_ends_with_the_connection(client: httpx.Client) -> None:
    got = 0
    with client.stream("POST", PATH, json=body("A cat [sandbox:truncated]")) as answer:
        announced = int(answer.headers["content-length"])
        with pytest.raises(httpx.RemoteProtocolError):
            for piece in answer.iter_raw():
                got += len(piece)
    assert got == announced // 2


def test_a_big_picture_arrives_whole(client: httpx.Client) -> None:
    answer = client.post(PATH, json=body("A cat [sandbox:bytes=8000000]"))
    assert len(answer.content) > 10_000_000
    assert answer.json()["candidates"][0]["finishReason"] == "STOP"
    assert opened(photo()).size == (64, 64)
