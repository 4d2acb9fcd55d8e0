"""What is made or imported at its first use and not when a process starts: few functions use all of
it, and Google's clients alone take half a second to import."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from threading import Lock
from types import ModuleType
from typing import Protocol, TypeVar, cast


class Closing(Protocol):
    """Whatever is let go of in the end."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closing)


def deferred(make: Callable[[], C]) -> C:
    """What `make` returns, which is called once, at the first use of anything of it but `close`.
    What was never made is not closed either. Thread-safe."""
    return cast("C", _Deferred(make))


def module(name: str) -> ModuleType:
    """The module of that name, which is imported at the first use of anything in it."""
    return cast("ModuleType", _Module(name))


class _Module:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self._name), name)


class _Deferred:
    def __init__(self, make: Callable[[], Closing]) -> None:
        self._make = make
        self._made: Closing | None = None
        self._making = Lock()

    def __getattr__(self, name: str) -> object:
        with self._making:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()
