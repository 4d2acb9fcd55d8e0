"""Google's Files API over what an account has here: the files it keeps, sent by the resumable
protocol, and the pictures and the answers of batches that were made for it, which are Google's
generated files.

Facts: ai.google.dev/api/files and the upload clients of google-genai 3.4.0 and @google/genai
3.1.0, 2026-10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared import batches, files, google_batches, names
from shared.domain import Image, Json
from shared.file_objects import File
from shared.storage import Blob
from shared.surfaces import gemini_files
from shared.surfaces.google_json import Refusal, read

if TYPE_CHECKING:
    from shared.app import App

MAX_START_BYTES = 64 * 2**10
"""Of the body that starts an upload: a file's name and type."""
_COMMAND, _SIZE = "x-goog-upload-command", "x-goog-upload-header-content-length"


@dataclass(frozen=True)
class Step:
    """Where an upload stands: "active", "final" or "cancelled", how much of it was received, and
    the file it has become."""

    status: str
    received: int | None = None
    file: File | None = None

    @property
    def headers(self) -> dict[str, str]:
        """As the protocol says it."""
        said = {"x-goog-upload-status": self.status}
        if self.received is not None:
            said["x-goog-upload-size-received"] = str(self.received)
        return said


async def begin(
    app: App, account_id: str, version: str, headers: Mapping[str, str], body: bytes
) -> str:
    """Start an upload: the token that its address carries. Raises Refusal, InvalidRequest,
    QuotaExceeded."""
    resumable = headers.get("x-goog-upload-protocol", "").lower() == "resumable"
    if not resumable or _commands(headers) != {"start"}:
        said = "x-goog-upload-protocol: resumable and x-goog-upload-command: start"
        raise Refusal(400, f"Start an upload with {said}.")
    message = await asyncio.to_thread(read, gemini_files.StartMessage, body, version)
    file = message.file
    announced = _number(headers, _SIZE)
    upload = await files.begin(
        app,
        account_id,
        file_id=gemini_files.id_of(file.name),
        display_name=file.display_name or headers.get("x-goog-upload-file-name", ""),
        mime_type=file.mime_type or headers.get("x-goog-upload-header-content-type", ""),
        size_bytes=(file.size_bytes or None) if announced is None else announced,
    )
    return files.sealed(app, upload)


async def step(
    app: App, token: str, headers: Mapping[str, str], body: Callable[[int], Awaitable[bytes]]
) -> Step:
    """What the command in the headers does to an upload. `body` reads at most so many bytes, and is
    called for no others than those of a file. Raises Refusal, Forbidden, InvalidRequest,
    PayloadTooLarge, QuotaExceeded."""
    upload, commands = files.opened(app, token), _commands(headers)
    if commands == {"cancel"}:
        await files.abandon(app, upload)
        return Step("cancelled")
    if commands == {"query"}:
        return Step("active", await files.received(app, upload))
    if not commands or commands - {"upload", "finalize"}:
        raise Refusal(400, f"{_COMMAND} is start, upload, finalize, query or cancel.")
    most = files.MAX_BYTES if upload.size_bytes is None else upload.size_bytes
    data = await body(most) if "upload" in commands else b""
    offset = _number(headers, "x-goog-upload-offset")
    if offset is None or "upload" not in commands:
        offset = await files.received(app, upload)
    stored = await files.receive(app, upload, offset, data, last="finalize" in commands)
    return Step("active", stored) if isinstance(stored, int) else Step("final", file=stored)


async def listed(
    app: App, account_id: str, root: str, version: str, page: tuple[int, str]
) -> dict[str, Json]:
    """The uploaded files, as many as wanted after a token. Raises InvalidRequest."""
    length, token = page
    found = await files.listed(app, account_id, length, token or None)
    shown: list[Json] = [gemini_files.uploaded(file, root, version) for file in found.items]
    more: dict[str, Json] = {"nextPageToken": found.cursor} if found.cursor else {}
    return ({"files": shown} if shown else {}) | more


async def shown(
    app: App, account_id: str, file_id: str, root: str, version: str
) -> dict[str, Json]:
    """A file as JSON. Raises Refusal for what is not the account's."""
    batch = await google_batches.behind(app, account_id, file_id)
    if batch is not None:
        made_at = batch.completed_at or batch.created_at
        return gemini_files.results(batch.id, made_at, root, version)
    made = await _generated(app, account_id, file_id)
    if made is None:
        return gemini_files.uploaded(await _uploaded(app, account_id, file_id), root, version)
    return gemini_files.generated(made.image, made.made_at, root, version)


async def fetched(app: App, account_id: str, file_id: str) -> Blob:
    """The bytes of a picture that was made here; uploads are not given back. Raises Refusal."""
    made = await _generated(app, account_id, file_id)
    if made is None:
        await _uploaded(app, account_id, file_id)
        raise gemini_files.not_generated()
    blob = await app.storage.get(made.image.name)
    if blob is None:
        raise gemini_files.no_permission(file_id)
    return blob


async def forget(app: App, account_id: str, file_id: str) -> None:
    """Delete an uploaded file. Raises Refusal."""
    batch = await google_batches.behind(app, account_id, file_id)
    made = await _generated(app, account_id, file_id)
    if batch is not None or (made is not None and made.request_id is None):
        said = "What a batch brought stays with it."
        raise Refusal(400, said, status="FAILED_PRECONDITION")
    if made is not None:
        said = f"A generated file goes with its request: DELETE /account/requests/{made.request_id}"
        raise Refusal(400, said, status="FAILED_PRECONDITION")
    if not await files.delete(app, account_id, file_id):
        raise gemini_files.no_permission(file_id)


async def _uploaded(app: App, account_id: str, file_id: str) -> File:
    file = await files.find(app, account_id, file_id)
    if file is None:
        raise gemini_files.no_permission(file_id)
    return file


@dataclass(frozen=True)
class _Generated:
    """A picture that was made here, when, and by which request; None for a batch's item."""

    image: Image
    made_at: datetime
    request_id: str | None


async def _generated(app: App, account_id: str, file_id: str) -> _Generated | None:
    """The account's picture of that file id; None for the id of any other file. Raises Refusal."""
    image_id = gemini_files.image_of(file_id)
    request_id = names.request_of(image_id) if image_id else None
    if image_id is None or request_id is None:
        return None
    batch_id = names.batch_of(request_id)
    if batch_id is not None:
        return await _of_batch(app, account_id, batch_id, image_id)
    record = await app.records.request(account_id, request_id)
    images = record.images if record else ()
    image = next((image for image in images if image.id == image_id), None)
    if record is None or image is None:
        raise gemini_files.no_permission(file_id)
    return _Generated(image, record.completed_at or record.created_at, request_id)


async def _of_batch(app: App, account_id: str, batch_id: str, image_id: str) -> _Generated:
    """The picture of a batch's item, as storage knows it."""
    name = names.picture(image_id) or ""
    batch = await batches.find(app, account_id, batch_id)
    found = await app.storage.describe(name) if batch else None
    if batch is None or found is None:
        raise gemini_files.no_permission(gemini_files.file_of(image_id))
    image = Image(image_id, name, found.content_type, 0, 0, found.size_bytes, "")
    return _Generated(image, batch.completed_at or batch.created_at, None)


def _commands(headers: Mapping[str, str]) -> set[str]:
    said = headers.get(_COMMAND, "").lower()
    return {command.strip() for command in said.split(",")} - {""}


def _number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that is a count of bytes. Raises Refusal."""
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refusal(400, f"{name} is a number of bytes.")
    return int(text)
