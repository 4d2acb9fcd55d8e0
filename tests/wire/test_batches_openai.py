"""Files and batches of OpenAI's own SDK at a Darkroom, whose providers are a sandbox: sent, watched
and read as at OpenAI, and paid for once."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal

import httpx
import openai
import pytest
from openai.types import Batch

from tests.sandbox.conftest import opened, photo
from tests.wire.targets import Account, Darkroom
from tests.wire.test_openai import sdk

pytestmark = pytest.mark.process
GENERATIONS: Literal["/v1/images/generations"] = "/v1/images/generations"
EDITS: Literal["/v1/images/edits"] = "/v1/images/edits"
SECOND, DREAM = "gpt-image-2", "seedream-4-0"
COUNT = 20
BAD = 7
DEADLINE_S = 90.0


@pytest.fixture(scope="module")
def account(darkroom: Darkroom) -> Account:
    """One whose every charge is a batch's."""
    return darkroom.open_account("--credit-usd", "20")


@pytest.fixture(scope="module")
def client(darkroom: Darkroom, account: Account) -> Iterator[openai.OpenAI]:
    with sdk(darkroom.openai, account.key, max_retries=2) as client:
        yield client


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def begun(
    client: openai.OpenAI,
    lines: list[dict[str, Any]],
    endpoint: Literal["/v1/images/generations", "/v1/images/edits"] = GENERATIONS,
) -> Batch:
    data = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    file = client.files.create(file=("lines.jsonl", data), purpose="batch")
    assert (file.purpose, file.status, file.filename) == ("batch", "processed", "lines.jsonl")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,
        completion_window="24h",
        metadata={"mine": "yes"},
    )


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    deadline = time.monotonic() + DEADLINE_S
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    return batch


def results(client: openai.OpenAI, file_id: str | None) -> dict[str, dict[str, Any]]:
    """A file of results, line by line."""
    assert file_id is not None
    with client.files.with_streaming_response.content(file_id) as answer:
        found = [json.loads(one) for one in answer.iter_lines()]
    assert len(client.files.content(file_id).content) == client.files.retrieve(file_id).bytes
    return {one["custom_id"]: one for one in found}


def spent(account: Account) -> Decimal:
    """All that was charged so far."""
    entries = account.listed("/ledger")
    return sum((-Decimal(one["usd"]) for one in entries if one["kind"] == "charge"), Decimal())


def cost(account: Account, batch: Batch) -> Decimal:
    """What a batch was charged, as the native API says."""
    answer = httpx.get(
        f"{account.url}/batch/{batch.id.replace('batch_', 'bat_')}",
        headers={"authorization": f"Bearer {account.key}"},
        timeout=30,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return Decimal(answer.json()["cost"]["usd"])


def test_twenty_pictures_of_two_providers(client: openai.OpenAI, account: Account) -> None:
    """Half by a provider's own batch, half one call each; one is refused."""
    lines = [
        line(
            str(n),
            GENERATIONS,
            model=SECOND if n % 2 else DREAM,
            prompt=f"A cat {n} {'[sandbox:blocked]' if n == BAD else ''}",
            size="1024x1024",
            output_format="jpeg",
        )
        for n in range(COUNT)
    ]
    made = begun(client, lines)
    assert (made.object, made.status, made.metadata) == ("batch", "validating", {"mine": "yes"})
    batch = ended(client, made)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (COUNT, COUNT - 1, 1)
    good = results(client, batch.output_file_id)
    assert set(good) == {str(n) for n in range(COUNT) if n != BAD}
    for result in good.values():
        reply = openai.types.ImagesResponse.model_validate(result["response"]["body"])
        (item,) = reply.data or []
        picture = opened(base64.b64decode(item.b64_json or ""))
        assert (picture.size, picture.format) == ((1024, 1024), "JPEG")
        assert (reply.size, reply.output_format) == ("1024x1024", "jpeg")
        assert reply.usage is not None
    bad = results(client, batch.error_file_id)[str(BAD)]
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["code"] == "moderation_blocked"
    assert spent(account) == cost(account, batch) > 0


def test_edits_of_a_file_and_of_data(client: openai.OpenAI) -> None:
    sent = client.files.create(file=("photo.png", photo()), purpose="vision")
    data = f"data:image/png;base64,{base64.b64encode(photo()).decode()}"
    lines = [
        line("file", EDITS, model=DREAM, prompt="Add a cat", images=[{"file_id": sent.id}]),
        line("data", EDITS, model=DREAM, prompt="Add a dog", images=[{"image_url": data}]),
    ]
    batch = ended(client, begun(client, lines, EDITS))
    assert batch.error_file_id is None
    found = results(client, batch.output_file_id)
    pictures = [found[n]["response"]["body"]["data"][0]["b64_json"] for n in ("file", "data")]
    assert len(set(pictures)) == 2
    assert all(opened(base64.b64decode(one)).format == "PNG" for one in pictures)


def test_lines_that_cannot_be_done(client: openai.OpenAI, account: Account) -> None:
    before = spent(account)
    lines = [line("a", GENERATIONS, prompt="A cat"), line("b", EDITS, prompt="A cat")]
    batch = begun(client, lines)
    assert batch.status == "failed"
    assert batch.errors is not None
    (error,) = batch.errors.data or []
    assert (error.line, error.code, error.param) == (2, "invalid_url", "url")
    assert spent(account) == before


def test_a_batch_is_cancelled(client: openai.OpenAI) -> None:
    """What was on its way by then may still be made; nothing is in neither file."""
    slow = [line(str(n), GENERATIONS, model=DREAM, prompt="A cat [sandbox:slow=2]") for n in "ab"]
    made = begun(client, slow)
    assert client.batches.cancel(made.id).status == "cancelling"
    batch = ended(client, made)
    assert batch.status == "cancelled"
    found = [results(client, one) for one in (batch.output_file_id, batch.error_file_id) if one]
    assert sorted(custom_id for lines in found for custom_id in lines) == ["a", "b"]
    with pytest.raises(openai.ConflictError, match="status 'cancelled'"):
        client.batches.cancel(made.id)


def test_lists_are_read_to_their_end(client: openai.OpenAI) -> None:
    """However many to a page, everything is there once; what is deleted is not."""
    made = [begun(client, [line("a", GENERATIONS, prompt="A cat")]).id for _ in range(2)]
    listed = [batch.id for batch in client.batches.list(limit=1)]
    assert listed[:2] == made[::-1]
    assert len(set(listed)) == len(listed)
    files = [file.id for file in client.files.list(purpose="batch", limit=1)]
    gone = client.batches.retrieve(made[0]).input_file_id
    assert gone in files
    assert client.files.delete(gone).deleted
    left = [file.id for file in client.files.list(purpose="batch", order="asc")]
    assert set(left) == set(files) - {gone}
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            call(gone)
    with pytest.raises(openai.NotFoundError, match="No batch found"):
        client.batches.retrieve("batch_x")
