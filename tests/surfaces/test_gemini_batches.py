"""Google's batches as they are asked for and shown, without anything being made."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from google.genai import batches, types

from shared.batch_domain import Batch, Counts
from shared.batch_items import ItemResult
from shared.catalogue import load
from shared.domain import Hold, Image, Problem, Usage
from shared.errors import (
    ContentBlocked,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    problem_of,
)
from shared.links import Links
from shared.surfaces import Shown, gemini_batches, gemini_operations
from shared.surfaces.gemini_answer import Rendering
from shared.surfaces.gemini_batches import CreateMessage, Lines, Reading
from shared.surfaces.gemini_errors import Place
from shared.surfaces.gemini_files import batch_of, file_of, id_of, image_of
from shared.surfaces.gemini_turns import Signer
from shared.surfaces.google_json import Refusal
from tests.recorded import recording
from tests.surfaces.records import BEGUN
from tests.surfaces.test_table import FIELDS, fields_of

ID = "abcdefghijklmnopqrstuvwxyz"
PRO = "gemini-3-pro-image"
SIGNER = Signer(Links("http://host.test", b"secret"), "acc_1")
MODEL = load().models[PRO]
RENDERING = Rendering(SIGNER, "http://host.test/gemini", "v1beta")


def lines(inline: bool = True, **batch: Any) -> Lines:
    """Of a batch for the model PRO."""
    where: dict[str, Any] = {"requests": {}} if inline else {"fileName": "files/a"}
    asked = gemini_batches.created({"batch": {"inputConfig": where, **batch}}, "v1beta", PRO)
    return Lines(asked, Reading(MODEL, PRO, "v1beta", SIGNER))


def line(text: str = "A cat", **more: Any) -> bytes:
    request = {"contents": [{"parts": [{"text": text}]}], **more.pop("request", {})}
    return json.dumps({"request": request, **more}).encode()


def batch(**changes: Any) -> Batch:
    """One of two requests that has been taken in."""
    begun: dict[str, Any] = {
        "id": f"bat_{ID}",
        "account_id": "acc_1",
        "key_id": "key_1",
        "status": "accepted",
        "mode": "auto",
        "fingerprint": "",
        "sandbox": True,
        "hold": Hold(0, (), 0, ""),
        "held_micros": 0,
        "listed_micros": 0,
        "counts": Counts(2),
        "created_at": BEGUN,
        "expires_at": BEGUN + timedelta(hours=48),
        "due_at": BEGUN,
        "surface": "gemini",
        "wire": {"model": PRO, "display_name": "mine", "file_name": "files/a", "words": True},
    }
    return Batch(**{**begun, **changes})


def ended(status: str, counts: Counts = Counts(2, succeeded=2), **changes: Any) -> Batch:  # noqa: B008 # frozen
    return batch(status=status, counts=counts, completed_at=BEGUN + timedelta(minutes=1), **changes)


def shown(found: Batch, output: Any = None) -> dict[str, Any]:
    """Its operation."""
    return gemini_operations.operation(found, output)


def answered(result: ItemResult, *pictures: Shown) -> dict[str, Any]:
    """What became of a request."""
    return gemini_operations.answer(batch(), result, RENDERING, pictures)


def failed(error: Problem | None, **changes: Any) -> ItemResult:
    return ItemResult(0, "a", "failed", error=error, **changes)


def test_every_field_of_the_body_is_listed() -> None:
    path = "/gemini/{version}/models/{model}:batchGenerateContent"
    listed = set(FIELDS[path])
    found = set(fields_of(CreateMessage))
    assert not {f for f in found if not any(row == f or row.startswith(f"{f}.") for row in listed)}
    assert listed <= found
    assert {"display_name", "webhook_config"} <= set(types.CreateBatchJobConfig.model_fields)


def test_items_are_called_by_their_keys_or_places() -> None:
    taken = lines(inline=False)
    said = [line(key="a"), line(metadata={"key": "b"}), line(), line(metadata={"key": 7})]
    assert [taken.parse(one).custom_id for one in said] == ["a", "b", "2", "3"]
    assert taken.wire == {
        "model": PRO,
        "display_name": "",
        "file_name": "files/a",
        "words": True,
    }
    assert not taken.ignored
    taken.parse(line(key="c", metadata={"key": "c", "mine": "yes"}))
    assert list(taken.ignored) == ["metadata"]


@pytest.mark.parametrize(
    "metadata",
    [
        [None, None, {"key": "a"}, None],
        [{"key": "a"}, {"key": "b"}, {"key": "2"}, {"mine": [1]}],
        [{}, {"key": 1}, None, {"key": "x", "more": {"a": None}}],
        [None, {"key": "0a"}, None, None],
    ],
)
def test_metadata_comes_back_as_it_was(metadata: list[Any]) -> None:
    taken = lines()
    items = [
        taken.parse(line() if one is None else line(metadata=one)).custom_id for one in metadata
    ]
    kept = batch(wire=json.loads(json.dumps(taken.wire)))
    assert [
        gemini_operations.metadata_of(kept, ItemResult(n, custom_id, "succeeded")).get("metadata")
        for n, custom_id in enumerate(items)
    ] == metadata


def test_metadata_beyond_keys_has_its_limit() -> None:
    taken = lines()
    long = {"key": "a", "text": "x" * (gemini_batches.MAX_SAID_BYTES - 100)}
    taken.parse(line(metadata=long))
    taken.parse(line(metadata={"key": "b" * 200}))
    with pytest.raises(InvalidRequest, match="beside keys"):
        taken.parse(line(metadata={"key": "c", "text": "x" * 100}))


def test_words_come_with_all_answers_or_with_none() -> None:
    silent = {"generationConfig": {"responseModalities": ["IMAGE"]}}
    taken = lines()
    taken.parse(line(request=silent))
    assert (taken.wire["words"], list(taken.ignored)) == (False, [])
    taken.parse(line())
    mixed = (True, ["generationConfig.responseModalities"])
    assert (taken.wire["words"], list(taken.ignored)) == mixed


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"nothing", "Invalid JSON payload"),
        (b"[]", "Invalid value at"),
        (line(key=1), "Invalid value at 'key'"),
        (line(key="a" * 256), "at most 255 characters"),
        (b'{"key": "a"}', "contents is not specified"),
        (line(config={}), 'Unknown name "config"'),
        (line(request={"model": "models/other"}), "The body is for models/other"),
    ],
)
def test_lines_that_are_no_requests(sent: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match="(?s)" + words):
        lines().parse(sent)


def test_the_first_bad_lines_are_named() -> None:
    told = {
        "bad": 30,
        "lines": [
            {"line": n, "param": "custom_id" if n == 2 else "aspect_ratio", "message": "No."}
            for n in range(1, 30)
        ],
    }
    place = Place("v1", PRO, "batchGenerateContent")
    refusal = gemini_batches.bad_lines(told, place, inline=False)
    assert refusal.message.splitlines()[:2] == ["line 1: No.", "line 2: This key is there twice."]
    assert refusal.message.endswith("and 10 more.")
    (violations,) = [one["fieldViolations"] for one in refusal.details]
    assert isinstance(violations, list)
    assert len(violations) == 20
    empty = gemini_batches.bad_lines({}, place, inline=True)
    assert "there are no requests" in empty.message


def test_an_operation_is_shaped_as_the_recorded_ones() -> None:
    names = ("batch_create_response", "batch_get_succeeded")
    output = gemini_operations.in_file(batch())
    ours = (
        shown(batch()),
        shown(ended("succeeded"), output),
    )
    for name, mine in zip(names, ours, strict=True):
        theirs = json.loads(recording(f"google/DelphiGemini__{name}_2026-01-06.json").read_text())
        assert shape(mine) == shape(theirs)
        assert mine.keys() == theirs.keys()


def shape(value: Any) -> Any:
    """Its fields, with what is always the same."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, str):
        return value if value.startswith(("type.", "BATCH_")) or value.isdecimal() else "text"
    return value


