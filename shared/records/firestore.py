"""Records in Firestore. A request is admitted with one BatchGetDocuments and one Commit and ended
with one Commit: no transactions, whose locks collapse under contention, but preconditions and
increments (cloud.google.com/firestore/docs/manage-data/transactions-and-batched-writes, 2026-11).
A provider's meter is read with one call and written with one Commit.

    accounts/{id}                 accounts/{id}/shards/{index}     keys/{SHA-256 of the key}
    accounts/{id}/entries/{id}    accounts/{id}/usage/{day}-{n}    requests/{id}    providers/{id}
    batches/{id}                  notices/{id}

A version is the document's update time. `writer` is fresh in every guarded write: it tells a write
whose answer was lost from another's, and gives a shard that stays as it was a new version, which
Firestore grants only to a write that changes something.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from google.api_core import exceptions
from google.cloud.firestore import FieldFilter, Increment

from shared.domain import Account, ApiKey, Entry, Limits, Notice, Record, UsageRow
from shared.errors import NotFound
from shared.groups import Groups
from shared.ledger import MAX_SHARDS, Reservation, Shard, Standing
from shared.pacing import Meter
from shared.records import Page, RequestFilter, Stale, documents
from shared.records.firestore_batches import FirestoreBatches
from shared.records.firestore_database import READ, Conflict, version_of
from shared.records.firestore_ends import FirestoreEnds, changes_of, document_of
from shared.records.firestore_ledger import path

INDEXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "requests": (
        ("account_id", "deleted", "created_at desc"),
        ("account_id", "deleted", "status", "created_at desc"),
        ("account_id", "deleted", "operation", "created_at desc"),
        ("account_id", "deleted", "model", "created_at desc"),
        ("account_id", "deleted", "idempotency_key", "created_at desc"),
        ("account_id", "deleted", "cache_key", "created_at desc"),
        ("status", "lease_until"),
    ),
    "batches": (
        ("account_id", "created_at desc"),
        ("account_id", "surface", "created_at desc"),
        ("open", "due_at"),
    ),
    "notices": (("state", "due_at"),),
}
"""The composite indexes that the queries here need, by collection; several filters at once merge
them. The emulator does not ask for them, production does."""

UNINDEXED: Mapping[str, tuple[str, ...]] = {
    "batches": ("body", "created_at", "due_at", "writer"),
    "entries": ("account_id", "expires_at", "grant_id", "id", "kind", "micros", "request_id"),
    "notices": ("body", "due_at", "expires_at", "writer"),
    "providers": (
        "calls",
        "free_day",
        "free_day_count",
        "free_minute",
        "free_minute_count",
        "spent_day",
        "spent_micros",
        "writer",
    ),
    "requests": (
        "account_id",
        "body",
        "cache_key",
        "created_at",
        "deleted",
        "id",
        "idempotency_key",
        "lease_until",
        "model",
        "operation",
        "status",
        "writer",
    ),
    "shards": (
        "day",
        "day_count",
        "held",
        "lots",
        "minute",
        "minute_count",
        "running",
        "spent",
        "writer",
    ),
    "usage": ("rows",),
}
"""Fields to exempt from single-field indexes, by collection group: large ones; times that only
rise, whose index would hold the whole collection to 500 writes a second; and where every request
writes (`entries`, `providers`, `requests`, `shards`), all that no query asks for by itself, for
each costs two index entries a document. Composite indexes do not need the single ones."""

TTL: Mapping[str, str] = {"notices": "expires_at"}
"""The field, by collection group, at whose time Firestore deletes a document. Nothing else may
carry a policy: entries, for one, have an `expires_at` that is the credit's, not theirs."""

_MOST_LOOKS = 100


