"""Callers' files, kept for 48 hours under `files/<account>/<id>`, as Google's Files API does: sent
in chunks that any instance may take, since nothing but stored objects lies between two of them.

A file's chunks are objects `<begun>/<offset>-<length>` below its own prefix, `begun` being when its
upload did, so that two uploads of one id never mix. Its description, `file.json`, is written last
and once: it names the chunks, and until then there is no file. Facts: ai.google.dev/api/files and
the upload client of google-genai 3.4.0, 2026-10.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from shared import names
from shared.domain import IMAGE_TYPES
from shared.errors import Forbidden, InvalidRequest, NotFound, PayloadTooLarge
from shared.records import Page
from shared.storage import Storage

if TYPE_CHECKING:
    # The App's loader reads files.
    from shared.app import App

KEPT_FOR = timedelta(hours=48)
UPLOAD_LIFE = timedelta(hours=24)
MAX_BYTES = 2 * 2**30
MAX_NAME = 512
MAX_TYPE = 127
LEAST_CHUNK_BYTES = 256 * 2**10

_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_PURPOSE = "file upload"
_ANY_TYPE = "application/octet-stream"
_CHUNK = re.compile(r"([0-9]{12})-([0-9]{12})", re.ASCII)
_STARTS = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    """A file that is all there. `sha256` is in hex; it is gone at `expires_at`."""

    id: str
    display_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Upload:
    """A file on its way, as its upload's URL carries it. `size_bytes` is what was announced."""

    account_id: str
    file_id: str
    display_name: str
    mime_type: str
    size_bytes: int | None
    begun_at: datetime


@dataclass(frozen=True, order=True)
class _Chunk:
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def name(self) -> str:
        return f"{self.offset:012d}-{self.length:012d}"


@dataclass(frozen=True)
class _Kept:
    """A file and where it lies: the folder of its upload, and the chunks there."""

    file: File
    folder: str
    chunks: tuple[_Chunk, ...]


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
    "ALREADY_EXISTS"), a name or type that is too long, and more than MAX_BYTES.
    """
    if file_id is not None and not _ID.fullmatch(file_id):
        raise InvalidRequest("An id is 1 to 40 of a-z, 0-9 and inner dashes.", param="file.name")
    _check_text(display_name, MAX_NAME, "file.displayName")
    _check_text(mime_type, MAX_TYPE, "file.mimeType")
    if size_bytes is not None and not 0 <= size_bytes <= MAX_BYTES:
        raise InvalidRequest(f"A file has at most {MAX_BYTES} bytes.", param="file.sizeBytes")
    if file_id is not None and (kept := await _kept(app.storage, account_id, file_id)):
        if kept.file.expires_at > app.clock():
            raise _taken(file_id)
        await _remove(app.storage, account_id, kept)
    new = file_id or app.new_id()[:12]
    return Upload(account_id, new, display_name, mime_type, size_bytes, app.clock())


def sealed(app: App, upload: Upload) -> str:
    """The upload as a token for URLs, which opens it for 24 hours."""
    said = vars(upload) | {"begun_at": _us(upload.begun_at)}
    return app.links.seal(_PURPOSE, json.dumps(said, ensure_ascii=False))


def opened(app: App, text: str) -> Upload:
    """The upload that `sealed` was given. Raises Forbidden for any other token, or too late."""
    said = json.loads(app.links.unseal(_PURPOSE, text))
    upload = Upload(**{**said, "begun_at": _at(said["begun_at"])})
    if upload.begun_at + UPLOAD_LIFE <= app.clock():
        raise Forbidden("This upload was begun more than a day ago. Start a new one.")
    return upload


async def receive(app: App, upload: Upload, offset: int, data: bytes, *, last: bool) -> File | int:
    """Store a chunk: the file once the `last` one is there, before it the bytes received so far.

    A chunk that is there already is stored once, and whatever is sent to an upload that is
    finished is answered with its file. The last chunk may be empty.

    Raises InvalidRequest for a chunk that does not follow the others, is too small, or ends the
    file before or after what was announced, and when another upload of this id was faster;
    PayloadTooLarge for more bytes than were announced or a file may have.
    """
    held, described = await _held(app.storage, upload)
    if described:
        return await _finished(app.storage, upload)
    chunk = _Chunk(offset, len(data))
    _check(upload, held, chunk, last)
    known: Mapping[_Chunk, bytes] = {}
    name = f"{_folder(upload)}{chunk.name}"
    if data and await app.storage.put(name, data, _ANY_TYPE, {}):
        known = {chunk: data}
    chain = _chain({*held, chunk})
    return await _finish(app, upload, chain, known) if last else _end(chain)


async def received(app: App, upload: Upload) -> int:
    """How many bytes of an upload are there, from the first without a gap."""
    return _end(_chain((await _held(app.storage, upload))[0]))


async def abandon(app: App, upload: Upload) -> None:
    """Forget what was sent. A file that is finished stays."""
    held, described = await _held(app.storage, upload)
    kept = await _kept(app.storage, upload.account_id, upload.file_id) if described else None
    if kept is None or kept.folder != _folder(upload):
        await _delete(app.storage, _folder(upload), held)


async def find(app: App, account_id: str, file_id: str) -> File | None:
    """An account's file; None for what is not there, is another's, or has expired."""
    kept = await _live(app.storage, account_id, file_id, app.clock())
    return kept.file if kept else None


async def listed(app: App, account_id: str, limit: int, after: str | None) -> Page[File]:
    """An account's files, by id; `after` is the cursor of the page before. Raises InvalidRequest
    for a cursor that is none."""
    if after is not None and not _ID.fullmatch(after):
        raise InvalidRequest("This cursor is not one from a list here.", param="cursor")
    found = map(names.file_part, await app.storage.list(names.files(account_id)))
    ids = sorted(part[1] for part in found if part and part[2] is None)
    left = [file_id for file_id in ids if after is None or file_id > after]
    files: list[File] = []
    while left and len(files) <= limit:
        some, left = left[: limit + 1], left[limit + 1 :]
        looked = await asyncio.gather(*(find(app, account_id, file_id) for file_id in some))
        files += [file for file in looked if file]
    cursor = files[limit - 1].id if len(files) > limit else None
    return Page(tuple(files[:limit]), cursor)


async def delete(app: App, account_id: str, file_id: str) -> bool:
    """Forget a file; False if there was none."""
    kept = await _live(app.storage, account_id, file_id, app.clock())
    if kept:
        await _remove(app.storage, account_id, kept)
    return kept is not None


async def chunks(
    storage: Storage, account_id: str, file_id: str, now: datetime
) -> AsyncIterator[bytes]:
    """A file's bytes in order, as they were sent, one chunk in memory at once. Raises NotFound."""
    kept = await _live(storage, account_id, file_id, now)
    if kept is None:
        raise _missing()
    for chunk in kept.chunks:
        yield await _bytes(storage, kept.folder, chunk)


