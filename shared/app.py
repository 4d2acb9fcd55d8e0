"""The composition root: settings in, a working App out. The only place that knows the concrete
backends, and imports each only when it is the one chosen; Google's clients, half a second, at their
first use."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random
from time import monotonic
from typing import Any, TypeVar

import httpx

from shared import blocklist, log, memory
from shared.accounts import Accounts
from shared.admission import Admission
from shared.batch_transport import BatchTransport
from shared.blocklist import Blocklist
from shared.breaker import Breaker
from shared.catalogue import Catalogue, load
from shared.connections import Connections
from shared.deferred import C, deferred
from shared.domain import Caller
from shared.endpoints import Endpoints
from shared.events import Event, Events
from shared.exchange import MAX_PICTURE_BYTES, Exchange
from shared.fetch import Fetcher, Resolve, system_resolve
from shared.ledger import MAX_SHARDS
from shared.links import Links
from shared.oauth import ServiceAccount
from shared.pacer import Pacer
from shared.records import Records
from shared.repeats import Tries
from shared.sandbox import InProcess, Sandbox
from shared.sandbox.shelf import Folder, Shelf
from shared.sandbox.stored import Stored
from shared.settings import BadSettings, Settings
from shared.sources import Loader
from shared.storage import Storage
from shared.transport import Transport

T = TypeVar("T")
Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]
_BURST = 8
"""Of requests at once, what leaves more memory behind than is worth keeping."""
_SENT_AFTER_S = 1.0
_PICTURE_S = 60.0
"""How long a picture that a provider only points to may take."""


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def new_id() -> str:
    """130 random bits in 26 letters: ids are never in order, so no index gets a hot end."""
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]


@dataclass
class App:
    """Everything a request needs, built once a process. Tests put in their own clock, ids and
    sleep."""

    settings: Settings
    catalogue: Catalogue
    records: Records
    storage: Storage
    events: Events
    transport: Transport
    batch_transport: BatchTransport
    accounts: Accounts
    admission: Admission
    fetcher: Fetcher
    links: Links
    blocklist: Blocklist
    clock: Clock = utc_now
    new_id: Callable[[], str] = new_id
    sleep: Sleep = asyncio.sleep
    random: Random = field(default_factory=Random)
    tries: Tries = field(default_factory=Tries)
    intakes: dict[str, asyncio.Lock] = field(default_factory=dict)
    """By account: its batches are taken in one after another."""
    _work: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    _busiest: int = 0

    def spawn(self, request_id: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a request's work, which outlives the connection that asked for it."""
        task = asyncio.create_task(work)
        self._work[request_id] = task
        self._busiest = max(self._busiest, len(self._work))
        task.add_done_callback(lambda _: self._ended(request_id))
        return task

    def _ended(self, request_id: str) -> None:
        """After a burst its memory is given back, once the last answers have been sent."""
        self._work.pop(request_id, None)
        if not self._work and self._busiest >= _BURST:
            self._busiest = 0
            asyncio.get_running_loop().call_later(_SENT_AFTER_S, self._give_back)

    def _give_back(self) -> None:
        if not self._work:
            asyncio.get_running_loop().run_in_executor(None, memory.give_back)

    async def announce(self, event: Event) -> None:
        """Publish what only speeds things up: without it, `sweep` does the same a little later."""
        try:
            await self.events.publish(event)
        except Exception as error:
            log.crash("event.not_published", error)

    async def wait_for(self, request_id: str, deadline: float) -> None:
        """Wait for a request's work until the deadline, on the loop's clock, if it is done here."""
        if request_id in self._work:
            left_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({self._work[request_id]}, timeout=max(0.0, left_s))

    def works_on(self, request_id: str) -> bool:
        """Whether this process is at a request right now."""
        return request_id in self._work

    def loader(self, caller: Caller) -> Loader:
        """What a caller's request may load images with."""
        return Loader(
            self.records, self.storage, self.fetcher, caller.account_id, caller.test, self.clock()
        )

    def today(self) -> date:
        """The UTC day, by which the catalogue's lifecycles go."""
        return self.clock().date()

    @property
    def wallet_shards(self) -> int:
        """Over how many documents a new account's wallet is spread: SQLite has one writer."""
        return MAX_SHARDS if self.settings.firestore_database else 1

    async def close(self) -> None:
        """Finish the work begun, then let go of every connection."""
        if self._work:
            await asyncio.gather(*self._work.values(), return_exceptions=True)
        await self.transport.close()
        await self.fetcher.close()
        await self.events.close()
        await self.storage.close()
        await self.records.close()


