"""Files that callers send ahead of a request: leave to write one object, given as a link to
storage itself where it can take it, else to us."""

from __future__ import annotations

import re

from pydantic import Field

from shared import names
from shared.app import App
from shared.body import Body
from shared.errors import InvalidRequest
from shared.links import UPLOAD_LIFE
from shared.view import UploadView

MAX_BYTES = 32 * 2**20


class UploadBody(Body):
    """What is going to be uploaded."""

    filename: str = Field(min_length=1, max_length=255)
    content_type: str = Field(max_length=127, pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+$")
    bytes: int = Field(ge=1, le=MAX_BYTES)


async def create(app: App, account_id: str, upload: UploadBody) -> UploadView:
    """Leave to send it, for a quarter of an hour."""
    upload_id, now = f"upl_{app.new_id()}", app.clock()
    name = names.uploads(account_id, upload_id) + _plain(upload.filename)
    ticket = await app.storage.ticket(name, upload.content_type, upload.bytes, UPLOAD_LIFE)
    claims = {"name": name, "type": upload.content_type, "bytes": str(upload.bytes)}
    url, expires_at = app.links.upload(f"/account/uploads/{upload_id}", claims, now)
    return UploadView(
        upload_id=upload_id,
        url=ticket.url if ticket else url,
        headers=dict(ticket.headers) if ticket else {"content-type": upload.content_type},
        expires_at=expires_at,
    )


async def receive(app: App, claims: dict[str, str], data: bytes, content_type: str) -> None:
    """Store what came by one of our own links, whose claims have been checked. Raises
    InvalidRequest when it is not what was announced, or came before."""
    if content_type != claims["type"]:
        raise InvalidRequest(f"Send it as {claims['type']}.", param="content-type")
    if len(data) != int(claims["bytes"]):
        raise InvalidRequest(f"{claims['bytes']} bytes were announced.", param="bytes")
    if not await app.storage.put(claims["name"], data, content_type, {}):
        raise InvalidRequest("This file has been uploaded already.", param="upload_id")


def _plain(filename: str) -> str:
    """The last part of a file's name, of letters that every system takes."""
    last = re.split(r"[/\\]", filename)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip(".")[-100:] or "file"
