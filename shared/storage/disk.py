"""Objects as files of a folder, for `make run`: one file an object, so that it is written, read and
removed whole. The labels follow the bytes: a stored picture still opens in any viewer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO
from uuid import uuid4

from shared.storage import (
    PIECE_BYTES,
    Blob,
    Described,
    Missing,
    Ticket,
    check_name,
    check_prefix,
)

_LENGTH_BYTES = 4
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Disk:
    """Satisfies `Storage` with `root`/objects/<name>. A file is the object's bytes, then its
    content type and labels as JSON, then that JSON's length in four bytes.

    A write is finished and flushed under another name first and then linked to its own, which the
    file system does once: of two writers one loses, and a process killed in between leaves no
    object, at most a file in `root`/unfinished. Every call of the system lets another thread in and
    waits for its turn again, so there are few.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._unfinished = root / "unfinished"

    async def put(
        self, name: str, data: bytes, content_type: str, labels: Mapping[str, str]
    ) -> bool:
        path = self._objects / check_name(name)
        return await asyncio.to_thread(self._write_once, path, data, _facts(content_type, labels))

    async def put_stream(
        self, name: str, pieces: AsyncIterator[bytes], content_type: str, labels: Mapping[str, str]
    ) -> bool:
        path = self._objects / check_name(name)
        if await asyncio.to_thread(path.is_file):
            return False
        draft = await asyncio.to_thread(self._draft)
        try:
            async for piece in pieces:
                await asyncio.to_thread(draft.write, piece)
            return await asyncio.to_thread(draft.finish, path, _facts(content_type, labels))
        finally:
            await asyncio.to_thread(draft.discard)

    async def get(self, name: str) -> Blob | None:
        return await asyncio.to_thread(_read, self._objects / check_name(name))

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        opened = await asyncio.to_thread(_opened, self._objects / check_name(name))
        if opened is None:
            raise Missing(name)
        file, described = opened
        try:
            left = described.size_bytes
            while left:
                piece = await asyncio.to_thread(file.read, min(left, PIECE_BYTES))
                left -= len(piece)
                yield piece
        finally:
            file.close()

    async def describe(self, name: str) -> Described | None:
        return await asyncio.to_thread(_described, self._objects / check_name(name))

    async def list(self, prefix: str) -> tuple[str, ...]:
        return await asyncio.to_thread(self._names, check_prefix(prefix))

    async def delete(self, name: str) -> None:
        path = self._objects / check_name(name)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def ticket(
        self,
        name: str,
        content_type: str,
        labels: Mapping[str, str],
        max_bytes: int,
        life: timedelta,
    ) -> Ticket | None:
        return None

    async def close(self) -> None:
        return None

    def _write_once(self, path: Path, data: bytes, facts: bytes) -> bool:
        draft = self._draft()
        try:
            draft.write(data)
            return draft.finish(path, facts)
        finally:
            draft.discard()

    def _draft(self) -> _Draft:
        path = self._unfinished / uuid4().hex
        try:
            return _Draft(path, os.open(path, _NEW, 0o666))
        except FileNotFoundError:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            return _Draft(path, os.open(path, _NEW, 0o666))

    def _names(self, prefix: str) -> tuple[str, ...]:
        folder = self._objects / prefix.rpartition("/")[0]
        names = (
            (Path(parent) / file).relative_to(self._objects).as_posix()
            for parent, _, files in os.walk(folder)
            for file in files
        )
        return tuple(sorted(name for name in names if name.startswith(prefix)))


@dataclass(frozen=True)
class _Draft:
    """A file on its way to its name, open as `file`."""

    path: Path
    file: int

    def write(self, data: bytes) -> None:
        """Go on with it."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.file, rest) :]

    def finish(self, path: Path, facts: bytes) -> bool:
        """Give it its facts and its name; False if another has that."""
        self.write(facts)
        os.fsync(self.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self.path, path)
        except FileExistsError:
            return False
        _flush(path.parent)
        return True

    def discard(self) -> None:
        """Forget it under the name it was written by."""
        os.close(self.file)
        self.path.unlink(missing_ok=True)


def _facts(content_type: str, labels: Mapping[str, str]) -> bytes:
    """What follows an object's bytes."""
    facts = json.dumps({"content_type": content_type, "labels": dict(labels)}).encode()
    return facts + len(facts).to_bytes(_LENGTH_BYTES, "big")


def _opened(path: Path) -> tuple[IO[bytes], Described] | None:
    """A file, at the first of its object's bytes, and what it says of them."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    end = file.seek(-_LENGTH_BYTES, os.SEEK_END)
    size_bytes = end - int.from_bytes(file.read(), "big")
    file.seek(size_bytes)
    facts = json.loads(file.read(end - size_bytes))
    file.seek(0)
    written_ns = os.fstat(file.fileno()).st_mtime_ns
    generation = str(written_ns)
    return file, Described(size_bytes, facts["content_type"], facts["labels"], generation)


def _read(path: Path) -> Blob | None:
    opened = _opened(path)
    if opened is None:
        return None
    file, described = opened
    with file:
        data = file.read(described.size_bytes)
    return Blob(data, described.content_type, described.labels)


def _described(path: Path) -> Described | None:
    opened = _opened(path)
    if opened is None:
        return None
    file, described = opened
    file.close()
    return described


def _flush(folder: Path) -> None:
    # A new name survives a power cut only once its folder is flushed too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
