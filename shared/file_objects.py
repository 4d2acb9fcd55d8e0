"""Callers' files as objects in storage: the layout that shared/files.py goes by.

A file's chunks are objects `<begun>/<offset>-<length>` below its own prefix, `begun` being when its
upload did, so that two uploads of one id never mix. Its description, `file.json`, is written last
and once: it names the chunks, and until then there is no file. After its deletion there is
`<begun>/deleted`, so that its upload does not bring it back.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from shared import names
from shared.errors import NotFound
from shared.storage import Storage

KEPT_FOR = timedelta(hours=48)
ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
"""What a file can be called."""

_CHUNK = re.compile(r"([0-9]{12})-([0-9]{12})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    """A file that is all there. `sha256` is in hex; it is gone at `expires_at`. `purpose` is what
    its caller said it is for, "" for nothing."""

    id: str
    display_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    expires_at: datetime
    purpose: str = ""


@dataclass(frozen=True, order=True)
class Chunk:
    """Some bytes of a file, by the first one's place in it."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The place of the byte after it."""
        return self.offset + self.length

    @property
    def name(self) -> str:
        """What its object is called in the folder of its upload."""
        return f"{self.offset:012d}-{self.length:012d}"


@dataclass(frozen=True)
class Kept:
    """A file and where it lies: the folder of its upload, and the chunks there."""

    file: File
    folder: str
    chunks: tuple[Chunk, ...]


def chain_of(held: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The chunks that lead from the first byte as far as any do. Some may overlap: one that was
    given up on and sent again cut otherwise can still arrive."""
    before: dict[int, Chunk] = {}
    for chunk in sorted(held):
        if chunk.length and (chunk.offset == 0 or chunk.offset in before):
            before.setdefault(chunk.end, chunk)
    chain: list[Chunk] = []
    at = max(before, default=0)
    while at:
        chain.append(before[at])
        at = before[at].offset
    return tuple(reversed(chain))


def end_of(chain: tuple[Chunk, ...]) -> int:
    """How many bytes a chain has."""
    return chain[-1].end if chain else 0


async def live(storage: Storage, account_id: str, file_id: str, now: datetime) -> Kept | None:
    """A file that has not expired."""
    kept = await described(storage, account_id, file_id)
    return kept if kept and kept.file.expires_at > now else None


async def described(storage: Storage, account_id: str, file_id: str) -> Kept | None:
    """A file by its description, expired or not."""
    if not ID.fullmatch(file_id):
        return None
    blob = await storage.get(names.file_description(account_id, file_id))
    if blob is None:
        return None
    said = json.loads(blob.data)
    lengths, created_at = said["chunks"], at_of(said["created_us"])
    file = File(
        id=file_id,
        size_bytes=sum(lengths),
        created_at=created_at,
        expires_at=created_at + KEPT_FOR,
        **said["file"],
    )
    folder = names.file_chunks(account_id, file_id, said["begun_us"])
    return Kept(file, folder, tuple(map(Chunk, accumulate(lengths, initial=0), lengths)))


async def bytes_of(storage: Storage, folder: str, chunk: Chunk) -> bytes:
    """A chunk's bytes. Raises NotFound."""
    blob = await storage.get(f"{folder}{chunk.name}")
    if blob is None:
        raise missing()
    return blob.data


async def remove(storage: Storage, account_id: str, kept: Kept) -> None:
    """Delete a file's objects."""
    # The description first: whatever happens in between, there is no file without its bytes.
    await storage.delete(names.file_description(account_id, kept.file.id))
    await delete_chunks(storage, kept.folder, kept.chunks)


async def delete_chunks(storage: Storage, folder: str, chunks: Iterable[Chunk]) -> None:
    """Delete chunks of one upload."""
    await asyncio.gather(*(storage.delete(f"{folder}{chunk.name}") for chunk in chunks))


def in_folder(objects: Iterable[str], folder: str) -> frozenset[Chunk]:
    """The chunks among objects that are those of one upload."""
    matches = [_CHUNK.fullmatch(name, len(folder)) for name in objects if name.startswith(folder)]
    return frozenset(Chunk(int(match[1]), int(match[2])) for match in matches if match)


def bytes_in(objects: Iterable[str]) -> int:
    """What the chunks among objects have together."""
    return sum(part.length for part in map(names.file_part, objects) if part)


def us_of(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def at_of(us: int) -> datetime:
    """The time of so many microseconds."""
    return _EPOCH + timedelta(microseconds=us)


def missing() -> NotFound:
    """The error for a file that is not there, or no longer whole."""
    return NotFound("You have no file of this id: it was deleted, or its 48 hours are over.")
