"""Objects as files of a folder, for `make run`: one file an object, so that it is written, read and
removed whole. The labels follow the bytes: a stored picture still opens in any viewer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from shared.storage import Blob, Ticket, check_name, check_prefix

_LENGTH_BYTES = 4


class Disk:
    """Satisfies `Storage` with `root`/objects/<name>. A file is the object's bytes, then its
    content type and labels as JSON, then that JSON's length in four bytes.

    A write is finished and flushed under another name first and then linked to its own, which the
    file system does once: of two writers one loses, and a process killed in between leaves no
    object, at most a file in `root`/unfinished.
    """

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._unfinished = root / "unfinished"

    async def put(
        self, name: str, data: bytes, content_type: str, labels: Mapping[str, str]
    ) -> bool:
        path = self._objects / check_name(name)
        facts = json.dumps({"content_type": content_type, "labels": dict(labels)}).encode()
        content = data + facts + len(facts).to_bytes(_LENGTH_BYTES, "big")
        return await asyncio.to_thread(self._write_once, path, content)

    async def get(self, name: str) -> Blob | None:
        return await asyncio.to_thread(_read, self._objects / check_name(name))

    async def list(self, prefix: str) -> tuple[str, ...]:
        return await asyncio.to_thread(self._names, check_prefix(prefix))

    async def delete(self, name: str) -> None:
        path = self._objects / check_name(name)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def ticket(
        self, name: str, content_type: str, max_bytes: int, life: timedelta
    ) -> Ticket | None:
        return None

    async def close(self) -> None:
        return None

    def _write_once(self, path: Path, content: bytes) -> bool:
        if path.is_file():
            return False
        self._unfinished.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._unfinished / uuid4().hex
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        _flush(path.parent)
        return True

    def _names(self, prefix: str) -> tuple[str, ...]:
        folder = self._objects / prefix.rpartition("/")[0]
        names = (
            (Path(parent) / file).relative_to(self._objects).as_posix()
            for parent, _, files in os.walk(folder)
            for file in files
        )
        return tuple(sorted(name for name in names if name.startswith(prefix)))


def _read(path: Path) -> Blob | None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    end = len(content) - _LENGTH_BYTES
    start = end - int.from_bytes(content[end:], "big")
    facts = json.loads(content[start:end])
    return Blob(content[:start], facts["content_type"], facts["labels"])


def _flush(folder: Path) -> None:
    # A new name survives a power cut only once its folder is flushed too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