@pytest.mark.parametrize("status", gemini_operations.STATES)
def test_googles_sdk_knows_every_state(status: str) -> None:
    body = shown(batch(status=status))
    said = batches._BatchJob_from_mldev(body)
    assert types.JobState(said["state"]).value == said["state"]


def test_how_batches_end() -> None:
    none = Counts(2, failed=1, cancelled=1)
    for status, code in (("cancelled", 1), ("expired", 4)):
        stopped = shown(ended(status, none))
        assert stopped["error"]["code"] == code
        assert "response" not in stopped
        assert not gemini_operations.delivered(ended(status, none))
        # What was paid for is theirs.
        assert gemini_operations.delivered(ended(status, Counts(2, 1, 0, 1)))
    broken = problem_of(ProviderUnavailable("Nobody there."))
    body = shown(ended("failed", none, error=broken))
    assert body["error"] == {"code": 14, "message": "Nobody there."}
    stats = body["metadata"]["batchStats"]
    assert stats == {"requestCount": "2", "failedRequestCount": "2"}
    assert gemini_operations.delivered(ended("succeeded", none))
    assert not gemini_operations.delivered(batch(counts=Counts(2, 1)))


def test_answers_stand_in_the_batch_twice() -> None:
    tricky = {"model": PRO, "display_name": '"inlinedResponses":0', "inline": True}
    pieces = gemini_operations.with_answers(ended("succeeded", wire=tricky), [b'{"a":1}', b"{}"])
    whole = json.loads(b"".join(pieces))
    assert whole["metadata"]["displayName"] == '"inlinedResponses":0'
    assert whole["metadata"]["output"] == {"inlinedResponses": {"inlinedResponses": [{"a": 1}, {}]}}
    assert whole["response"]["inlinedResponses"] == whole["metadata"]["output"]["inlinedResponses"]


