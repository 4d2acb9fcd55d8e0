"""What a batch is made of: an item on its way in, and the result of one on its way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.domain import Caller, Image, ImageRequest, Json, Problem, Usage

Parse = Callable[[bytes], "Item"]
"""A line of the caller's JSONL as an item. Raises InvalidRequest naming the field."""


@dataclass(frozen=True)
class Item:
    """One request of a batch, under a name that its caller gave it."""

    custom_id: str
    request: ImageRequest


@dataclass(frozen=True)
class BatchAsk:
    """What an entry point read of a batch: its JSONL in pieces of any size, how its lines are
    understood, and the SHA-256 that recognises the same one again. `wire` is what its surface has
    to say of it later."""

    caller: Caller
    source: AsyncIterator[bytes]
    parse: Parse
    fingerprint: str
    mode: Literal["auto", "provider", "fanout"] = "auto"
    model: str | None = None
    webhook_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    surface: str = "native"
    wire: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemResult:
    """How an item ended, as it is kept: `index` is its place in the batch, from 0, and `n` how
    many pictures were asked for."""

    index: int
    custom_id: str
    status: Literal["succeeded", "failed", "cancelled"]
    n: int = 1
    images: tuple[Image, ...] = ()
    text: str | None = None
    charged_micros: int = 0
    usage: Usage = Usage()
    model: str = ""
    provider: str | None = None
    error: Problem | None = None
