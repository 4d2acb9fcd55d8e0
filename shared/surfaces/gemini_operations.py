"""Batches as Google shows them: the operation, and what became of each request.

Facts: ai.google.dev/gemini-api/docs/batch-api, recorded batches of 2025-07 and 2026-01, and
google-genai 3.4.0 (batches.py, webhook.py), 2026-10.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from pydantic_core import to_json

from shared import names
from shared.batch_domain import Batch
from shared.batch_items import ItemResult
from shared.domain import Json, Problem, Usage
from shared.errors import NotFound, error_of
from shared.surfaces import Shown
from shared.surfaces.gemini_answer import Rendering, is_answer
from shared.surfaces.gemini_errors import Place, refusal_of, unknown_path
from shared.surfaces.gemini_files import results_file
from shared.surfaces.gemini_reply import present
from shared.surfaces.google_json import CODES, Refusal, stamp

PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1main"
STATES: Mapping[str, str] = {
    "accepted": "PENDING",
    "running": "RUNNING",
    "collecting": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
}
"""Our status → Google's state, after BATCH_STATE_."""
EXPIRED = "Batch has not been processed within the 48h timeframe."
_ID = re.compile(r"[a-z2-7]{26}")


def batch_id(name: str) -> str:
    """Our id of the batch that a path names. Raises Refusal for what can be none."""
    if not _ID.fullmatch(name):
        raise unknown_path()
    return f"bat_{name}"


def delivered(batch: Batch) -> bool:
    """Whether it has ended with answers: pictures of one that was stopped are theirs who paid."""
    return not batch.open and (batch.status == "succeeded" or batch.counts.succeeded > 0)


def in_file(batch: Batch) -> dict[str, Json]:
    """The output of a batch whose answers are a file."""
    return {"responsesFile": f"files/{results_file(batch.id)}"}


def operation(batch: Batch, output: Mapping[str, Json] | None) -> dict[str, Json]:
    """The batch as an operation; `output` is what is said of its answers, if there are any."""
    name, wire = f"batches/{batch.id.removeprefix('bat_')}", batch.wire
    file_name = wire.get("file_name")
    metadata: dict[str, Json] = {
        "@type": f"{PACKAGE}.GenerateContentBatch",
        "model": f"models/{wire.get('model')}",
        "displayName": wire.get("display_name"),
        "inputConfig": {"fileName": file_name} if file_name else None,
        "output": output,
        "createTime": stamp(batch.created_at),
        "endTime": stamp(batch.completed_at) if batch.completed_at else None,
        "updateTime": stamp(batch.completed_at or batch.created_at),
        "batchStats": _stats(batch),
        "state": f"BATCH_STATE_{STATES[batch.status]}",
        "name": name,
    }
    body: dict[str, Json] = {"name": name, "metadata": present(metadata)}
    if not batch.open:
        body["done"] = True
    if (error := _error(batch)) is not None:
        body["error"] = error
    elif output:
        body["response"] = {"@type": f"{PACKAGE}.GenerateContentBatchOutput", **output}
    return body


def with_answers(batch: Batch, answers: Sequence[bytes]) -> Iterator[bytes]:
    """The batch as JSON in pieces, with its answers in it: twice, as Google sends them."""
    # A quote within a text is escaped, so nothing that a caller said looks like this.
    here = b'"inlinedResponses":0'
    first, *others = to_json(operation(batch, {"inlinedResponses": {"inlinedResponses": 0}})).split(
        here
    )
    yield first
    for rest in others:
        yield b'"inlinedResponses":['
        for number, answer in enumerate(answers):
            yield (b"," if number else b"") + answer
        yield b"]" + rest


def metadata_of(batch: Batch, result: ItemResult) -> dict[str, Json]:
    """What the caller said of a request of the body, as its field; nothing where nothing was."""
    wire: Mapping[str, Any] = batch.wire
    if "said" not in wire:
        return {}
    if str(result.index) in wire["said"]:
        return {"metadata": wire["said"][str(result.index)]}
    after = bisect_right(wire["unsaid"], result.index, key=itemgetter(0))
    if after and wire["unsaid"][after - 1][1] >= result.index:
        return {}
    return {"metadata": {"key": result.custom_id}}


def answer(
    batch: Batch, result: ItemResult, rendering: Rendering, pictures: Sequence[Shown]
) -> dict[str, Json]:
    """What became of a request: the response that it would have got alone, or its error."""
    if result.status == "cancelled":
        said = result.error.message if result.error else ""
        return {"error": {"code": CODES["CANCELLED"], "message": said, "status": "CANCELLED"}}
    model = result.model or str(batch.wire.get("model"))
    failed = result.error if result.status == "failed" else None
    error = error_of(failed) if failed else None
    if isinstance(error, NotFound) and error.param != "model":
        return {"error": Refusal(404, error.message).entry()}
    if error is not None and not is_answer(error):
        place = Place(rendering.version, model, "generateContent")
        return {"error": refusal_of(error, place).entry()}
    made = _Made(
        names.item(batch.id, result.index),
        model,
        result.n,
        result.text,
        result.usage,
        result.error,
    )
    reply = rendering.of(made, pictures, error)
    # The types of google-genai 3.4.0, with which people read files of answers, know no tier.
    return {"response": replace(reply, counts=replace(reply.counts, tier="")).body()}


@dataclass(frozen=True)
class _Made:
    """An item as an answer tells of it."""

    id: str
    model: str
    n: int
    text: str | None
    usage: Usage
    error: Problem | None


def _stats(batch: Batch) -> dict[str, Json]:
    """Google sends counts as texts and leaves zeros out."""
    counts = batch.counts
    said = {
        "requestCount": counts.total,
        "successfulRequestCount": counts.succeeded,
        "failedRequestCount": counts.failed + counts.cancelled,
        "pendingRequestCount": counts.total - counts.ended,
    }
    return {name: str(count) for name, count in said.items() if count}


def _error(batch: Batch) -> Json:
    """How a batch failed as a whole; None where it did not."""
    if batch.status == "cancelled":
        return {"code": CODES["CANCELLED"], "message": "The batch was cancelled."}
    if batch.status == "expired":
        return {"code": CODES["DEADLINE_EXCEEDED"], "message": EXPIRED}
    if batch.status == "failed" and batch.error:
        error = refusal_of(error_of(batch.error), Place())
        return {"code": CODES[error.status], "message": error.message}
    return None
