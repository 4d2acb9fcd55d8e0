"""Where the sandbox keeps what outlives a call: uploaded files, batches, and marks on them. A shelf
holds bytes by name; names are paths of letters, digits, dots and dashes, such as "google/files/x".
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

MOST_BYTES = 512 * 2**20
MOST_ENTRIES = 16_384
SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})*")


class Shelf(Protocol):
    """Bytes by name, each written once. Thread-safe."""

    def put(self, name: str, data: bytes) -> bool:
        """Keep them; False, and nothing done, if the name is taken."""

    def get(self, name: str) -> bytes | None:
        """What was put there; None if nothing was."""

    def list(self, folder: str) -> tuple[str, ...]:
        """The names that begin with `folder`, which ends with a slash, oldest first."""

    def delete(self, name: str) -> None:
        """Forget it, if it is there."""


class Memory:
    """A shelf that ends with the process; the oldest entries make room for new ones."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_entries: int = MOST_ENTRIES) -> None:
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes) -> bool:
        with self._lock:
            if name in self._entries:
                return False
            self._entries[name] = data
            self._bytes += len(data)
            while len(self._entries) > 1 and (
                self._bytes > self._most_bytes or len(self._entries) > self._most_entries
            ):
                self._bytes -= len(self._entries.popitem(last=False)[1])
            return True

    def get(self, name: str) -> bytes | None:
        with self._lock:
            return self._entries.get(name)

    def list(self, folder: str) -> tuple[str, ...]:
        with self._lock:
            return tuple(name for name in self._entries if name.startswith(folder))

    def delete(self, name: str) -> None:
        with self._lock:
            self._bytes -= len(self._entries.pop(name, b""))


class Folder:
    """A shelf in a folder, one file an entry, which several processes may share. A file is written
    under another name and then linked to its own: a process killed in between leaves no entry."""

    def __init__(self, root: Path) -> None:
        self._entries = root / "entries"
        self._unfinished = root / "unfinished"
        self._entries.mkdir(parents=True, exist_ok=True)
        self._unfinished.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes) -> bool:
        """As the protocol says. Raises ValueError for a name that is none."""
        path = self._path(name)
        if path is None:
            raise ValueError(f"{name[:200]!r} is no name of an entry")
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._unfinished / secrets.token_hex(16)
        try:
            draft.write_bytes(data)
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def get(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            return path.read_bytes() if path else None
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def list(self, folder: str) -> tuple[str, ...]:
        path = self._path(folder.removesuffix("/"))
        found = []
        for entry in path.iterdir() if path is not None and path.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                found.append((entry.stat().st_mtime_ns, entry.name))
        return tuple(f"{folder}{name}" for _, name in sorted(found))

    def delete(self, name: str) -> None:
        path = self._path(name)
        if path is not None:
            path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path | None:
        # Names are made of what callers put into addresses.
        return self._entries / name if SAFE.fullmatch(name) else None


class Contents:
    """The bytes of uploaded files on a shelf, apart from what is told of the files: a batch goes on
    using them when the file is gone."""

    def __init__(self, shelf: Shelf, provider: str) -> None:
        self._shelf = shelf
        self._provider = provider

    def keep(self, data: bytes) -> str:
        """Put them there; answers the name to find them by."""
        name = secrets.token_hex(16)
        self._shelf.put(f"{self._provider}/contents/{name}", data)
        return name

    def read(self, name: str) -> bytes | None:
        """The bytes of that name."""
        return self._shelf.get(f"{self._provider}/contents/{name}")

    def use(self, name: str, batch_id: str) -> None:
        """Keep them for a batch."""
        self._shelf.put(f"{self._provider}/used/{name}/{batch_id}", b"")

    def release(self, name: str, batch_id: str) -> None:
        """Keep them no longer for a batch."""
        self._shelf.delete(f"{self._provider}/used/{name}/{batch_id}")

    def drop(self, name: str) -> None:
        """Forget them, unless a batch uses them."""
        if not self._shelf.list(f"{self._provider}/used/{name}/"):
            self._shelf.delete(f"{self._provider}/contents/{name}")
