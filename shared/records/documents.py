"""The nouns as flat documents of plain values, and back: what both backends store.

Times are datetimes on the way out; on the way back ISO 8601 text is taken too. What nobody queries
of a request, a batch or a notice is one JSON text, `body`: callers' own names and nested lists then
meet no rule of a database. Fields that a newer version wrote are passed over.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from shared.batch_domain import Batch, Counts, Delivered, Group, Job
from shared.domain import (
    Account,
    ApiKey,
    Attempt,
    Entry,
    Hold,
    Image,
    Limits,
    Notice,
    Part,
    Problem,
    Quote,
    Record,
    Task,
    Usage,
    UsageRow,
)
from shared.errors import InvalidRequest
from shared.ledger import Lot, Posting, Reservation, Shard, day_of, split
from shared.pacing import Meter
from shared.records import Page

T = TypeVar("T")
Document = Mapping[str, Any]

_OF_RECORD = (
    "id",
    "account_id",
    "status",
    "operation",
    "model",
    "idempotency_key",
    "created_at",
    "lease_until",
    "deleted",
)
_OF_BATCH = ("id", "account_id", "surface", "open", "created_at", "due_at")
_OF_NOTICE = ("id", "state", "due_at")
NOTICE_LIFE = timedelta(days=30)
"""How long a webhook that has ended is kept, from when its next try would have come."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_ORJSON = orjson.OPT_PASSTHROUGH_DATETIME


def from_account(account: Account) -> Document:
    return {**_plainly(account), "limits": _plainly(account.limits)}


def to_account(document: Document) -> Account:
    return _known(
        Account,
        {
            **document,
            "created_at": _time(document["created_at"]),
            "limits": _known(Limits, document["limits"]),
        },
    )


def from_key(key: ApiKey) -> Document:
    return _plainly(key)


def to_key(document: Document) -> ApiKey:
    times = {name: _time(document[name]) for name in ("created_at", "revoked_at")}
    return _known(ApiKey, {**document, **times, "test": bool(document["test"])})


def from_entry(entry: Entry) -> Document:
    return _plainly(entry)


def to_entry(document: Document) -> Entry:
    times = {name: _time(document[name]) for name in ("at", "expires_at")}
    return _known(Entry, {**document, **times})


def from_shard(shard: Shard) -> Document:
    """Without its index and version, which the backend keeps in its own way."""
    lots = {grant: _plainly(lot) for grant, lot in shard.lots.items()}
    document = {**_plainly(shard), "lots": lots, "spent": dict(shard.spent)}
    del document["index"], document["version"]
    return document


def to_shard(document: Document, index: int, version: str) -> Shard:
    lots = {
        grant: Lot(lot["micros"], _time(lot["expires_at"]))
        for grant, lot in document["lots"].items()
    }
    return _known(Shard, {**document, "lots": lots, "index": index, "version": version})


def from_meter(meter: Meter) -> Document:
    """Without its version, which the backend keeps in its own way."""
    document = _plainly(meter)
    del document["version"]
    return document


def to_meter(document: Document, version: str) -> Meter:
    calls = tuple(_time(call) for call in document["calls"])
    return _known(Meter, {**document, "calls": calls, "version": version})


def from_record(record: Record) -> Document:
    """The fields that are queried, and `body` with the others."""
    return _packed(record, _OF_RECORD)


def to_record(document: Document, version: str) -> Record:
    body = json.loads(document["body"])
    task = body.get("task")
    read = {
        **_queried(document, _OF_RECORD),
        **body,
        "deleted": bool(document["deleted"]),
        "quote": _known(Quote, body["quote"]),
        "hold": _hold(body["hold"]),
        "images": tuple(_known(Image, image) for image in body["images"]),
        "usage": _known(Usage, body["usage"]),
        "attempts": tuple(_known(Attempt, attempt) for attempt in body["attempts"]),
        "task": _known(Task, {**task, "began_at": _time(task["began_at"])}) if task else None,
        "error": _problem(body["error"]),
        "completed_at": _time(body["completed_at"]),
        "version": version,
    }
    return _known(Record, read)