async def read(storage: Storage, account_id: str, file_id: str, most: int, now: datetime) -> bytes:
    """A file's bytes in one piece. Raises NotFound, and PayloadTooLarge for more than `most`."""
    kept = await _live(storage, account_id, file_id, now)
    if kept is None:
        raise _missing()
    if kept.file.size_bytes > most:
        raise PayloadTooLarge(f"The file has more than the {most} bytes that are taken here.")
    return b"".join([await _bytes(storage, kept.folder, chunk) for chunk in kept.chunks])


async def expire(app: App) -> None:
    """Delete every file that has expired and every upload left unfinished for as long."""
    storage, now = app.storage, app.clock()
    listed = [(name, names.file_part(name)) for name in await storage.list(names.FILES)]
    parts = {name: part for name, part in listed if part}
    live: set[str] = set()
    for account_id, file_id, begun_us in parts.values():
        kept = await _kept(storage, account_id, file_id) if begun_us is None else None
        if kept and kept.file.expires_at <= now:
            await _remove(storage, account_id, kept)
        elif kept:
            live |= {f"{kept.folder}{chunk.name}" for chunk in kept.chunks}
    for name, (_, _, begun_us) in parts.items():
        if begun_us is not None and _at(begun_us) + KEPT_FOR <= now and name not in live:
            await storage.delete(name)


def _check_text(text: str, most: int, param: str) -> None:
    if len(text) > most or re.search(r"[\ud800-\udfff]", text):
        raise InvalidRequest(f"This is text of at most {most} characters.", param=param)


def _check(upload: Upload, held: frozenset[_Chunk], chunk: _Chunk, last: bool) -> None:
    """Raise unless the chunk goes on where the others end, or is one of them once more."""
    there, most = _end(_chain(held)), upload.size_bytes
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


