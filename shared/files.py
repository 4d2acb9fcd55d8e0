"""Callers' files, kept for 48 hours under `files/<account>/<id>`, as Google's Files API does: sent
in chunks that any instance may take, since nothing but stored objects lies between two of them.

How they lie there: shared/file_objects.py. Facts: ai.google.dev/api/files and the upload client of
google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared import file_objects as objects
from shared import names
from shared.domain import IMAGE_TYPES
from shared.errors import Forbidden, InvalidRequest, PayloadTooLarge, QuotaExceeded
from shared.file_objects import Chunk, File
from shared.records import Page
from shared.storage import Storage

if TYPE_CHECKING:
    # The App's loader reads files.
    from shared.app import App

KEPT_FOR = objects.KEPT_FOR
UPLOAD_LIFE = timedelta(hours=24)
MAX_BYTES = 2 * 2**30
MAX_ACCOUNT_BYTES = 20 * 2**30
"""Of all an account has stored, unfinished uploads too: as at Google, for a project."""
MAX_NAME = 512
MAX_TYPE = 127
LEAST_CHUNK_BYTES = 256 * 2**10

_PURPOSE = "file upload"
_ANY_TYPE = "application/octet-stream"
_STARTS = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}


@dataclass(frozen=True)
class Upload:
    """A file on its way, as its upload's URL carries it. `size_bytes` is what was announced,
    `purpose` as a File's."""

    account_id: str
    file_id: str
    display_name: str
    mime_type: str
    size_bytes: int | None
    begun_at: datetime
    purpose: str = ""

    @property
    def folder(self) -> str:
        """The prefix of its chunks."""
        begun_us = objects.us_of(self.begun_at)
        return names.file_chunks(self.account_id, self.file_id, begun_us)


async def begin(
    app: App,
    account_id: str,
    *,
    file_id: str | None,
    display_name: str,
    mime_type: str,
    size_bytes: int | None,
) -> Upload:
    """Start an upload; nothing is stored yet. Without a `file_id` the file gets one.

    Raises InvalidRequest for an id that cannot be or is taken (`details.reason` is then
    "ALREADY_EXISTS"), a name or type that is too long, and more than MAX_BYTES; QuotaExceeded where
    the account has no room for that much.
    """
    if file_id is not None and not objects.ID.fullmatch(file_id):
        raise InvalidRequest("An id is 1 to 40 of a-z, 0-9 and inner dashes.", param="file.name")
    _check_text(display_name, MAX_NAME, "file.displayName")
    _check_text(mime_type, MAX_TYPE, "file.mimeType")
    if size_bytes is not None and not 0 <= size_bytes <= MAX_BYTES:
        raise InvalidRequest(f"A file has at most {MAX_BYTES} bytes.", param="file.sizeBytes")
    if file_id is not None and (kept := await objects.described(app.storage, account_id, file_id)):
        if kept.file.expires_at > app.clock():
            raise _taken(file_id)
        await objects.remove(app.storage, account_id, kept)
    found = await app.storage.list(names.files(account_id))
    _check_room(found, MAX_BYTES if size_bytes is None else size_bytes)
    new = file_id or app.new_id()[:12]
    return Upload(account_id, new, display_name, mime_type, size_bytes, app.clock())


def sealed(app: App, upload: Upload) -> str:
    """The upload as a token for URLs, which opens it for 24 hours."""
    said = vars(upload) | {"begun_at": objects.us_of(upload.begun_at)}
    return app.links.seal(_PURPOSE, json.dumps(said, ensure_ascii=False))


def opened(app: App, text: str) -> Upload:
    """The upload that `sealed` was given. Raises Forbidden for any other token, or too late."""
    said = json.loads(app.links.unseal(_PURPOSE, text))
    upload = Upload(**{**said, "begun_at": objects.at_of(said["begun_at"])})
    if upload.begun_at + UPLOAD_LIFE <= app.clock():
        raise Forbidden("This upload was begun more than a day ago. Start a new one.")
    return upload