def from_batch(batch: Batch) -> Document:
    """The fields that are queried, and `body` with the others."""
    return _packed(batch, _OF_BATCH)


def to_batch(document: Document, version: str) -> Batch:
    body = json.loads(document["body"])
    groups = ({**group, "rest_until": _time(group["rest_until"])} for group in body["groups"])
    jobs = ({**job, "look_at": _time(job["look_at"])} for job in body["jobs"])
    read = {
        **_queried(document, _OF_BATCH),
        **body,
        "hold": _hold(body["hold"]),
        "counts": _known(Counts, body["counts"]),
        "expires_at": _time(body["expires_at"]),
        "groups": tuple(_known(Group, group) for group in groups),
        "jobs": tuple(_known(Job, job) for job in jobs),
        "results": tuple(body["results"]),
        "error": _problem(body["error"]),
        "completed_at": _time(body["completed_at"]),
        "version": version,
    }
    return _known(Batch, read)


def from_notice(notice: Notice) -> Document:
    """The fields that are queried, and `body` with the others."""
    return _packed(notice, _OF_NOTICE)


def to_notice(document: Document, version: str) -> Notice:
    body = json.loads(document["body"])
    read = {**_queried(document, _OF_NOTICE), **body, "created_at": _time(body["created_at"])}
    return _known(Notice, {**read, "version": version})


def expiry_of(notice: Notice) -> datetime | None:
    """When a webhook that has ended is forgotten; None while it is due."""
    return None if notice.state == "due" else notice.due_at + NOTICE_LIFE


def expired(notice: Notice, at: datetime | None) -> bool:
    """Whether a webhook is forgotten at that time; None is before all expiry."""
    expires_at = expiry_of(notice)
    return at is not None and expires_at is not None and expires_at <= at


def check_open(record: Record) -> None:
    """Raises ValueError for a record that has ended: its hold has to end with it."""
    if not record.open:
        raise ValueError(f"{record.id} has ended")


def check_ended(ended: Record | Batch) -> None:
    """Raises ValueError for what has not ended or holds credit: that has to be begun."""
    if ended.open or ended.hold.micros:
        raise ValueError(f"{ended.id} has not ended, or holds credit")


def tombstone(record: Record) -> Record:
    """What stays of a deleted request. Raises ValueError while its hold is open."""
    if record.open:
        raise ValueError(f"{record.id} has not ended")
    return replace(
        record,
        prompt="",
        parameters={},
        metadata={},
        images=(),
        text=None,
        turn=None,
        cache_key=None,
        deleted=True,
    )


def granted(entry: Entry, shards: int) -> tuple[Lot, ...]:
    """A grant's lots, by shard. Raises ValueError for an entry that is no grant."""
    if entry.kind != "grant" or not entry.grant_id or not entry.expires_at or entry.micros < 0:
        raise ValueError(f"{entry.id} is no grant")
    return tuple(Lot(share, entry.expires_at) for share in split(entry.micros, shards))


def expiries(begun: Record | Batch, reservation: Reservation) -> tuple[Entry, ...]:
    """The ledger's lines for credit that admitting something found expired, one a grant."""
    micros: dict[str, int] = {}
    for expired in reservation.expired:
        micros[expired.grant_id] = micros.get(expired.grant_id, 0) + expired.micros
    return tuple(
        Entry(
            id=f"exp_{secrets.token_hex(10)}",
            account_id=begun.account_id,
            kind="expiry",
            micros=-lost,
            at=begun.created_at,
            grant_id=grant_id,
        )
        for grant_id, lost in micros.items()
    )