async def _held(storage: Storage, upload: Upload) -> tuple[frozenset[_Chunk], bool]:
    """What is there of an upload, and whether there is a file of its id already."""
    folder = _folder(upload)
    found = await storage.list(names.file(upload.account_id, upload.file_id))
    matches = [_CHUNK.fullmatch(name, len(folder)) for name in found if name.startswith(folder)]
    held = frozenset(_Chunk(int(match[1]), int(match[2])) for match in matches if match)
    return held, names.file_description(upload.account_id, upload.file_id) in found


def _chain(held: Iterable[_Chunk]) -> tuple[_Chunk, ...]:
    """The chunks that lead from the first byte as far as any do. Some may overlap: one that was
    given up on and sent again cut otherwise can still arrive."""
    before: dict[int, _Chunk] = {}
    for chunk in sorted(held):
        if chunk.length and (chunk.offset == 0 or chunk.offset in before):
            before.setdefault(chunk.end, chunk)
    chain: list[_Chunk] = []
    at = max(before, default=0)
    while at:
        chain.append(before[at])
        at = before[at].offset
    return tuple(reversed(chain))


def _end(chain: tuple[_Chunk, ...]) -> int:
    return chain[-1].end if chain else 0


async def _finish(
    app: App, upload: Upload, chain: tuple[_Chunk, ...], known: Mapping[_Chunk, bytes]
) -> File:
    """Describe the file. `known` are the bytes at hand of what was stored just now."""
    digest, mime_type, folder = hashlib.sha256(), upload.mime_type, _folder(upload)
    for chunk in chain:
        data = known.get(chunk) or await _bytes(app.storage, folder, chunk)
        mime_type = mime_type or _sniffed(data)
        await asyncio.to_thread(digest.update, data)
    description = {
        "begun_us": _us(upload.begun_at),
        "created_us": _us(app.clock()),
        "chunks": [chunk.length for chunk in chain],
        "file": {
            "display_name": upload.display_name,
            "mime_type": mime_type or _ANY_TYPE,
            "sha256": digest.hexdigest(),
        },
    }
    name = names.file_description(upload.account_id, upload.file_id)
    await app.storage.put(name, json.dumps(description).encode(), "application/json", {})
    return await _finished(app.storage, upload)


async def _finished(storage: Storage, upload: Upload) -> File:
    """The file of an upload, unless another one has taken its id."""
    kept = await _kept(storage, upload.account_id, upload.file_id)
    if kept is None:
        raise _missing()
    if kept.folder != _folder(upload):
        raise _taken(upload.file_id)
    return kept.file


async def _live(storage: Storage, account_id: str, file_id: str, now: datetime) -> _Kept | None:
    kept = await _kept(storage, account_id, file_id)
    return kept if kept and kept.file.expires_at > now else None


async def _kept(storage: Storage, account_id: str, file_id: str) -> _Kept | None:
    """A file by its description, expired or not."""
    if not _ID.fullmatch(file_id):
        return None
    blob = await storage.get(names.file_description(account_id, file_id))
    if blob is None:
        return None
    said = json.loads(blob.data)
    lengths, created_at = said["chunks"], _at(said["created_us"])
    file = File(
        id=file_id,
        size_bytes=sum(lengths),
        created_at=created_at,
        expires_at=created_at + KEPT_FOR,
        **said["file"],
    )
    folder = names.file_chunks(account_id, file_id, said["begun_us"])
    return _Kept(file, folder, tuple(map(_Chunk, accumulate(lengths, initial=0), lengths)))


async def _bytes(storage: Storage, folder: str, chunk: _Chunk) -> bytes:
    blob = await storage.get(f"{folder}{chunk.name}")
    if blob is None:
        raise _missing()
    return blob.data


async def _remove(storage: Storage, account_id: str, kept: _Kept) -> None:
    # The description first: whatever happens in between, there is no file without its bytes.
    await storage.delete(names.file_description(account_id, kept.file.id))
    await _delete(storage, kept.folder, kept.chunks)


async def _delete(storage: Storage, folder: str, chunks: Iterable[_Chunk]) -> None:
    await asyncio.gather(*(storage.delete(f"{folder}{chunk.name}") for chunk in chunks))


def _folder(upload: Upload) -> str:
    return names.file_chunks(upload.account_id, upload.file_id, _us(upload.begun_at))


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _at(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


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


def _missing() -> NotFound:
    return NotFound("You have no file of this id: it was deleted, or its 48 hours are over.")