async def receive(app: App, upload: Upload, offset: int, data: bytes, *, last: bool) -> File | int:
    """Store a chunk: the file once the `last` one is there, before it the bytes received so far.

    A chunk that is there already is stored once, and whatever is sent to an upload that is
    finished is answered with its file. The last chunk may be empty.

    Raises InvalidRequest for a chunk that does not follow the others, is too small, or ends the
    file before or after what was announced, and when another upload of this id was faster;
    PayloadTooLarge for more bytes than were announced or a file may have; QuotaExceeded where the
    account has no room for them; Forbidden once the file was deleted.
    """
    found = await _found(app.storage, upload)
    if names.file_description(upload.account_id, upload.file_id) in found:
        return await _finished(app.storage, upload)
    held, chunk = objects.in_folder(found, upload.folder), Chunk(offset, len(data))
    _check(upload, held, chunk, last)
    _check_room(found, 0 if chunk in held else chunk.length)
    known: Mapping[Chunk, bytes] = {}
    name = f"{upload.folder}{chunk.name}"
    if data and await app.storage.put(name, data, _ANY_TYPE, {}):
        known = {chunk: data}
    chain = objects.chain_of({*held, chunk})
    return await _finish(app, upload, chain, known) if last else objects.end_of(chain)


async def received(app: App, upload: Upload) -> int:
    """How many bytes of an upload are there, from the first without a gap. Raises Forbidden once
    the file was deleted."""
    held = objects.in_folder(await _found(app.storage, upload), upload.folder)
    return objects.end_of(objects.chain_of(held))


async def abandon(app: App, upload: Upload) -> None:
    """Forget what was sent. A file that is finished stays."""
    kept = await objects.described(app.storage, upload.account_id, upload.file_id)
    if kept is None or kept.folder != upload.folder:
        held = objects.in_folder(await app.storage.list(upload.folder), upload.folder)
        await objects.delete_chunks(app.storage, upload.folder, held)


async def find(app: App, account_id: str, file_id: str) -> File | None:
    """An account's file; None for what is not there, is another's, or has expired."""
    kept = await objects.live(app.storage, account_id, file_id, app.clock())
    return kept.file if kept else None


async def listed(app: App, account_id: str, limit: int, after: str | None) -> Page[File]:
    """An account's files, by id; `after` is the cursor of the page before. Raises InvalidRequest
    for a cursor that is none."""
    if after is not None and not objects.ID.fullmatch(after):
        raise InvalidRequest("This cursor is not one from a list here.", param="cursor")
    found = map(names.file_part, await app.storage.list(names.files(account_id)))
    ids = sorted(part.file_id for part in found if part and part.begun_us is None)
    left = [file_id for file_id in ids if after is None or file_id > after]
    files: list[File] = []
    while left and len(files) <= limit:
        some, left = left[: limit + 1], left[limit + 1 :]
        looked = await asyncio.gather(*(find(app, account_id, file_id) for file_id in some))
        files += [file for file in looked if file]
    cursor = files[limit - 1].id if len(files) > limit else None
    return Page(tuple(files[:limit]), cursor)


async def delete(app: App, account_id: str, file_id: str) -> bool:
    """Forget a file, for its upload too; False if there was none."""
    kept = await objects.live(app.storage, account_id, file_id, app.clock())
    if kept:
        await app.storage.put(names.file_deleted(kept.folder), b"", _ANY_TYPE, {})
        await objects.remove(app.storage, account_id, kept)
    return kept is not None


async def chunks(
    storage: Storage, account_id: str, file_id: str, now: datetime
) -> AsyncIterator[bytes]:
    """A file's bytes in order, as they were sent, one chunk in memory at once. Raises NotFound."""
    kept = await objects.live(storage, account_id, file_id, now)
    if kept is None:
        raise objects.missing()
    for chunk in kept.chunks:
        yield await objects.bytes_of(storage, kept.folder, chunk)


async def read(storage: Storage, account_id: str, file_id: str, most: int, now: datetime) -> bytes:
    """A file's bytes in one piece. Raises NotFound, and PayloadTooLarge for more than `most`."""
    kept = await objects.live(storage, account_id, file_id, now)
    if kept is None:
        raise objects.missing()
    if kept.file.size_bytes > most:
        raise PayloadTooLarge(f"The file has more than the {most} bytes that are taken here.")
    return b"".join([await objects.bytes_of(storage, kept.folder, chunk) for chunk in kept.chunks])


async def expire(app: App) -> None:
    """Delete every file that has expired and every upload left unfinished for as long."""
    storage, now = app.storage, app.clock()
    listed = [(name, names.file_part(name)) for name in await storage.list(names.FILES)]
    parts = {name: part for name, part in listed if part}
    live: set[str] = set()
    for part in parts.values():
        if part.begun_us is not None:
            continue
        kept = await objects.described(storage, part.account_id, part.file_id)
        if kept and kept.file.expires_at <= now:
            await objects.remove(storage, part.account_id, kept)
        elif kept:
            live |= {f"{kept.folder}{chunk.name}" for chunk in kept.chunks}
    for name, part in parts.items():
        begun_at = None if part.begun_us is None else objects.at_of(part.begun_us)
        if begun_at is not None and begun_at + KEPT_FOR <= now and name not in live:
            await storage.delete(name)


