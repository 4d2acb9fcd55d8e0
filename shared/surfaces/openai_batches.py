"""Batches as OpenAI's Batch API has them: what is asked for, and what has become of it.

Facts: batches recorded in 2025-03 and 2026-08 and the types of openai 3.52, 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from shared import body
from shared.batch_domain import Batch, BatchStatus
from shared.body import Body, Metadata
from shared.domain import Json
from shared.errors import InvalidRequest, NotFound, error_of
from shared.surfaces import Support, openai_batch_lines, openai_errors, openai_fields, openai_files
from shared.surfaces.openai_batch_lines import Kind
from shared.surfaces.openai_fields import Word
from shared.surfaces.openai_images import EDITS, GENERATIONS

SURFACE = "openai"
BATCHES, BATCH, CANCEL = "/v1/batches", "/v1/batches/{batch}", "/v1/batches/{batch}/cancel"
SUPPORT: Support = {
    f"POST {BATCHES}": {
        "input_file_id": ("honoured", "a file for batch, or an upload of `/account/uploads`"),
        "endpoint": (
            "honoured",
            f"{GENERATIONS} or {EDITS}; every line's body is that of the single call in JSON, "
            "pictures come as b64_json, without background and quality beside them",
        ),
        "completion_window": ("honoured", "24h; what is not made after 48 hours has expired"),
        "metadata": ("honoured", "16 pairs"),
        "output_expires_after": ("ignored", "results are kept with their batch"),
    },
    f"GET {BATCHES}": {
        "limit": ("honoured", "20, at most 100"),
        "after": ("honoured", "an id"),
    },
    f"GET {BATCH}": {},
    f"POST {CANCEL}": {},
}
ENDPOINTS = (GENERATIONS, EDITS)
MOST_LISTED = 100
CANCELLING_AT = "cancelling_at"
_WORDS: Mapping[BatchStatus, str] = {
    "accepted": "validating",
    "running": "in_progress",
    "collecting": "finalizing",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
}
_ENDINGS: Mapping[Kind, str] = {"output": "output", "error": "errors"}
_FILE = re.compile(r"file-([a-z0-9]{26})-(output|errors)", re.ASCII)
_ID = re.compile(r"batch_([a-z0-9]{26})", re.ASCII)
_NO_USAGE: Mapping[str, Json] = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


class BatchBody(Body):
    """What is read of a body."""

    input_file_id: Word
    endpoint: Word
    completion_window: Literal["24h"]
    metadata: Metadata = Field(default_factory=dict)


class ListQuery(Body):
    """Which batches are listed."""

    limit: int = Field(20, ge=1, le=MOST_LISTED)
    after: Word | None = None


@dataclass(frozen=True)
class Read:
    """A body understood, with what was sent, and the names of what is passed over."""

    body: BatchBody
    fields: Mapping[str, Json] = field(repr=False)
    ignored: tuple[str, ...] = ()

    @property
    def wire(self) -> Mapping[str, Json]:
        """What is said of the batch again."""
        return self.body.model_dump(exclude={"metadata"})


def read(fields: Mapping[str, Any]) -> Read:
    """The body that makes a batch. Raises InvalidRequest."""
    known, ignored = openai_fields.sort(fields, SUPPORT[f"POST {BATCHES}"])
    said = body.validated(BatchBody, known)
    if said.endpoint not in ENDPOINTS:
        raise InvalidRequest(
            f"Batches are made of images: endpoint is {' or '.join(ENDPOINTS)}.", param="endpoint"
        )
    return Read(said, fields, ignored)


def query(said: Mapping[str, str]) -> tuple[ListQuery, tuple[str, ...]]:
    """The query of a list, and the names of what is passed over. Raises InvalidRequest."""
    known, ignored = openai_fields.sort(said, SUPPORT[f"GET {BATCHES}"])
    limit = known.get("limit", "")
    if re.fullmatch("[0-9]{1,9}", limit, re.ASCII):
        known["limit"] = int(limit)
    return body.validated(ListQuery, known), ignored


def shown(batch: Batch) -> dict[str, Json]:
    """A batch as JSON. It begins at once; when exactly is not kept."""
    status, counts = status_of(batch), batch.counts
    began = batch.status not in ("accepted", "failed") or counts.ended > 0
    return {
        "id": id_of(batch),
        "object": "batch",
        "endpoint": batch.wire["endpoint"],
        "model": _model(batch),
        "errors": _errors(batch),
        "input_file_id": batch.wire["input_file_id"],
        "completion_window": batch.wire["completion_window"],
        "status": status,
        "output_file_id": file_of(batch, "output"),
        "error_file_id": file_of(batch, "error"),
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _seconds(batch.created_at) if began else None,
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": _at(batch, "succeeded"),
        "completed_at": _at(batch, "succeeded"),
        "failed_at": _at(batch, "failed"),
        "expired_at": _at(batch, "expired"),
        "cancelling_at": batch.wire.get(CANCELLING_AT),
        "cancelled_at": _at(batch, "cancelled"),
        "request_counts": {
            "total": counts.total,
            "completed": counts.succeeded,
            "failed": counts.failed,
        },
        "usage": dict(_NO_USAGE),
        "metadata": dict(batch.metadata) or None,
    }


def status_of(batch: Batch) -> str:
    """OpenAI's word for where a batch stands."""
    return "cancelling" if batch.cancelling and batch.open else _WORDS[batch.status]