def charge(record: Record, posting: Posting) -> Entry | None:
    """The ledger's line for a request that succeeded, under an id that follows from the
    request's."""
    if record.status != "succeeded":
        if posting.charged_micros:
            raise ValueError(f"{record.id} did not succeed and cannot be charged")
        return None
    return Entry(
        id=f"chg_{record.id.removeprefix('req_')}",
        account_id=record.account_id,
        kind="charge",
        micros=-posting.charged_micros,
        at=ended_at(record),
        request_id=record.id,
    )


def batch_charge(batch: Batch, delivered: Delivered) -> Entry | None:
    """The ledger's line for a chunk of a batch, under an id that follows from both; None where it
    is charged nothing."""
    if not delivered.charged_micros:
        return None
    return Entry(
        id=f"chg_{batch.id.removeprefix('bat_')}_{delivered.key}",
        account_id=batch.account_id,
        kind="charge",
        micros=-delivered.charged_micros,
        at=delivered.at,
        request_id=batch.id,
    )


def ended_at(record: Record) -> datetime:
    """When a record ended. Raises ValueError while it has not."""
    if record.completed_at is None:
        raise ValueError(f"{record.id} has not ended")
    return record.completed_at


def usage_of(record: Record, posting: Posting) -> UsageRow:
    """What a request that succeeded adds to its day."""
    return UsageRow(
        day=day_of(ended_at(record)),
        model=record.model,
        provider=record.provider or "unknown",
        requests=1,
        images=len(record.images),
        micros=posting.charged_micros,
    )


def page(found: Sequence[T], limit: int, place: Callable[[T], tuple[datetime, str]]) -> Page[T]:
    """The first `limit` of what was found, one more than that having been looked for."""
    items = tuple(found[:limit])
    return Page(items, to_cursor(*place(items[-1])) if len(found) > limit else None)


def to_cursor(at: datetime, item_id: str) -> str:
    """Where a list newest first goes on: after this item."""
    return base64.urlsafe_b64encode(to_json([at, item_id]).encode()).decode()


def from_cursor(cursor: str) -> tuple[datetime, str]:
    """The time and id of the last item before. Raises InvalidRequest."""
    try:
        at, item_id = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        at = datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise _bad_cursor() from error
    if not isinstance(item_id, str) or not item_id.isprintable():
        raise _bad_cursor()
    return at, item_id


def to_json(value: object) -> str:
    """JSON text that is valid UTF-8 whatever a caller sent."""
    try:
        return orjson.dumps(value, default=_plain, option=_ORJSON).decode()
    except TypeError:
        # It takes neither lone surrogates nor integers of more than 64 bits.
        text = json.dumps(value, default=_plain, ensure_ascii=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return dict(value)
    return vars(value)


def iso(at: datetime) -> str:
    """UTC and of one length, so that the order of the texts is that of the times."""
    at = at if at.tzinfo is UTC else at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")


def _time(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _packed(noun: Record | Batch | Notice, queried: Sequence[str]) -> Document:
    body = _plainly(noun)
    for name in (*queried, "version"):
        body.pop(name, None)
    return {**{name: getattr(noun, name) for name in queried}, "body": to_json(body)}


def _plainly(noun: object) -> dict[str, Any]:
    """A noun's fields as they are."""
    return dict(vars(noun))


def _queried(document: Document, names: Sequence[str]) -> Document:
    times = ("created_at", "lease_until", "due_at")
    return {n: _time(document[n]) if n in times else document[n] for n in names}


def _problem(document: Document | None) -> Problem | None:
    return _known(Problem, document) if document else None


def _hold(document: Document) -> Hold:
    parts = tuple(
        _known(Part, {**part, "expires_at": _time(part["expires_at"])})
        for part in document["parts"]
    )
    return _known(Hold, {**document, "parts": parts})


@functools.cache
def _names(cls: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(cls))


def _known(cls: type[T], values: Document) -> T:
    names = _names(cls)  # type: ignore[arg-type] # mypy: a type is not Hashable
    if not values.keys() <= names:
        values = {name: value for name, value in values.items() if name in names}
    return cls(**values)


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest("This cursor is not one from a list here.", param="cursor")
