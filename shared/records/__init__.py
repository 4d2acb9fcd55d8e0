"""Where requests, accounts and money are written down. Two backends satisfy `Records`:
`firestore` and `sqlite`; one contract suite runs on both.

A request is admitted with one `look` (a batched read) and one `begin` (an atomic write guarded by
the versions that were read), and ended with one `finish` (an atomic write guarded by the record's
version that touches shards by increments alone). `admission` drives them, and has those of one
account share a `begin` that come at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from shared.batch_domain import Batch, Delivered
from shared.domain import (
    Account,
    ApiKey,
    Entry,
    Limits,
    Notice,
    NoticeState,
    Operation,
    Record,
    Status,
    UsageRow,
)
from shared.ledger import Posting, Reservation, Standing
from shared.pacing import Meter

T = TypeVar("T")


class Stale(Exception):
    """Something that was read has changed since: look again."""


class HoldEnded(Exception):
    """The record is no longer running as it was read: its hold has been settled or released."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Part of a list, newest first. `cursor` continues it; None at its end."""

    items: tuple[T, ...]
    cursor: str | None = None


@dataclass(frozen=True)
class RequestFilter:
    """Which requests to list; None is any."""

    status: Status | None = None
    operation: Operation | None = None
    model: str | None = None
    idempotency_key: str | None = None


class Records(Protocol):
    """The backend's contract. Looking at or changing an unknown account raises NotFound, its lists
    are empty; a cursor not made here is InvalidRequest; creating what exists is ValueError."""

    async def create_account(self, account: Account) -> None:
        """Add an account with an empty wallet of `account.shards` shards, 1 to MAX_SHARDS."""

    async def account(self, account_id: str) -> Account | None: ...

    async def accounts(self) -> Sequence[Account]:
        """Every account, by name."""

    async def set_limits(self, account_id: str, limits: Limits) -> None: ...

    async def create_key(self, key: ApiKey) -> None: ...

    async def key(self, key_hash: str) -> ApiKey | None: ...

    async def keys(self, account_id: str) -> Sequence[ApiKey]: ...

    async def revoke_key(self, key_id: str, at: datetime) -> None:
        """Raises NotFound for a key that does not exist."""

    async def grant(self, entry: Entry) -> None:
        """Add credit: a `grant` entry with `grant_id` and `expires_at`, split over the shards.
        The same entry id twice is one grant."""

    async def look(self, account_id: str, request_id: str | None) -> Standing:
        """The account, its wallet and the request under that id, as of one moment."""

    async def look_for(
        self, account_id: str, request_ids: Sequence[str | None]
    ) -> Sequence[Standing]:
        """A standing for each of several requests, all as of one moment."""

    async def begin(self, held: Sequence[tuple[Record, Reservation]]) -> Sequence[Record]:
        """Write open records of one account with their holds, each decided on what the one before
        left, all or nothing; returns them with their versions. Raises Stale when something was
        taken from a guarded shard since it was read, or an id is taken by now, and may when
        something was given back; ValueError for what cannot be stored."""

    async def advance(self, record: Record) -> Record:
        """Replace an open record by its next state, which is open too. Raises Stale when it has
        changed since it was read."""

    async def note(self, record: Record, notice: Notice | None = None) -> Record:
        """Write a record that ended before anything was held for it, and the notice of it; the
        stored one, and nothing written, if its id is taken."""

    async def finish(
        self, record: Record, posting: Posting, notice: Notice | None = None
    ) -> Record:
        """Replace an open record by its end and apply the posting: credit, quotas, a `charge`
        entry if it succeeded, the day's usage; and write the notice of it. Raises HoldEnded when
        it ended before, or has changed since it was read."""

    async def request(self, account_id: str, request_id: str) -> Record | None:
        """A request of that account; None for another's, an unknown or a deleted one."""

    async def requests(
        self, account_id: str, where: RequestFilter, limit: int, cursor: str | None
    ) -> Page[Record]: ...

    async def made_before(self, account_id: str, cache_key: str) -> Record | None:
        """A late one of the account's requests that succeeded with that cache key."""

    async def delete_request(self, record: Record) -> None:
        """Forget what an ended request said and made. Its id stays taken and its charge posted.
        Raises Stale when it has changed since it was read, ValueError while it runs."""

    async def overdue(self, before: datetime, limit: int) -> Sequence[Record]:
        """Open records whose `lease_until` is before that time, oldest first."""

    async def begin_batch(self, batch: Batch, reservation: Reservation) -> Batch:
        """Write a new batch with its hold, as `begin` does a record."""

    async def batch(self, account_id: str, batch_id: str) -> Batch | None:
        """A batch of that account; None for another's or an unknown one."""

    async def batches(
        self, account_id: str, surface: str | None, limit: int, cursor: str | None
    ) -> Page[Batch]: ...

    async def advance_batch(
        self, batch: Batch, delivered: Delivered | None = None, notice: Notice | None = None
    ) -> Batch:
        """Replace an open batch by its next state, or its end; apply what was delivered: the piece
        of the hold goes, with a `charge` entry `chg_<batch>_<key>` where something is charged, and
        the usage; and write the notice. All or nothing. Raises Stale when it has changed since it
        was read."""

    async def note_batch(self, batch: Batch, notice: Notice | None = None) -> Batch:
        """Write a batch that ended before anything was held for it, and the notice of it; the
        stored one, and nothing written, if its id is taken."""

    async def due_batches(self, before: datetime, limit: int) -> Sequence[Batch]:
        """Open batches, of all accounts, whose `due_at` is before that time, oldest first."""

    async def notice(self, notice_id: str, at: datetime | None = None) -> Notice | None:
        """A notice; None for one that has expired at that time. Who has just written one leaves
        the time out."""

    async def update_notice(self, notice: Notice) -> Notice:
        """Replace a notice. Raises Stale when it has changed since it was read."""

    async def due_notices(self, before: datetime, limit: int) -> Sequence[Notice]:
        """Notices in state "due" whose `due_at` is before that time, oldest first."""

    async def notices(
        self, state: NoticeState, limit: int, at: datetime | None = None
    ) -> Sequence[Notice]:
        """Notices of all accounts in that state, oldest first by `due_at`, without those that have
        expired at that time. What has ended lives for `documents.NOTICE_LIFE`, and is deleted some
        time later."""

    async def entries(self, account_id: str, limit: int, cursor: str | None) -> Page[Entry]: ...

    async def usage(self, account_id: str, first_day: str, last_day: str) -> Sequence[UsageRow]:
        """Daily totals between two UTC days, both included, by day, model and provider."""

    async def meter(self, provider_id: str) -> Meter:
        """A provider account's meter, empty if it was never written."""

    async def put_meter(self, provider_id: str, meter: Meter) -> None:
        """Replace a meter, or begin one that has no version. Raises Stale when another version
        than the meter's is stored."""

    async def close(self) -> None: ...