@pytest.mark.parametrize(
    ("problem", "code", "status"),
    [
        (problem_of(ProviderUnavailable("Later.")), 14, "UNAVAILABLE"),
        (problem_of(OutcomeUnknown("Who knows.")), 4, "DEADLINE_EXCEEDED"),
        (problem_of(InvalidRequest("No.", param="images")), 3, "INVALID_ARGUMENT"),
        (problem_of(NotFound("No image.", param="images[0].file_id")), 5, "NOT_FOUND"),
    ],
)
def test_an_error_is_a_number(problem: Problem, code: int, status: str) -> None:
    said = answered(failed(problem))
    assert said == {"error": {"code": code, "message": problem.message, "status": status}}
    cancelled = ItemResult(0, "a", "cancelled", error=problem)
    said = answered(cancelled)
    assert said == {"error": {"code": 1, "message": problem.message, "status": "CANCELLED"}}


def test_a_refusal_of_the_content_is_a_response() -> None:
    problem = problem_of(ContentBlocked("No.", details={"reason": "IMAGE_SAFETY"}))
    said = answered(failed(problem))
    (candidate,) = said["response"]["candidates"]
    assert candidate["finishReason"] == "IMAGE_SAFETY"
    response = said["response"]
    assert isinstance(response, dict)
    assert (response["modelVersion"], response["responseId"]) == (PRO, f"{ID}-0")


def test_googles_types_read_an_answer() -> None:
    image = Image(f"img_{ID}-12_0", "", "image/png", 8, 8, 3, "")
    done = ItemResult(
        12, "a", "succeeded", images=(image,), usage=Usage(5, 1120, image_tokens=1120), model=PRO
    )
    said = answered(done, Shown(image, "", "AAAA"))
    reply = types.GenerateContentResponse.model_validate(said["response"])
    assert reply.parts
    assert reply.parts[0].inline_data
    assert reply.usage_metadata
    assert reply.usage_metadata.candidates_token_count == 1120


def test_files_of_batches_have_names_of_their_own() -> None:
    assert file_of(f"img_{ID}-12_3") == f"img{ID}i12n3"
    for image_id in (f"img_{ID}-12_3", f"img_{ID}_0"):
        assert image_of(file_of(image_id)) == image_id
    assert batch_of(f"batch-{ID}") == f"bat_{ID}"
    for name in ("batch-mine", f"batch-{ID}1", ID):
        assert batch_of(name) is None
    for taken in (f"files/batch-{ID}", f"files/img{ID}i1n0"):
        with pytest.raises(Refusal):
            id_of(taken)
    assert gemini_operations.batch_id(ID) == f"bat_{ID}"
    for name in ("", f"bat_{ID}", ID.upper(), f"{ID}\n"):
        with pytest.raises(Refusal):
            gemini_operations.batch_id(name)
