"""The nouns of batches, frozen, beside those of shared/domain.py: money is integer micro-dollars,
times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.domain import Hold, Json, Problem, UsageRow

BatchStatus = Literal[
    "accepted", "running", "collecting", "succeeded", "failed", "cancelled", "expired"
]
Mode = Literal["provider", "fanout"]
"""How a batch's items are made: by a provider's batch API, or one call each."""


@dataclass(frozen=True)
class Group:
    """The items of a batch that go the same way: made by `route` in a provider's batches, or one
    call each (`mode` "fanout", whose route is only the first choice). They lie in `chunks` objects,
    of which the first `sent` have been handed over, and of the next the items before the one at
    place `low` of the batch; `rests` counts the pauses taken in a row."""

    mode: Mode
    route: str
    items: int
    chunks: int
    sent: int = 0
    low: int = 0
    rests: int = 0
    rest_until: datetime | None = None


@dataclass(frozen=True)
class Job:
    """A provider's batch, made of the items at the places `low` to `high` (excluded) of the batch
    that lie in the chunks `first` to `last` (excluded) of a group.

    It is "sending" until its `token` is known, then "running", then "ended" and its results are
    collected: file number `file`, from byte `offset` on, whose end is asked for `again` where items
    are missing. "closed" is its end; `outcome` says what
    the provider called it."""

    group: int
    first: int
    last: int
    state: Literal["sending", "running", "ended", "closed"]
    name: str
    low: int = 0
    high: int = 2**31
    token: str = ""
    look_at: datetime | None = None
    file: int = 0
    offset: int = 0
    again: bool = False
    outcome: Literal["", "succeeded", "failed", "cancelled", "expired"] = ""


@dataclass(frozen=True)
class Counts:
    """How many items a batch has, and how many of them have ended how."""

    total: int
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """Items that have a result."""
        return self.succeeded + self.failed + self.cancelled


@dataclass(frozen=True)
class Batch:
    """Many requests as one job. Its items and results lie in storage as JSONL; here are its state
    and counters.

    `intake` names the folder of its items. `hold` is what is still held for items without a
    result, `held_micros` what was at first, `listed_micros` the price estimated. `done` has a bit
    for each item that has a result, packed; `results` names the result objects, in order. While
    somebody works on it `worker` says who, and `due_at` until when; else `due_at` is when somebody
    has to look again. `surface`, `fingerprint`, `traceparent` and `version` are as a Record's.
    """

    id: str
    account_id: str
    key_id: str
    status: BatchStatus
    mode: Literal["auto", "provider", "fanout"]
    fingerprint: str
    sandbox: bool
    hold: Hold
    held_micros: int
    listed_micros: int
    counts: Counts
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    intake: str = ""
    groups: tuple[Group, ...] = ()
    jobs: tuple[Job, ...] = ()
    done: str = ""
    results: tuple[str, ...] = ()
    model: str | None = None
    charged_micros: int = 0
    cancelling: bool = False
    worker: str | None = None
    idempotency_key: str | None = None
    surface: str = "native"
    wire: Mapping[str, Json] = field(default_factory=dict)
    """What a surface has to say of it again: the vendor's own fields."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str | None = None
    traceparent: str | None = None
    error: Problem | None = None
    completed_at: datetime | None = None
    deleted: bool = False
    version: str = ""

    @property
    def open(self) -> bool:
        """Whether it has not ended yet."""
        return self.completed_at is None


@dataclass(frozen=True)
class Delivered:
    """What a chunk of a batch's items came to, and when: `piece` is the part of the hold that ends
    with them, of which `charged_micros` are charged, under an entry that follows from `key`;
    `usage` are the rows of the day."""

    key: str
    at: datetime
    piece: Hold
    charged_micros: int
    usage: tuple[UsageRow, ...] = ()
