"""Batches of Google's SDKs at a Darkroom: made, watched, cancelled, listed, and read by key, in the
batch itself and from a file."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.wire.pictures import painted
from tests.wire.targets import Darkroom
from tests.wire.test_google_genai import PRO, sdk
from tests.wire.test_js import tour

pytestmark = pytest.mark.process
COUNT = 20
FANNED = "seedream-4-0"
"""A model of whose provider nobody has to wait for a batch."""
SOON = "[sandbox:slow=0.2]"


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def client(darkroom: Darkroom, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    with sdk(darkroom, api_version=request.param) as client:
        yield client


def prompt(number: int) -> str:
    """One in ten is refused; of the others one in five draws a picture, which takes its time."""
    fault = "[sandbox:no_image]" if number % 5 else ""
    return f"A cat {number} {'[sandbox:blocked]' if number % 10 == 1 else fault} {SOON}"


def ended(client: genai.Client, made: types.BatchJob) -> types.BatchJob:
    """The batch once it is done."""
    deadline = time.monotonic() + 90
    while True:
        found = client.batches.get(name=made.name or "")
        if found.done:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def of_file(client: genai.Client, prompts: dict[str, str]) -> str:
    """The name of an uploaded file of requests."""
    lines = [
        {"key": key, "request": {"contents": [{"parts": [{"text": text}]}]}}
        for key, text in prompts.items()
    ]
    data = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    config = types.UploadFileConfig(mime_type="application/jsonl", display_name="requests")
    return client.files.upload(file=data, config=config).name or ""


def charged(darkroom: Darkroom) -> Decimal:
    """What the account has paid so far, in dollars."""
    listed = darkroom.account.listed("/ledger")
    return -sum((Decimal(e["usd"]) for e in listed if e["kind"] == "charge"), Decimal(0))


def test_inlined_requests(darkroom: Darkroom, client: genai.Client) -> None:
    before = charged(darkroom)
    asked = [
        types.InlinedRequest(
            model=PRO,
            contents=prompt(number),
            metadata={"key": f"cat {number}", "mine": "yes"},
            config=types.GenerateContentConfig(
                response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9")
            ),
        )
        for number in range(COUNT)
    ]
    made = client.batches.create(model=PRO, src=asked, config={"display_name": "inlined"})
    assert made.state is types.JobState.JOB_STATE_PENDING
    batch = ended(client, made)
    assert batch.state is types.JobState.JOB_STATE_SUCCEEDED
    assert (batch.display_name, batch.model) == ("inlined", f"models/{PRO}")
    assert batch.end_time
    assert batch.dest is not None
    results = batch.dest.inlined_responses or []
    said = [{"key": f"cat {number}", "mine": "yes"} for number in range(COUNT)]
    assert [one.metadata for one in results] == said
    pictures = 0
    for number, one in enumerate(results):
        reply = one.response
        assert reply is not None
        if number % 10 == 1:
            assert reply.prompt_feedback
        elif number % 5:
            (candidate,) = reply.candidates or []
            assert candidate.finish_reason is types.FinishReason.NO_IMAGE
        else:
            assert [picture.size for picture in painted(reply)] == [(1376, 768)]
            assert reply.model_version == PRO
            pictures += 1
    assert pictures == 4
    assert charged(darkroom) > before
    found = [one for one in client.batches.list(config={"page_size": 2}) if one.name == made.name]
    assert [one.dest for one in found] == [None]


def test_a_file(darkroom: Darkroom, client: genai.Client) -> None:
    prompts = {f"cat {number}": prompt(number) for number in range(COUNT)}
    made = client.batches.create(model=FANNED, src=of_file(client, prompts))
    batch = ended(client, made)
    assert batch.dest is not None
    assert batch.dest.inlined_responses is None
    name = batch.dest.file_name or ""
    results = [json.loads(line) for line in client.files.download(file=name).splitlines()]
    by_key: dict[str, Any] = {one["key"]: one["response"] for one in results}
    assert by_key.keys() == prompts.keys()
    assert len(results) == COUNT
    replies = {k: types.GenerateContentResponse.model_validate(r) for k, r in by_key.items()}
    drawn = [key for key, reply in replies.items() if reply.candidates and painted(reply)]
    assert sorted(drawn) == sorted(f"cat {number}" for number in range(COUNT) if not number % 5)
    file = client.files.get(name=name)
    assert file.source is types.FileSource.GENERATED
    streamed = io.BytesIO()
    client.files.download(file=file, destination=streamed)
    assert len(streamed.getvalue().splitlines()) == COUNT
    other = httpx.get(
        file.download_uri or "", headers={"x-goog-api-key": darkroom.key}, trust_env=False
    )
    assert other.text.count("\n") == COUNT
    with pytest.raises(errors.ClientError) as refused:
        client.files.delete(name=name)
    assert refused.value.status == "FAILED_PRECONDITION"


def test_an_item_that_fails(darkroom: Darkroom) -> None:
    with sdk(darkroom, darkroom.test_key) as client:
        texts = ["A cat [sandbox:server_error]", f"A cat {SOON}"]
        made = client.batches.create(
            model=PRO, src=[types.InlinedRequest(contents=text) for text in texts]
        )
        batch = ended(client, made)
        assert batch.state is types.JobState.JOB_STATE_SUCCEEDED
        assert batch.dest is not None
        failed, drawn = batch.dest.inlined_responses or []
        assert failed.error is not None
        assert failed.error.code in (13, 14)
        assert failed.error.message
        assert (failed.metadata, failed.response) == (None, None)
        assert drawn.response is not None
        assert len(painted(drawn.response)) == 1


def test_what_cannot_be_done_is_refused_whole(darkroom: Darkroom, client: genai.Client) -> None:
    before = len(list(client.batches.list()))
    wide = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="77:1"))
    bad = types.InlinedRequest(contents="A cat", config=wide)
    good = types.InlinedRequest(contents="A cat")
    with pytest.raises(errors.ClientError, match=r"requests\[1\]") as refused:
        client.batches.create(model=PRO, src=[good, bad])
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(errors.ClientError) as refused:
        client.batches.create(model=PRO, src="files/gone")
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")
    with pytest.raises(errors.ClientError) as refused:
        client.batches.get(name="batches/gone")
    assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
    assert len(list(client.batches.list())) == before


def test_one_is_cancelled_and_then_deleted(darkroom: Darkroom) -> None:
    with sdk(darkroom) as client:
        cancel(darkroom, client)


def cancel(darkroom: Darkroom, client: genai.Client) -> None:
    before = charged(darkroom)
    asked = [types.InlinedRequest(contents="A cat [sandbox:slow=60]") for _ in range(2)]
    made = client.batches.create(model=PRO, src=asked)
    name = made.name or ""
    with pytest.raises(errors.ClientError) as refused:
        client.batches.delete(name=name)
    assert refused.value.status == "FAILED_PRECONDITION"
    client.batches.cancel(name=name)
    batch = ended(client, made)
    assert batch.state is types.JobState.JOB_STATE_CANCELLED
    assert batch.dest is None
    assert charged(darkroom) == before
    client.batches.delete(name=name)
    with pytest.raises(errors.ClientError) as gone:
        client.batches.get(name=name)
    assert gone.value.code == 404


def test_javascript(node: str, darkroom: Darkroom) -> None:
    saw = tour(node, "gemini_batches.mjs", darkroom)
    assert saw == {
        "inlined": [["a", 1], ["b", "NO_IMAGE"], ["c", 0]],
        "file": ["a", "b"],
        "listed": True,
        "cancelled": True,
        "deleted": [400, "FAILED_PRECONDITION"],
        "gone": [404, "NOT_FOUND"],
    }
