"""The sandbox on a port of its own, over real connections."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.catalogue import Catalogue
from shared.sandbox import Sandbox
from shared.sandbox.batch import Pieces
from shared.sandbox.server import Server
from tests.sandbox.conftest import images, opened, packed, photo
from tests.sandbox.process import running
from tests.sandbox.test_openai_batches import QUIET, line

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
    data = photo(64, 64) + bytes(5_000_000)
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
    answer = client.post(PATH, json=body("A cat [sandbox:bytes=4000000]"))
    (picture,) = images(answer)
    assert len(picture) >= 4_000_000
    assert opened(picture).size == (1024, 1024)


def opening(address: str, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=address, headers=headers, trust_env=False)


def upload(client: httpx.Client, data: bytes) -> str:
    """The id of a file for an OpenAI batch."""
    files = {"file": ("x.jsonl", data)}
    answer = client.post("/openai/v1/files", data={"purpose": "batch"}, files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def finished(client: httpx.Client, path: str) -> dict[str, Any]:
    """A batch as soon as it has its results."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        batch = client.get(path).json()
        if batch["status"] == "completed":
            assert isinstance(batch, dict)
            return batch
    raise AssertionError("the batch does not end")


def test_files_and_batches_survive_a_kill(tmp_path: Path) -> None:
    options = ("--data", str(tmp_path))
    headers = {"authorization": "Bearer any"}
    lines = [line(f"r{number}", f"A cat [sandbox:slow=0.2] {QUIET}") for number in range(3)]
    data = b"\n".join(lines)
    with running(*options, kill=True) as address, opening(address, headers) as client:
        file_id = upload(client, data)
        asked = {"input_file_id": file_id, "completion_window": "24h"}
        asked["endpoint"] = "/v1/images/generations"
        batch = client.post("/openai/v1/batches", json=asked).json()
    with running(*options, kill=True) as address, opening(address, headers) as client:
        assert client.get(f"/openai/v1/files/{file_id}/content").content == data
        output = finished(client, f"/openai/v1/batches/{batch['id']}")["output_file_id"]
        with client.stream("GET", f"/openai/v1/files/{output}/content") as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            whole = answer.read()
    headers["range"] = "bytes=100-"
    with running(*options) as address, opening(address, headers) as client:
        part = client.get(f"/openai/v1/files/{output}/content")
        assert (part.status_code, part.content) == (206, whole[100:])
    assert len(whole.splitlines()) == 3


def test_a_client_that_hangs_up_stops_the_making_of_results(
    rows: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def lines() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"line"

    pieces = Pieces(lines())
    monkeypatch.setattr(Sandbox, "handle", lambda self, request: httpx.Response(200, stream=pieces))
    sent: list[MutableMapping[str, Any]] = []
    hung_up = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "http.request"}
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 4:
            hung_up.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/google/x",
        "query_string": b"",
        "headers": [(b"host", b"sandbox")],
    }
    sandbox = Sandbox(rows, lambda: datetime(2026, 11, 21, tzinfo=UTC))
    asyncio.run(Server(sandbox)(scope, receive, send))
    assert len(made) < 10


def statuses(rows: Catalogue, messages: Iterator[dict[str, Any]], target: bytes) -> list[int]:
    """The statuses that the bare application sends."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": target,
        "query_string": b"",
        "headers": [(b"host", b"sandbox")],
    }
    asyncio.run(
        Server(Sandbox(rows, lambda: datetime(2026, 11, 21, tzinfo=UTC)))(scope, receive, send)
    )
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


def test_a_body_beyond_the_limit_is_refused(rows: Catalogue) -> None:
    megabyte = {"type": "http.request", "body": bytes(2**20), "more_body": True}
    assert statuses(rows, itertools.repeat(megabyte), b"/google/v1beta/models") == [413]


def test_an_address_that_cannot_be_read_is_refused(rows: Catalogue) -> None:
    messages = iter([{"type": "http.request"}])
    assert statuses(rows, messages, b"/google/\x00") == [400]
