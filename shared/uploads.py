"""Files that callers send ahead of a request: leave to write one object, given as a link to
storage itself where it can take it, else to us. What a file's metadata sets off once it is there is
`upload_trigger`'s to say."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

from pydantic import Field

from shared import names, upload_trigger
from shared.app import App
from shared.body import Body
from shared.catalogue.templates import Template
from shared.domain import Caller
from shared.errors import InvalidRequest
from shared.links import UPLOAD_LIFE
from shared.view import UploadView

MAX_BYTES = 32 * 2**20
MAX_JSONL_BYTES = 2 * 2**30
MAX_METADATA_BYTES = 8 * 2**10
"""Of names and values, as they are stored (cloud.google.com/storage/quotas, 2026-11)."""

Label = Annotated[str, Field(max_length=64, pattern=r"^darkroom-[a-z0-9-]+$")]


class UploadBody(Body):
    """What is going to be uploaded."""

    filename: str = Field(min_length=1, max_length=255, description="A batch's ends with .jsonl")
    content_type: str = Field(max_length=127, pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+$")
    bytes: int = Field(ge=1, le=MAX_JSONL_BYTES, description="2 GiB of JSONL, 32 MiB of all else")
    metadata: dict[Label, Annotated[str, Field(max_length=1024)]] = Field(
        default_factory=dict,
        max_length=16,
        description="What becomes of the file once it is there: darkroom-prompt, darkroom-model …",
    )


async def create(app: App, caller: Caller, upload: UploadBody) -> UploadView:
    """Leave to send it, for a quarter of an hour. Raises InvalidRequest for what would only be
    refused once it is there."""
    if upload.bytes > MAX_BYTES and not upload_trigger.is_jsonl(upload.filename):
        raise InvalidRequest(f"Only .jsonl may have more than {MAX_BYTES} bytes.", param="bytes")
    labels = _labels(caller, upload, app.catalogue.templates)
    upload_id, now = f"upl_{app.new_id()}", app.clock()
    name = names.uploads(caller.account_id, upload_id) + _plain(upload.filename)
    ticket = await app.storage.ticket(name, upload.content_type, labels, upload.bytes, UPLOAD_LIFE)
    claims = {
        "name": name,
        "type": upload.content_type,
        "bytes": str(upload.bytes),
        "labels": json.dumps(labels),
    }
    url, expires_at = app.links.upload(f"/account/uploads/{upload_id}", claims, now)
    return UploadView(
        upload_id=upload_id,
        url=ticket.url if ticket else url,
        headers=dict(ticket.headers) if ticket else {"content-type": upload.content_type},
        expires_at=expires_at,
    )


async def receive(
    app: App, claims: Mapping[str, str], pieces: AsyncIterator[bytes], content_type: str
) -> None:
    """Store what comes by one of our own links, whose claims have been checked, and set off what
    it asks for: nobody else will say that it is there. Raises InvalidRequest when it is not what
    was announced, or came before, and whatever may pass of what was set off."""
    if content_type != claims["type"]:
        raise InvalidRequest(f"Send it as {claims['type']}.", param="content-type")
    whole, labels = _exactly(pieces, int(claims["bytes"])), json.loads(claims["labels"])
    stored = await app.storage.put_stream(claims["name"], whole, content_type, labels)
    # Once more where it came before: the first time may have died on the way.
    await upload_trigger.finalized(app, claims["name"])
    if not stored:
        raise InvalidRequest("This file has been uploaded already.", param="upload_id")


async def _exactly(pieces: AsyncIterator[bytes], announced: int) -> AsyncIterator[bytes]:
    """The pieces, if they have as many bytes as were announced. Raises InvalidRequest as soon as
    they are seen not to."""
    wrong, count = InvalidRequest(f"{announced} bytes were announced.", param="bytes"), 0
    async for piece in pieces:
        count += len(piece)
        if count > announced:
            raise wrong
        yield piece
    if count != announced:
        raise wrong


def _labels(
    caller: Caller, upload: UploadBody, templates: Mapping[str, Template]
) -> dict[str, str]:
    """What is stored with the file: its metadata, and what it means without our being asked."""
    for label in upload_trigger.MARKS & upload.metadata.keys():
        raise InvalidRequest(f"{label} is not yours to set.", param="metadata")
    labels = {label: upload_trigger.encoded(text) for label, text in upload.metadata.items()}
    if labels:
        upload_trigger.check(upload.filename, upload.metadata, templates)
    else:
        labels[upload_trigger.TRIGGER] = "off"
    if caller.test:
        labels[upload_trigger.TEST] = "1"
    if sum(len(label) + len(text) for label, text in labels.items()) > MAX_METADATA_BYTES:
        raise InvalidRequest(
            f"Metadata has at most {MAX_METADATA_BYTES} bytes as it is stored.", param="metadata"
        )
    return labels


def _plain(filename: str) -> str:
    """The last part of a file's name, of letters that every system takes."""
    last = re.split(r"[/\\]", filename)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip(".")[-100:] or "file"
