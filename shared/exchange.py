"""One call to a provider, from its first byte to the pictures: upload, submit, poll, download.

What may have been paid for is never asked for again: once a task is submitted only looks at it and
downloads are repeated, and when those fail the outcome is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

import httpx

from shared import apart, glb, log, pixels, trace
from shared.catalogue.rows import Provider as Account
from shared.catalogue.rows import Route
from shared.domain import Attempt, Endpoint, ImageRequest, Picture
from shared.errors import (
    HTTP_STATUS,
    DarkroomError,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
)
from shared.fetch import Fetcher
from shared.providers import Done, Inline, Pending, Provider, Remote, Wallet
from shared.providers.registry import ADAPTERS
from shared.receiving import Sketches, receive

POLLS = 240
BLIND_POLLS = 6
FILE_POLLS = 20
DOWNLOADS = 3
GIFTS = 3
"""How many pictures beyond those asked for are taken of one answer."""
MAX_PICTURE_BYTES = 64 * 2**20
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_SHORT_S = 60.0
"""How long a picture's download, or a balance, may take."""
_PATIENT = httpx.Timeout(None, connect=10.0).as_dict()
"""Only connecting is timed: how long an answer may take is the provider row's to say."""
_IDLE = httpx.Timeout(60.0, connect=10.0).as_dict()
"""How long a stream may pause."""
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class Errand:
    """One request on its way: its id, for the provider's log and ours; whether it goes to the
    sandbox; when, on the loop's clock, nothing new is begun any more. Who listens gets `sketches`,
    dropped while it is full, and what was `tried` before more is. What `parks` leaves tasks."""

    id: str
    test: bool
    deadline: float
    sketches: asyncio.Queue[Inline] | None = None
    tried: asyncio.Queue[tuple[Attempt, ...] | None] | None = None
    parks: bool = False


