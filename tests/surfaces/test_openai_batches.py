"""OpenAI's batches and files in its SDK's shapes: where a batch stands, its lines, its lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openai.types import Batch as SdkBatch
from openai.types import (
    FileObject,
    batch_create_params,
    batch_list_params,
    file_create_params,
    file_list_params,
)

from shared.batch_domain import Batch, Counts
from shared.batch_items import ItemResult
from shared.domain import Hold, Image, Problem, Usage
from shared.errors import InvalidRequest, NotFound
from shared.file_objects import ID, File
from shared.surfaces import openai_batch_lines, openai_batches, openai_files
from shared.surfaces.openai_images import GENERATIONS
from shared.surfaces.table import endpoints

BEGUN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ENDED = BEGUN + timedelta(minutes=5)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
PICTURE = Image("img_x_0", "images/x/0", "image/png", 1024, 768, 5, "")
MADE = ItemResult(0, "one", "succeeded", images=(PICTURE,), usage=Usage(input_tokens=3))


def batch(**changes: Any) -> Batch:
    begun = Batch(
        id=f"bat_{LETTERS}",
        account_id="acc",
        key_id="key",
        status="accepted",
        mode="auto",
        fingerprint="",
        sandbox=True,
        hold=Hold(0, (), 0, ""),
        held_micros=0,
        listed_micros=0,
        counts=Counts(3),
        created_at=BEGUN,
        expires_at=BEGUN + timedelta(hours=48),
        due_at=BEGUN,
        surface=openai_batches.SURFACE,
        wire={
            "input_file_id": "file-in",
            "endpoint": GENERATIONS,
            "completion_window": "24h",
        },
    )
    return replace(begun, **changes)


def ended(status: str, **changes: Any) -> Batch:
    counts = Counts(3, succeeded=1, failed=1, cancelled=1)
    return batch(status=status, completed_at=ENDED, counts=counts, **changes)


@pytest.mark.parametrize(
    ("found", "status", "known"),
    [
        (batch(), "validating", set()),
        (batch(status="running"), "in_progress", {"in_progress"}),
        (batch(status="collecting"), "finalizing", {"in_progress"}),
        (batch(status="running", cancelling=True), "cancelling", {"in_progress"}),
        (ended("succeeded"), "completed", {"in_progress", "finalizing", "completed"}),
        (ended("cancelled", cancelling=True), "cancelled", {"in_progress", "cancelled"}),
        (ended("expired"), "expired", {"in_progress", "expired"}),
        (batch(status="failed", completed_at=ENDED), "failed", {"failed"}),
    ],
)
def test_where_a_batch_stands(found: Batch, status: str, known: set[str]) -> None:
    shown = openai_batches.shown(found)
    assert set(shown) == set(SdkBatch.model_fields)
    seen = SdkBatch.model_validate(shown)
    assert seen.status == status
    assert {name for name in TIMES if shown[f"{name}_at"] is not None} == known
    assert seen.expires_at == seen.created_at + 48 * 3600
    assert (seen.output_file_id is not None) == bool(found.completed_at and found.counts.succeeded)


def test_ids_lead_back() -> None:
    done = ended("succeeded")
    assert openai_batches.own(openai_batches.id_of(done)) == done.id
    kinds: list[openai_batch_lines.Kind] = ["output", "error"]
    for kind in kinds:
        file_id = openai_batches.file_of(done, kind) or ""
        assert ID.fullmatch(file_id)
        assert openai_batches.of_file(file_id) == (done.id, kind)
    assert openai_batches.file_of(replace(done, completed_at=None), "output") is None
    sent = openai_files.new_id(LETTERS)
    assert ID.fullmatch(sent)
    assert openai_batches.of_file(sent) is None
    assert openai_batches.own("bat_x") is None


def line(found: Batch, result: ItemResult) -> tuple[dict[str, Any], int]:
    """A line with each picture as AAAAAAA=, and how long it should be."""
    pieces = [*openai_batch_lines.line(found, result)]
    written = b"".join(p if isinstance(p, bytes) else b'"AAAAAAA="' for p in pieces)
    assert written.endswith(b"}\n")
    assert sum(map(openai_batch_lines.bytes_of, pieces)) == len(written)
    whole: dict[str, Any] = json.loads(written)
    return whole, len(written)


def test_a_line_has_its_pictures_where_they_belong() -> None:
    tricky = '"b64_json":null'
    result = replace(MADE, custom_id=tricky, images=(PICTURE, PICTURE))
    said, _ = line(ended("succeeded"), result)
    assert said["custom_id"] == tricky
    assert said["response"]["body"]["data"] == [{"b64_json": "AAAAAAA="}] * 2
    assert said["response"]["body"]["usage"]["input_tokens"] == 3


@pytest.mark.parametrize(
    ("status", "result", "response", "error"),
    [
        ("succeeded", Problem("content_blocked", "no"), 400, None),
        ("succeeded", Problem("provider_unavailable", "no"), 503, None),
        ("expired", Problem("provider_unavailable", "late"), None, "batch_expired"),
        ("expired", Problem("outcome_unknown", "?"), 504, None),
    ],
)
def test_a_line_that_failed(
    status: str, result: Problem, response: int | None, error: str | None
) -> None:
    failed = ItemResult(1, "one", "failed", error=result)
    said, _ = line(ended(status), failed)
    assert (said["response"] or {}).get("status_code") == response
    assert (said["error"] or {}).get("code") == error
    assert not openai_batch_lines.belongs(failed, "output")


def test_an_item_is_what_the_single_call_asks_for() -> None:
    ignored: set[str] = set()
    parse = openai_batch_lines.reader(GENERATIONS, lambda _: None, ignored)
    body = {"prompt": "A cat", "size": "1024x1024", "user": "u", "n": 2}
    said = {"custom_id": "a", "method": "POST", "url": GENERATIONS, "body": body}
    item = parse(json.dumps(said).encode())
    assert (item.custom_id, item.request.prompt, item.request.n) == ("a", "A cat", 2)
    assert (item.request.aspect_ratio, ignored) == ("1:1", {"user"})
    for name in said:
        with pytest.raises(InvalidRequest) as caught:
            parse(json.dumps({k: v for k, v in said.items() if k != name}).encode())
        assert caught.value.param == name


def test_what_is_wrong_is_said_in_their_fields() -> None:
    told: dict[str, Any] = {"line": 3, "message": "no", "param": "aspect_ratio"}
    assert openai_batch_lines.problem(told) == {
        "code": "invalid_value",
        "message": "no",
        "param": "body.size",
        "line": 3,
    }
    whole = Problem("payload_too_large", "A batch has at most 100000 items.", param="items")
    shown = openai_batches.shown(batch(status="failed", completed_at=ENDED, error=whole))
    errors: Any = shown["errors"]
    assert errors["data"] == [
        {"code": "payload_too_large", "message": whole.message, "param": None, "line": None}
    ]


def test_a_file_in_the_sdks_shape() -> None:
    sent = File("file-a", "a.jsonl", "", 7, "", BEGUN, BEGUN + timedelta(hours=48), "batch")
    seen = FileObject.model_validate(openai_files.uploaded(sent))
    assert (seen.purpose, seen.bytes, seen.expires_at) == ("batch", 7, seen.created_at + 172_800)
    by_google = replace(sent, purpose="", mime_type="image/png", display_name="")
    shown = openai_files.uploaded(by_google)
    assert (shown["purpose"], shown["filename"]) == ("vision", "file-a")
    made = FileObject.model_validate(openai_batches.results(ended("succeeded"), "output", 9))
    assert (made.purpose, made.bytes, made.expires_at) == ("batch_output", 9, None)
    odd = openai_files.content_headers('a"\r\nb.jsonl')
    assert odd == {"content-disposition": 'attachment; filename="a___b.jsonl"'}
    assert isinstance(openai_files.missing("x"), NotFound)


@pytest.mark.parametrize("said", [{"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"order": "up"}])
def test_a_list_is_asked_for_in_its_words(said: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        openai_files.query(said)
    if "limit" in said:
        with pytest.raises(InvalidRequest):
            openai_batches.query(said)


def listed() -> Iterator[tuple[str, Any]]:
    yield "POST /openai/v1/files", file_create_params.FileCreateParams
    yield "GET /openai/v1/files", file_list_params.FileListParams
    yield "POST /openai/v1/batches", batch_create_params.BatchCreateParams
    yield "GET /openai/v1/batches", batch_list_params.BatchListParams


def test_every_field_of_the_sdk_is_listed() -> None:
    known = {f"{method} {path}": set(fields) for method, path, fields in endpoints("OpenAI")}
    for endpoint, parameters in listed():
        assert set(parameters.__annotations__) == known[endpoint]