def build(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    sleep: Sleep = asyncio.sleep,
    live: httpx.AsyncBaseTransport | None = None,
    resolve: Resolve = system_resolve,
    signs: bool = True,
) -> App:
    """The App of these settings; nothing is connected yet. `live` and `resolve` stand in for the
    network between us and the providers. One that `signs` nothing needs no secret. Raises
    BadCatalogue, BadSettings."""
    if signs and not settings.signing_secret:
        raise BadSettings("there is no DARKROOM_SIGNING_SECRET to sign links with")
    secret = settings.signing_secret
    catalogue, random = load(settings.catalogue_overlay), Random()  # noqa: S311 # jitter, no secret
    records = _opened(settings.firestore_database, lambda: _records(settings, random))
    storage = _opened(settings.bucket, lambda: _storage(settings))
    sandbox = InProcess(Sandbox(catalogue, clock, _shelf(settings, storage)), sleep)
    transport, batch_transport = _transports(
        settings, catalogue, records, Network(clock, sleep, live, resolve, sandbox)
    )
    return App(
        settings=settings,
        catalogue=catalogue,
        records=records,
        storage=storage,
        events=_opened(settings.topic_prefix, lambda: _events(settings, clock)),
        transport=transport,
        batch_transport=batch_transport,
        accounts=Accounts(records, monotonic),
        admission=Admission(records, clock, random, sleep),
        fetcher=Fetcher(allow_private=settings.allow_private_urls),
        links=Links(settings.public_url, secret.encode() if secret else None),
        blocklist=blocklist.load(settings.blocklist),
        clock=clock,
        sleep=sleep,
        random=random,
    )


@dataclass(frozen=True)
class Network:
    """What a transport reaches the world with, and the time it goes by."""

    clock: Clock
    sleep: Sleep
    live: httpx.AsyncBaseTransport | None
    resolve: Resolve
    sandbox: InProcess


def _transports(
    settings: Settings, catalogue: Catalogue, records: Records, network: Network
) -> tuple[Transport, BatchTransport]:
    """For single calls and for batches, over the same connections."""
    random, sleep = Random(), network.sleep  # noqa: S311 # jitter, no secret
    # Reading the certificates takes 30 ms.
    exchange = deferred(lambda: _exchange(settings, network))
    token = ServiceAccount().token
    endpoints = Endpoints(catalogue, settings, token)
    pacer = Pacer(records, network.clock, random, sleep)
    single = Transport(
        catalogue=catalogue,
        endpoints=endpoints,
        exchange=exchange,
        pacer=pacer,
        breaker=Breaker(monotonic),
        sleep=sleep,
        random=random,
    )
    return single, BatchTransport(catalogue, endpoints, exchange, pacer)


def _exchange(settings: Settings, network: Network) -> Exchange:
    return Exchange(
        live=network.live or Connections(),
        sandbox=network.sandbox,
        pictures=Fetcher(
            transport=network.live,
            resolve=network.resolve,
            allow_private=settings.allow_private_urls,
            max_bytes=MAX_PICTURE_BYTES,
            timeout_s=_PICTURE_S,
        ),
        sleep=network.sleep,
    )


def _opened(cloud: str | None, make: Callable[[], C]) -> C:
    """A local backend is opened at once: a start that cannot be says so."""
    return deferred(make) if cloud else make()


def _records(settings: Settings, random: Random) -> Records:
    if settings.firestore_database:
        from shared.records.firestore import Firestore

        return Firestore(settings.project, settings.firestore_database, random, asyncio.sleep)
    from shared.records.sqlite import Sqlite

    return Sqlite(settings.data / "darkroom.db")


def _storage(settings: Settings) -> Storage:
    if settings.bucket:
        from shared.storage.gcs import Gcs
        from shared.storage.gcs_session import Host

        emulator = settings.storage_emulator
        host = Host(emulator, account=None) if emulator else Host()
        return Gcs(settings.bucket, host, uploads_bucket=settings.uploads_bucket)
    from shared.storage.disk import Disk

    return Disk(settings.data)


def _events(settings: Settings, clock: Clock) -> Events:
    if settings.topic_prefix:
        from shared.events.pubsub import PubSub

        return PubSub(settings.project, settings.topic_prefix)
    from shared.events.local import Local

    return Local(settings.data / "events.db", clock)


def _shelf(settings: Settings, storage: Storage) -> Shelf:
    """Where the sandbox keeps test keys' files and batches: where all instances find them."""
    return Stored(storage) if settings.bucket else Folder(settings.data / "sandbox")
