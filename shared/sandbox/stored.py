"""A shelf in the team's own storage, which every instance shares: in the cloud a test key's batch
is handed over by one and looked at by another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from shared.storage import Storage

T = TypeVar("T")

LOOP: ContextVar[asyncio.AbstractEventLoop] = ContextVar("LOOP")
"""The loop of whoever waits for the sandbox, whose worker thread this is called in."""
_FOLDER = "sandbox/"
_TYPE = "application/octet-stream"


class Stored:
    """Satisfies `Shelf`, under the prefix `sandbox/`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def put(self, name: str, data: bytes) -> bool:
        return _wait(self._storage.put(_FOLDER + name, data, _TYPE, {}))

    def get(self, name: str) -> bytes | None:
        blob = _wait(self._storage.get(_FOLDER + name))
        return blob.data if blob else None

    def list(self, folder: str) -> tuple[str, ...]:
        found = _wait(self._storage.list(_FOLDER + folder))
        return tuple(name.removeprefix(_FOLDER) for name in found)

    def delete(self, name: str) -> None:
        _wait(self._storage.delete(_FOLDER + name))


def _wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, LOOP.get()).result()