class Parked(Exception):
    """A provider works at a task, and nobody waits for it here. By which `route`, and what was
    tried before, is filled in on the way."""

    def __init__(self, pending: Pending) -> None:
        super().__init__(pending.token)
        self.pending = pending
        self.route = ""
        self.attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What one call brought: pictures, seen to be some, and what was said with them."""

    pictures: tuple[Picture, ...]
    done: Done


@dataclass(frozen=True)
class Call:
    """One call: what is asked, by which route, of which account, at which address."""

    request: ImageRequest
    route: Route
    account: Account
    endpoint: Endpoint

    @property
    def adapter(self) -> Provider:
        """Who speaks its wire format."""
        return ADAPTERS[self.route.wire]


class Exchange:
    """Makes calls over two transports, the real one and the sandbox in this process, and fetches
    pictures that lie elsewhere."""

    def __init__(
        self,
        live: httpx.AsyncBaseTransport,
        sandbox: httpx.AsyncBaseTransport,
        pictures: Fetcher,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._live = live
        self._sandbox = sandbox
        self._pictures = pictures
        self._sleep = sleep

    async def run(self, call: Call, errand: Errand) -> Answer:
        """One answer, in the time its provider's row allows, and its pictures, each in a time of
        its own. Raises DarkroomError, and Parked."""
        account = call.account
        try:
            async with asyncio.timeout(account.timeout_s):
                done = await self._answer(call, errand)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"{account.name} had not answered after {account.timeout_s:g} seconds.",
            ) from error
        return await self.collect(done, call, errand)

    async def look(self, token: str, call: Call, errand: Errand) -> Answer | Pending:
        """What became of a task that was parked. Raises DarkroomError, of the task if `of_task`
        says so, else of this look at it."""
        response = await self._soon(call.adapter.poll(token, call.endpoint), call.account, errand)
        looked = await _read(call, response)
        return looked if isinstance(looked, Pending) else await self.collect(looked, call, errand)

    async def call(
        self, request: httpx.Request, account: Account, errand: Errand
    ) -> httpx.Response:
        """One plain exchange, in the time the provider's row allows. Raises DarkroomError."""
        try:
            async with asyncio.timeout(account.timeout_s):
                return await self._send(request, account, errand)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"{account.name} had not answered after {account.timeout_s:g} seconds.",
            ) from error

    @asynccontextmanager
    async def stream(
        self, request: httpx.Request, account: Account, errand: Errand
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to come, in pieces of any size. What goes wrong on the
        way is ProviderUnavailable: a file can be asked for again."""
        request.extensions["timeout"] = _IDLE
        try:
            response = await self._by(errand, request).handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise ProviderUnavailable(
                f"{account.name} did not send the whole file.", private=repr(error)
            ) from error

    async def balance(self, wallet: Wallet, account: Account, endpoint: Endpoint) -> Decimal:
        """What is left of the account's credits. Raises DarkroomError."""
        request = wallet.balance(endpoint)
        response = await self._soon(request, account, Errand("balance", False, 0))
        return wallet.read_balance(response)

    async def close(self) -> None:
        """Close every connection."""
        await self._live.aclose()
        await self._sandbox.aclose()
        await self._pictures.close()

    async def _answer(self, call: Call, errand: Errand) -> Done:
        call = await self._upload(call, errand)
        asked = call.request
        bare = not (asked.sources or asked.mask or asked.turns)
        request = await apart.run(bare, call.adapter.submit, asked, call.endpoint)
        shown = errand.sketches
        sketches = None if shown is None else Sketches(call.adapter, shown)
        response = await self._send(request, call.account, errand, sketches)
        outcome = await _read(call, response)
        if not isinstance(outcome, Pending):
            return outcome
        if errand.parks:
            raise Parked(outcome)
        return await self._finished(outcome, call, errand)

    async def _finished(self, outcome: Pending, call: Call, errand: Errand) -> Done:
        """The end of a task. A look that fails says nothing of the task, and is repeated."""
        blind, wait_s = 0, outcome.after_s
        for _ in range(POLLS):
            await self._sleep(wait_s)
            try:
                request = call.adapter.poll(outcome.token, call.endpoint)
                response = await self._send(request, call.account, errand)
                looked = await _read(call, response)
            except DarkroomError as error:
                blind += 1
                if of_task(error):
                    raise
                if blind == BLIND_POLLS:
                    raise OutcomeUnknown(
                        f"{call.account.name} took the request and does not say what became of it.",
                        private=error.private or error.message,
                    ) from error
                wait_s = max(outcome.after_s, min(error.retry_after_s or 0.0, _LONGEST_PAUSE_S))
            else:
                if isinstance(looked, Done):
                    return looked
                blind, outcome, wait_s = 0, looked, looked.after_s
        raise OutcomeUnknown(f"{call.account.name} had not finished after {POLLS} looks.")

    async def _upload(self, call: Call, errand: Errand) -> Call:
        """Put sources that are too large for the body where the provider keeps files."""
        uploads = call.adapter.uploads(call.request, call.endpoint)
        if not uploads:
            return call
        sources = list(call.request.sources)
        for upload in uploads:
            source, files = sources[upload.source], upload.files
            opened = await self._send(upload.start, call.account, errand)
            sending = files.send(opened, source.data, call.endpoint)
            file = files.read(await self._send(sending, call.account, errand))
            for _ in range(FILE_POLLS):
                if file.ready:
                    break
                await self._sleep(1.0)
                looking = files.get(file.name, call.endpoint)
                file = files.read(await self._send(looking, call.account, errand))
            sources[upload.source] = replace(source, uri=file.uri)
        return replace(call, request=replace(call.request, sources=tuple(sources)))

    async def collect(self, done: Done, call: Call, errand: Errand) -> Answer:
        """The pictures of an answer, fetched where they are remote, and seen to be pictures. One
        that is of no use does not take the others with it."""
        # What a provider, or a prompt, adds to that is not worth our memory.
        images = done.images[: call.request.n + GIFTS]
        remote = [image for image in images if isinstance(image, Remote)]
        got = await asyncio.gather(
            *(self._fetched(image, call, errand) for image in remote), return_exceptions=True
        )
        for fault in got:
            if isinstance(fault, BaseException) and not isinstance(fault, DarkroomError):
                raise fault
        fetched = iter(got)
        both = [image.data if isinstance(image, Inline) else next(fetched) for image in images]
        files = [data for data in both if isinstance(data, bytes)]
        measure = glb.measure if call.request.operation == "three_d" else pixels.measure
        seen = await asyncio.to_thread(lambda: [measure(data) for data in files])
        pictures = tuple(picture for picture in seen if picture is not None)
        if not pictures:
            # Made, and perhaps paid: asking for another would be paying twice.
            what = "something that is not what was asked for" if files else "what nobody can fetch"
            error = ProviderError(f"{call.account.name} sent {what}.")
            error.usage = replace(done.usage, images=len(done.images))
            raise error
        return Answer(pictures, done)

    async def _fetched(self, image: Remote, call: Call, errand: Errand) -> bytes:
        """A picture's bytes. Raises DarkroomError."""
        for tried in range(1, DOWNLOADS + 1):
            try:
                return await self._download(image, call, errand)
            except DarkroomError as error:
                log.event("picture.not_fetched", severity="WARNING", cause=error.message)
                if tried == DOWNLOADS:
                    raise
                await self._sleep(_PAUSE_S)
        raise AssertionError("the last try always returns or raises")

    async def _download(self, image: Remote, call: Call, errand: Errand) -> bytes:
        """Without our key, which such hosts are not meant to see. Only the provider's own origin,
        as the operator set it, may be a private one; for an address that a model said, only what
        lies below the operator's address."""
        try:
            url, own = httpx.URL(image.url), httpx.URL(call.endpoint.base_url)
        except httpx.InvalidURL as error:
            raise ProviderError("The address of a picture is not valid.") from error
        at_home = _origin(url) == _origin(own)
        if errand.test and not at_home:
            raise ProviderError("The address of a picture leads out of the sandbox.")
        if not at_home or (image.said and not _below(url, own)):
            return await self._pictures.fetch(image.url, "picture")
        response = await self._soon(httpx.Request("GET", url), call.account, errand)
        if response.status_code != 200:
            raise ProviderError("A picture's address does not answer with it.")
        return response.content

    async def _soon(
        self, request: httpx.Request, account: Account, errand: Errand
    ) -> httpx.Response:
        """An exchange that is not worth waiting for long."""
        try:
            async with asyncio.timeout(_SHORT_S):
                return await self._send(request, account, errand)
        except TimeoutError as error:
            raise ProviderUnavailable(f"{account.name} takes too long.") from error

    def _by(self, errand: Errand, request: httpx.Request) -> httpx.AsyncBaseTransport:
        """How it goes out, named so that a provider's support finds it by our request's id, or a
        proxy on the way."""
        request.headers["x-request-id"] = errand.id
        if errand.test:
            return self._sandbox
        request.headers.update(trace.headers(log.request_id.get()))
        return self._live

    async def _send(
        self,
        request: httpx.Request,
        account: Account,
        errand: Errand,
        sketches: Sketches | None = None,
    ) -> httpx.Response:
        """One HTTP exchange, whatever its status. Raises ProviderUnavailable when nothing was
        sent, OutcomeUnknown when no whole answer came back."""
        request.extensions.setdefault("timeout", _PATIENT)
        try:
            return await receive(self._by(errand, request), request, sketches)
        except _NOT_SENT as error:
            raise ProviderUnavailable(
                f"{account.name} cannot be reached.", private=repr(error)
            ) from error
        except httpx.TransportError as error:
            raise OutcomeUnknown(
                f"{account.name} did not answer after the request was sent. It was not sent again.",
                private=repr(error),
            ) from error


async def _read(call: Call, response: httpx.Response) -> Done | Pending:
    little = len(response.content) <= apart.ANSWER_BYTES
    return await apart.run(little, call.adapter.read, response)


def of_task(error: DarkroomError) -> bool:
    """Whether an error is what became of a task: it came in a good answer, or says that nobody
    will ever know. Any other is of the look at it."""
    status = error.details.get(HTTP_STATUS)
    return status == 200 or (isinstance(error, OutcomeUnknown) and status is not None)


def _below(url: httpx.URL, own: httpx.URL) -> bool:
    """Whether an address lies below the operator's, which has to have a path for that, or to be on
    this machine, where doubles for tests are."""
    root = own.path.rstrip("/")
    inside = bool(root) and url.path.startswith(f"{root}/") and ".." not in url.path
    return inside or url.host in ("localhost", "127.0.0.1", "::1")


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port
