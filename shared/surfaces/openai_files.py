"""Files as OpenAI's Files API shows them: those that were sent, and the results of batches, which
are files of their own there.

Facts: the types of openai 3.52 and an upload recorded in 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from shared import body
from shared.body import Body
from shared.domain import IMAGE_TYPES, Json
from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.surfaces import Support, openai_fields
from shared.surfaces.openai_fields import Word

if TYPE_CHECKING:
    # It knows storage, and what is here does no I/O.
    from shared.file_objects import File

FILES, FILE, CONTENT = "/v1/files", "/v1/files/{file}", "/v1/files/{file}/content"
SUPPORT: Support = {
    f"POST {FILES}": {
        "file": (
            "honoured",
            "32 MB in one form; a batch takes larger ones as an upload (`/account/uploads`)",
        ),
        "purpose": ("honoured", "kept; what a batch reads is for batch"),
        "expires_after": ("ignored", "files are kept for 48 hours, as expires_at says"),
    },
    f"GET {FILES}": {
        "purpose": ("honoured", "batch_output for the results of batches"),
        "limit": ("honoured", "a page has at most 100"),
        "order": ("honoured", "by created_at"),
        "after": ("honoured", "an id"),
    },
    f"GET {FILE}": {},
    f"GET {CONTENT}": {},
    f"DELETE {FILE}": {"file": ("honoured", "one that was sent; results go with their batch")},
}
PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
BATCH, RESULTS = "batch", "batch_output"
MOST_LISTED = 100
_UPLOADED = "file-"
_ANY_TYPE = "application/octet-stream"
_EXPIRES = "expires_after["
"""SDKs send an object in a form as a field for each of its own."""


@dataclass(frozen=True)
class Sent:
    """A form understood: what the file is for, and the names of what is passed over."""

    purpose: str
    ignored: tuple[str, ...] = ()


class ListQuery(Body):
    """Which files are listed."""

    purpose: Word | None = None
    limit: int = Field(MOST_LISTED, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    after: Word | None = None


def read(texts: Mapping[str, str]) -> Sent:
    """The text fields of a form. Raises InvalidRequest."""
    named = {name.split("[")[0] if name.startswith(_EXPIRES) else name for name in texts}
    given: dict[str, Any] = {name: texts.get(name, "set") for name in sorted(named)}
    known, ignored = openai_fields.sort(given, SUPPORT[f"POST {FILES}"])
    purpose = known.get("purpose")
    if purpose not in PURPOSES:
        raise InvalidRequest(f"purpose is one of {', '.join(PURPOSES)}.", param="purpose")
    return Sent(purpose, ignored)


def query(said: Mapping[str, str]) -> tuple[ListQuery, tuple[str, ...]]:
    """The query of a list, and the names of what is passed over. Raises InvalidRequest."""
    known, ignored = openai_fields.sort(said, SUPPORT[f"GET {FILES}"])
    limit = known.get("limit", "")
    if re.fullmatch("[0-9]{1,9}", limit, re.ASCII):
        known["limit"] = int(limit)
    return body.validated(ListQuery, known), ignored


def new_id(letters: str) -> str:
    """The id of a file that was sent, of letters that nobody else was given."""
    return f"{_UPLOADED}{letters}"


def type_of(said: str | None) -> str:
    """The type a form gives its file; "" for what says nothing, so that it is looked at."""
    kind = (said or "").partition(";")[0].strip().lower()
    return "" if kind == _ANY_TYPE else kind


def uploaded(file: File) -> dict[str, Json]:
    """A file that was sent, by this API or by another."""
    purpose = file.purpose or ("vision" if file.mime_type in IMAGE_TYPES.values() else "user_data")
    name = file.display_name or file.id
    return shown(
        file.id,
        purpose,
        (name, file.size_bytes),
        file.created_at,
        int(file.expires_at.timestamp()),
    )


def shown(
    file_id: str,
    purpose: str,
    named: tuple[str, int],
    created_at: datetime,
    expires_at: int | None = None,
) -> dict[str, Json]:
    """A file as JSON; `named` is what it is called and its bytes."""
    filename, size_bytes = named
    return {
        "object": "file",
        "id": file_id,
        "purpose": purpose,
        "filename": filename,
        "bytes": size_bytes,
        "created_at": int(created_at.timestamp()),
        "expires_at": expires_at,
        "status": "processed",
        "status_details": None,
    }


def deleted(file_id: str) -> dict[str, Json]:
    """What is left of a file."""
    return {"id": file_id, "object": "file", "deleted": True}


def page(data: Sequence[Json], ids: Sequence[str], *, more: bool) -> dict[str, Json]:
    """Part of a list."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": more,
    }


def content_headers(filename: str) -> dict[str, str]:
    """Of a file's bytes. Their number is left out: what says it may have 32 MB at most on its way
    out of Cloud Run (cloud.google.com/run/quotas, 2026-11)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", filename)
    return {"content-disposition": f'attachment; filename="{plain}"'}


def missing(file_id: str, param: str = "id") -> NotFound:
    """The error for a file that is not there, or is another's."""
    return NotFound(f"No such File object: {file_id[:100]}", param=param)


def too_large() -> PayloadTooLarge:
    """The error for a form that does not fit into one call."""
    return PayloadTooLarge(
        "One form takes 32 MB. Send a larger file by POST /account/uploads, and give its upload_id "
        "as input_file_id.",
        param="file",
    )


def not_deletable() -> InvalidRequest:
    """The error for deleting the results of a batch."""
    return InvalidRequest("The results of a batch are kept with it.", param="id")
