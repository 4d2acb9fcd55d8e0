"""Where pictures lie. Two backends satisfy `Storage`: `gcs` and `disk`; one contract suite runs on
both. An object is written once: a second write of the same name changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol


@dataclass(frozen=True)
class Blob:
    """An object read back. `labels` are the few words stored beside it."""

    data: bytes = field(repr=False)
    content_type: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Described:
    """What is known of an object without reading it. `generation` is another one for every object
    that ever had its name."""

    size_bytes: int
    content_type: str
    labels: Mapping[str, str]
    generation: str


@dataclass(frozen=True)
class Ticket:
    """Leave to PUT one object's bytes: to `url`, with exactly these headers."""

    url: str
    headers: Mapping[str, str]


class BadName(ValueError):
    """A name or prefix that no object can have: a fault of the code that made it."""


class Missing(LookupError):
    """There is no object of that name, or it went while it was read."""


def check_name(name: str) -> str:
    """The name, if it is a relative path of letters, digits, dots, hyphens and underscores of at
    most 512 characters with no step up. Raises BadName."""
    if len(name) > 512 or not _NAME.fullmatch(name):
        raise BadName(f"not an object name: {name[:100]!r}")
    return name


def check_prefix(prefix: str) -> str:
    """The prefix, if some name could start with it; "" is any. Raises BadName."""
    if prefix:
        check_name(prefix.removesuffix("/"))
    return prefix


PIECE_BYTES = 4 * 2**20
"""Of a large object, what is in memory at once."""
_NAME = re.compile(r"(?!\.{1,2}(/|$))[\w.-]{1,200}(/(?!\.{1,2}(/|$))[\w.-]{1,200})*", re.ASCII)


class Storage(Protocol):
    """The backend's contract. Names are relative paths of plain characters; another raises BadName.
    No name is the folder of another. Labels are ASCII, their keys in lower case."""

    async def put(
        self, name: str, data: bytes, content_type: str, labels: Mapping[str, str]
    ) -> bool:
        """Write an object that does not exist yet; False, and nothing written, if it does."""

    async def put_stream(
        self, name: str, pieces: AsyncIterator[bytes], content_type: str, labels: Mapping[str, str]
    ) -> bool:
        """As `put`, of an object that is never whole in memory. Whatever `pieces` raises is raised,
        and nothing is written then; they are not read where the object exists."""

    async def get(self, name: str) -> Blob | None: ...

    def stream(self, name: str) -> AsyncIterator[bytes]:
        """An object's bytes in order, at most PIECE_BYTES at once; nothing for an empty one. Raises
        Missing, with the first piece or later."""

    async def describe(self, name: str) -> Described | None: ...

    async def list(self, prefix: str) -> tuple[str, ...]:
        """The names under a prefix, in order."""

    async def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""

    async def ticket(
        self,
        name: str,
        content_type: str,
        labels: Mapping[str, str],
        max_bytes: int,
        life: timedelta,
    ) -> Ticket | None:
        """Leave to upload straight to the backend; None where bytes have to come through us."""

    async def close(self) -> None: ...