def _check_text(text: str, most: int, param: str) -> None:
    if len(text) > most or re.search(r"[\ud800-\udfff]", text):
        raise InvalidRequest(f"This is text of at most {most} characters.", param=param)


def _check_room(found: Iterable[str], more: int) -> None:
    """Raise unless an account with these objects may store so many bytes more."""
    if objects.bytes_in(found) + more > MAX_ACCOUNT_BYTES:
        raise QuotaExceeded(
            f"An account keeps at most {MAX_ACCOUNT_BYTES} bytes of files and uploads. Delete some "
            "files, or wait until their 48 hours are over."
        )


def _check(upload: Upload, held: frozenset[Chunk], chunk: Chunk, last: bool) -> None:
    """Raise unless the chunk goes on where the others end, or is one of them once more."""
    there, most = objects.end_of(objects.chain_of(held)), upload.size_bytes
    if chunk.offset != there and (chunk not in held or (last and chunk.end != there)):
        raise InvalidRequest(
            f"{there} bytes have been received: go on from there, not from {chunk.offset}.",
            param="x-goog-upload-offset",
        )
    if chunk.end > (MAX_BYTES if most is None else most):
        raise PayloadTooLarge("A file has at most 2 GiB, and no more than was announced.")
    if last and most is not None and chunk.end != most:
        raise InvalidRequest(
            f"{most} bytes were announced and {chunk.end} sent.",
            param="x-goog-upload-header-content-length",
        )
    if not last and chunk.length < LEAST_CHUNK_BYTES:
        raise InvalidRequest("Every chunk but the last has at least 256 KiB.", param="body")


async def _found(storage: Storage, upload: Upload) -> tuple[str, ...]:
    """The objects of an upload's account. Raises Forbidden if the upload's file was deleted."""
    found = await storage.list(names.files(upload.account_id))
    if names.file_deleted(upload.folder) in found:
        raise _deleted()
    return found


async def _finish(
    app: App, upload: Upload, chain: tuple[Chunk, ...], known: Mapping[Chunk, bytes]
) -> File:
    """Describe the file. `known` are the bytes at hand of what was stored just now."""
    digest, mime_type, folder = hashlib.sha256(), upload.mime_type, upload.folder
    for chunk in chain:
        data = known.get(chunk) or await objects.bytes_of(app.storage, folder, chunk)
        mime_type = mime_type or _sniffed(data)
        await asyncio.to_thread(digest.update, data)
    description = {
        "begun_us": objects.us_of(upload.begun_at),
        "created_us": objects.us_of(app.clock()),
        "chunks": [chunk.length for chunk in chain],
        "file": {
            "display_name": upload.display_name,
            "mime_type": mime_type or _ANY_TYPE,
            "sha256": digest.hexdigest(),
            "purpose": upload.purpose,
        },
    }
    name = names.file_description(upload.account_id, upload.file_id)
    data = json.dumps(description).encode()
    written = await app.storage.put(name, data, "application/json", {})
    if await app.storage.get(names.file_deleted(folder)):
        # Another instance finished it first, and then it was deleted.
        if written:
            await app.storage.delete(name)
        raise _deleted()
    return await _finished(app.storage, upload)


async def _finished(storage: Storage, upload: Upload) -> File:
    """The file of an upload, unless another one has taken its id."""
    kept = await objects.described(storage, upload.account_id, upload.file_id)
    if kept is None:
        raise objects.missing()
    if kept.folder != upload.folder:
        raise _taken(upload.file_id)
    return kept.file


def _sniffed(data: bytes) -> str:
    """A type by a file's first bytes."""
    kind = next((kind for kind, start in _STARTS.items() if data.startswith(start)), "")
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return IMAGE_TYPES.get("webp" if webp else kind, _ANY_TYPE)


def _taken(file_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is a file files/{file_id} already.",
        param="file.name",
        details={"reason": "ALREADY_EXISTS"},
    )


def _deleted() -> Forbidden:
    return Forbidden("The file of this upload was deleted. Start a new one.")