def id_of(batch: Batch) -> str:
    """ "bat_…" as "batch_…"."""
    return f"batch_{batch.id.removeprefix('bat_')}"


def own(batch_id: str) -> str | None:
    """Our id of a batch; None for what is none."""
    found = _ID.fullmatch(batch_id)
    return f"bat_{found[1]}" if found else None


def file_of(batch: Batch, kind: Kind) -> str | None:
    """The id of a file of results; None while there is nothing in it, or it is not all there."""
    counts = batch.counts
    lines = counts.succeeded if kind == "output" else counts.failed + counts.cancelled
    if batch.open or not lines:
        return None
    return openai_files.new_id(f"{batch.id.removeprefix('bat_')}-{_ENDINGS[kind]}")


def of_file(file_id: str) -> tuple[str, Kind] | None:
    """The batch, by our id, whose results a file has, and which; None for any other file."""
    found = _FILE.fullmatch(file_id)
    if found is None:
        return None
    return f"bat_{found[1]}", "output" if found[2] == _ENDINGS["output"] else "error"


def filename(batch: Batch, kind: Kind) -> str:
    """What a file of results is called."""
    return f"{id_of(batch)}_{kind}.jsonl"


def results(batch: Batch, kind: Kind, size_bytes: int) -> dict[str, Json]:
    """A file of results as JSON."""
    return openai_files.shown(
        file_of(batch, kind) or "",
        openai_files.RESULTS,
        (filename(batch, kind), size_bytes),
        batch.completed_at or batch.created_at,
    )


def missing(batch_id: str) -> NotFound:
    """The error for a batch that is not there, or is another's."""
    return NotFound(f"No batch found with id '{batch_id[:100]}'.", param="id")


def ended(batch: Batch) -> InvalidRequest:
    """The error for cancelling one that has ended."""
    return InvalidRequest(
        f"Cannot cancel a batch with status '{status_of(batch)}'.",
        details={openai_errors.CONFLICT: True},
    )


def wrong_purpose(file_id: str, purpose: str) -> InvalidRequest:
    """The error for a file that was sent for something else."""
    return InvalidRequest(
        f"The file {file_id[:100]} is for {purpose}. Send it with the purpose batch.",
        param="input_file_id",
    )


def _errors(batch: Batch) -> Json:
    """Why it was not taken in, or did not get anywhere."""
    error = batch.error
    if batch.status != "failed" or error is None:
        return None
    lines = error.details.get("lines")
    if isinstance(lines, list):
        return {"object": "list", "data": [openai_batch_lines.problem(one) for one in lines]}
    empty = error.code == InvalidRequest.code and error.param == "items"
    code = "empty_file" if empty else openai_errors.meaning(error_of(error))[2]
    whole: Json = {"code": code, "message": error.message, "param": None, "line": None}
    return {"object": "list", "data": [whole]}


def _model(batch: Batch) -> str | None:
    """The model, where all of it is made by one."""
    models = {group.route.partition(":")[2] for group in batch.groups}
    return models.pop() if len(models) == 1 else None


def _at(batch: Batch, status: BatchStatus) -> int | None:
    ended_so = batch.status == status and batch.completed_at is not None
    return _seconds(batch.completed_at) if ended_so and batch.completed_at else None


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