class Firestore(FirestoreBatches, FirestoreEnds):
    """`Records` in one database of one project (None: the environment's own). It connects at the
    first call, to the emulator where FIRESTORE_EMULATOR_HOST names one.

    Looks at one account that come while another is under way share the next one."""

    @cached_property
    def _looks(self) -> Groups[tuple[str, str | None], Standing]:
        return Groups(self._looked, _MOST_LOOKS)

    async def create_account(self, account: Account) -> None:
        if not 1 <= account.shards <= MAX_SHARDS:
            raise ValueError(f"an account has 1 to {MAX_SHARDS} shards, not {account.shards}")
        writes = self._client.batch()
        writes.create(self._account_ref(account.id), documents.from_account(account))
        for index in range(account.shards):
            writes.create(self._shard_ref(account.id, index), documents.from_shard(Shard(index)))
        try:
            await writes.commit()
        except exceptions.AlreadyExists as error:
            raise ValueError(f"there is an account {account.id} already") from error

    async def account(self, account_id: str) -> Account | None:
        found = await self._account_ref(account_id).get(**READ)
        return documents.to_account(found.to_dict()) if found.exists else None

    async def accounts(self) -> Sequence[Account]:
        found = await self._client.collection("accounts").get(**READ)
        accounts = [documents.to_account(one.to_dict()) for one in found]
        return sorted(accounts, key=lambda account: (account.name, account.id))

    async def set_limits(self, account_id: str, limits: Limits) -> None:
        try:
            await self._account_ref(account_id).update({"limits": vars(limits)})
        except exceptions.NotFound as error:
            raise _no_account(account_id) from error

    async def create_key(self, key: ApiKey) -> None:
        await self._known(key.account_id)
        ref = self._ref("keys", key.key_hash)
        try:
            await ref.create(documents.from_key(key))
        except exceptions.AlreadyExists as error:
            raise ValueError(f"the key {key.id} is stored already") from error

    async def key(self, key_hash: str) -> ApiKey | None:
        found = await self._ref("keys", key_hash).get(**READ)
        return documents.to_key(found.to_dict()) if found.exists else None

    async def keys(self, account_id: str) -> Sequence[ApiKey]:
        found = await self._where(self._client.collection("keys"), account_id=account_id).get(
            **READ
        )
        keys = [documents.to_key(one.to_dict()) for one in found]
        return sorted(keys, key=lambda key: (key.created_at, key.id))

    async def revoke_key(self, key_id: str, at: datetime) -> None:
        found = await self._where(self._client.collection("keys"), id=key_id).limit(1).get(**READ)
        if not found:
            raise NotFound(f"There is no key {key_id}.")
        if found[0].get("revoked_at") is None:
            await found[0].reference.update({"revoked_at": at})

    async def grant(self, entry: Entry) -> None:
        account = await self._known(entry.account_id)
        writes = self._client.batch()
        self._enter(writes, entry)
        for index, lot in enumerate(documents.granted(entry, account.shards)):
            lots = {
                path("lots", entry.grant_id, "micros"): Increment(lot.micros),
                path("lots", entry.grant_id, "expires_at"): lot.expires_at,
            }
            writes.update(self._shard_ref(account.id, index), lots)
        try:
            await writes.commit()
        except exceptions.AlreadyExists:
            return

    async def look(self, account_id: str, request_id: str | None) -> Standing:
        return await self._looks.ask(account_id, (account_id, request_id))

    async def _looked(
        self, asked: Sequence[tuple[str, str | None]], late: bool
    ) -> Sequence[Standing]:
        return await self.look_for(asked[0][0], [request_id for _, request_id in asked])

    async def look_for(
        self, account_id: str, request_ids: Sequence[str | None]
    ) -> Sequence[Standing]:
        # Every shard there could be: their number is not known before the account is read, and
        # a second round trip costs more than reading documents that do not exist.
        refs = [self._account_ref(account_id)]
        refs += [self._shard_ref(account_id, index) for index in range(MAX_SHARDS)]
        requests = {name: self._request_ref(name) for name in request_ids if name}
        found = await self._found([*refs, *requests.values()])
        if refs[0].path not in found:
            raise _no_account(account_id)
        account = documents.to_account(found[refs[0].path].to_dict())
        shards = tuple(
            documents.to_shard(found[ref.path].to_dict(), index, version_of(found[ref.path]))
            for index, ref in enumerate(refs[1 : 1 + account.shards])
        )
        stored = {name: found.get(ref.path) for name, ref in requests.items()}
        records = {name: _to_record(one) for name, one in stored.items() if one}
        return [Standing(account, shards, records.get(name or "")) for name in request_ids]

    async def begin(self, held: Sequence[tuple[Record, Reservation]]) -> Sequence[Record]:
        created = [(self._request_ref(record.id), document_of(record)) for record, _ in held]
        versions = await self._begun(held[0][0].account_id, created, held)
        begun = zip(held, versions, strict=True)
        return [replace(record, version=version) for (record, _), version in begun]

    async def advance(self, record: Record) -> Record:
        documents.check_open(record)
        ref, document = self._request_ref(record.id), changes_of(record)
        try:
            return replace(record, version=await self._written(ref, document, record.version))
        except Conflict as error:
            raise Stale from error

    async def note(self, record: Record, notice: Notice | None = None) -> Record:
        documents.check_ended(record)
        ref, also = self._request_ref(record.id), partial(self._put_notice, notice=notice)
        try:
            version = await self._written(ref, document_of(record), also=also)
            return replace(record, version=version)
        except Conflict:
            return _to_record(await ref.get(**READ))

    async def request(self, account_id: str, request_id: str) -> Record | None:
        found = await self._request_ref(request_id).get(**READ)
        record = _to_record(found) if found.exists else None
        return record if record and record.account_id == account_id and not record.deleted else None

    async def requests(
        self, account_id: str, where: RequestFilter, limit: int, cursor: str | None
    ) -> Page[Record]:
        wanted = {name: value for name, value in vars(where).items() if value is not None}
        collection = self._client.collection("requests")
        query = self._where(collection, account_id=account_id, deleted=False, **wanted)
        found = await self._newest(query, collection, "created_at", limit, cursor)
        records = [_to_record(one) for one in found]
        return documents.page(records, limit, lambda record: (record.created_at, record.id))

    async def made_before(self, account_id: str, cache_key: str) -> Record | None:
        wanted = {"account_id": account_id, "cache_key": cache_key}
        requests = self._client.collection("requests")
        query = self._where(requests, **wanted, status="succeeded", deleted=False)
        found = await self._newest(query, requests, "created_at", 1, None)
        return _to_record(found[0]) if found else None

    async def delete_request(self, record: Record) -> None:
        ref, document = self._request_ref(record.id), changes_of(documents.tombstone(record))
        try:
            await self._written(ref, document, record.version)
        except Conflict as error:
            found = await ref.get(**READ)
            if not found.exists or not found.get("deleted"):
                raise Stale from error

    async def overdue(self, before: datetime, limit: int) -> Sequence[Record]:
        requests = self._client.collection("requests")
        unended = requests.where(filter=FieldFilter("status", "in", ["queued", "running"]))
        late = unended.where(filter=FieldFilter("lease_until", "<", before))
        found = await late.order_by("lease_until").limit(limit).get(**READ)
        return [_to_record(one) for one in found]

    async def entries(self, account_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        collection = self._account_ref(account_id).collection("entries")
        found = await self._newest(collection, collection, "at", limit, cursor)
        entries = [documents.to_entry(one.to_dict()) for one in found]
        return documents.page(entries, limit, lambda entry: (entry.at, entry.id))

    async def usage(self, account_id: str, first_day: str, last_day: str) -> Sequence[UsageRow]:
        days = self._account_ref(account_id).collection("usage")
        since = days.where(filter=FieldFilter("day", ">=", first_day))
        found = await since.where(filter=FieldFilter("day", "<=", last_day)).get(**READ)
        sums: dict[tuple[str, str, str], Counter[str]] = {}
        for day in (one.to_dict() for one in found):
            for model, providers in day["rows"].items():
                for provider, counts in providers.items():
                    key = (day["day"], model, provider)
                    sums.setdefault(key, Counter()).update(counts)
        return [
            UsageRow(*key, counts["requests"], counts["images"], counts["micros"])
            for key, counts in sorted(sums.items())
        ]

    async def meter(self, provider_id: str) -> Meter:
        found = await self._meter_ref(provider_id).get(**READ)
        return documents.to_meter(found.to_dict(), version_of(found)) if found.exists else Meter()

    async def put_meter(self, provider_id: str, meter: Meter) -> None:
        ref, document = self._meter_ref(provider_id), documents.from_meter(meter)
        try:
            await self._written(ref, document, meter.version or None)
        except Conflict as error:
            raise Stale from error

    async def _known(self, account_id: str) -> Account:
        account = await self.account(account_id)
        if account is None:
            raise _no_account(account_id)
        return account

    def _meter_ref(self, provider_id: str) -> Any:
        return self._ref("providers", provider_id)


def _to_record(snapshot: Any) -> Record:
    return documents.to_record(snapshot.to_dict(), version_of(snapshot))


def _no_account(account_id: str) -> NotFound:
    return NotFound(f"There is no account {account_id}.")
