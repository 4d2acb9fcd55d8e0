"""Batches of the vendors' SDKs at the sandbox, which they take for the vendors."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import openai
import pytest
from google import genai
from google.genai import types

from tests.sandbox.conftest import opened
from tests.wire import test_google_genai, test_openai
from tests.wire.pictures import painted
from tests.wire.targets import Target

pytestmark = pytest.mark.process
PRO, SECOND = "gemini-3-pro-image", "gpt-image-2"
SOON = "[sandbox:slow=0.3]"
COUNT = 20
T = TypeVar("T")


@pytest.fixture(scope="module")
def gemini(sandbox: Target) -> Iterator[genai.Client]:
    # What Google says of its batch API is about v1beta.
    with test_google_genai.sdk(sandbox, api_version="v1beta") as client:
        yield client


@pytest.fixture(scope="module")
def client(sandbox: Target) -> Iterator[openai.OpenAI]:
    with test_openai.sdk(sandbox.openai, "any") as client:
        yield client


def awaited(look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """What there is to see once it is done, which takes less than a second."""
    deadline = time.monotonic() + 30
    while not done(found := look()):
        assert time.monotonic() < deadline, found
    return found


def ended(client: genai.Client, batch: types.BatchJob) -> types.BatchJob:
    return awaited(lambda: client.batches.get(name=batch.name or ""), lambda found: found.done)


def prompt(number: int) -> str:
    """One in ten is refused, and only one in ten draws a picture, which takes its time."""
    fault = {0: "", 1: "[sandbox:unavailable]"}.get(number % 10, "[sandbox:no_image]")
    return f"A cat {number} {SOON} {fault}"


def test_a_batch_of_inlined_requests(gemini: genai.Client) -> None:
    asked = [
        types.InlinedRequest(
            model=PRO,
            contents=prompt(number),
            metadata={"key": str(number)},
            config=types.GenerateContentConfig(response_modalities=["IMAGE"]),
        )
        for number in range(COUNT)
    ]
    made = gemini.batches.create(model=PRO, src=asked, config={"display_name": "inlined"})
    assert made.state is types.JobState.JOB_STATE_PENDING
    batch = ended(gemini, made)
    assert batch.state is types.JobState.JOB_STATE_SUCCEEDED
    assert batch.display_name == "inlined"
    assert batch.dest is not None
    results = batch.dest.inlined_responses or []
    assert [one.metadata for one in results] == [{"key": str(n)} for n in range(COUNT)]
    assert [bool(one.error) for one in results] == [n % 10 == 1 for n in range(COUNT)]
    for number in (0, 10):
        reply = results[number].response
        assert reply is not None
        assert painted(reply)[0].size == (1024, 1024)


def test_a_batch_of_a_file(gemini: genai.Client) -> None:
    lines = [
        {"key": str(number), "request": {"contents": [{"parts": [{"text": prompt(number)}]}]}}
        for number in range(COUNT)
    ]
    data = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    config = types.UploadFileConfig(mime_type="application/jsonl", display_name="requests")
    file = gemini.files.upload(file=data, config=config)
    made = gemini.batches.create(model=PRO, src=file.name or "")
    batch = ended(gemini, made)
    assert batch.dest is not None
    name = batch.dest.file_name or ""
    results = [json.loads(line) for line in gemini.files.download(file=name).splitlines()]
    by_key: dict[str, Any] = {one["key"]: one for one in results}
    assert set(by_key) == {str(number) for number in range(COUNT)}
    assert [n for n in range(COUNT) if "error" in by_key[str(n)]] == [1, 11]
    (part,) = by_key["10"]["response"]["candidates"][0]["content"]["parts"]
    picture = opened(base64.b64decode(part["inlineData"]["data"]))
    assert picture.size == (1024, 1024)
    streamed = io.BytesIO()
    gemini.files.download(file=gemini.files.get(name=name), destination=streamed)
    assert streamed.getvalue() == gemini.files.download(file=name)
    listed = [found.name for found in gemini.batches.list(config={"page_size": 1})]
    assert batch.name in listed
    gemini.batches.delete(name=batch.name or "")
    with pytest.raises(genai.errors.ClientError, match="404"):
        gemini.batches.get(name=batch.name or "")


def test_a_batch_of_google_is_cancelled(gemini: genai.Client) -> None:
    asked = [types.InlinedRequest(contents="A cat [sandbox:slow=60]")]
    made = gemini.batches.create(model=PRO, src=asked)
    gemini.batches.cancel(name=made.name or "")
    assert ended(gemini, made).state is types.JobState.JOB_STATE_CANCELLED


def test_a_batch_of_openai(client: openai.OpenAI) -> None:
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/images/generations",
            "body": {"model": SECOND, "prompt": prompt(number), "quality": "low"},
        }
        for number in range(COUNT)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("requests.jsonl", data), purpose="batch")
    assert client.files.content(file.id).content == data
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/images/generations",
        completion_window="24h",
        metadata={"mine": "yes"},
    )
    assert made.status == "validating"
    batch = awaited(
        lambda: client.batches.retrieve(made.id), lambda found: found.status == "completed"
    )
    assert batch.request_counts is not None
    counts = (batch.request_counts.completed, batch.request_counts.failed)
    assert counts == (18, 2)
    with client.files.with_streaming_response.content(batch.output_file_id or "") as answer:
        results = [json.loads(line) for line in answer.iter_lines()]
    assert {one["custom_id"] for one in results} == {str(n) for n in range(20) if n % 10 != 1}
    pictures = [one["custom_id"] for one in results if one["response"]["body"]["data"]]
    assert sorted(pictures) == ["0", "10"]
    errors = client.files.content(batch.error_file_id or "").text.splitlines()
    assert [json.loads(line)["response"]["status_code"] for line in errors] == [503, 503]
    assert made.id in [found.id for found in client.batches.list(limit=1)]
    assert batch.output_file_id in [f.id for f in client.files.list(purpose="batch_output")]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_batch_of_openai_is_cancelled(client: openai.OpenAI) -> None:
    body = {"model": SECOND, "prompt": "A cat [sandbox:slow=60]"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": body}
    data = json.dumps(line).encode()
    file = client.files.create(file=("requests.jsonl", data), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/images/generations", completion_window="24h"
    )
    assert client.batches.cancel(made.id).status == "cancelling"
    batch = awaited(
        lambda: client.batches.retrieve(made.id), lambda found: found.status == "cancelled"
    )
    assert batch.output_file_id is None
