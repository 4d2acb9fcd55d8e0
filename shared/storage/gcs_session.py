"""Requests to Cloud Storage on the event loop: as many at once as there are connections, each with
a token, tried again where that can do no harm.

What is tried again, and for how long: cloud.google.com/storage/docs/retry-strategy, 2026-11.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from shared.oauth import NoToken, ServiceAccount

GOOGLE = "https://storage.googleapis.com"
CONNECTIONS = 64
TRIES = 6
DEADLINE_S = 30.0
"""How long after the first try another one may begin."""
IDLE_S = 30.0
"""How long nothing may move, in either direction, before a try has failed."""
_CONNECT_S = 10.0
_KEPT_S = 30.0
_SLICE_BYTES = 2**18
"""What is given to a connection at once: it copies what it cannot send yet."""
_READ_BYTES = 2**19
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_UNAUTHORIZED = 401


@dataclass(frozen=True)
class Host:
    """Where Cloud Storage is, and whose token it is shown: nobody's with `account` None, as an
    emulator has it. `account` is called once for each event loop."""

    url: str = GOOGLE
    account: Callable[[], ServiceAccount] | None = ServiceAccount
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Random = field(default_factory=Random)


@dataclass(frozen=True)
class Call:
    """A request that may be sent again: its path and query, percent-encoded, its body in parts, and
    the statuses that are an answer to it."""

    method: str
    path: str
    answers: frozenset[int]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = field(default=(), repr=False)


@dataclass(frozen=True)
class Answer:
    """What came back, its headers' names in lower case. After a call was `repeated`, an earlier try
    of it may have arrived too."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    repeated: bool


class Sessions:
    """A session for the running event loop, made at its first use and closed when the loop ends."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: AsyncGenerator[Session, None] | None = None
        self._session: Session | None = None

    async def send(self, call: Call) -> Answer:
        """As `Session.send`."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            # A loop closes the generators that were begun on it before it ends.
            self._loop, self._opened = loop, _opened(self._host)
            self._session = await anext(self._opened)
        return await self._session.send(call)

    async def close(self) -> None:
        """Close the connections of the running loop; another's are closed with it."""
        opened, self._opened, self._session = self._opened, None, None
        if opened is not None and self._loop is asyncio.get_running_loop():
            await opened.aclose()


async def _opened(host: Host) -> AsyncGenerator[Session, None]:
    session = Session(host)
    try:
        yield session
    finally:
        await session.close()


class Session:
    """The connections of one event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._account = host.account() if host.account else None
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._http = aiohttp.ClientSession(
            # The semaphore bounds them: to wait for one is no part of a try.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "darkroom"},
            # What was uploaded as gzip must not unfold to any size in memory.
            auto_decompress=False,
            read_bufsize=_READ_BYTES,
            proxy=_proxy(host.url),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def send(self, call: Call) -> Answer:
        """The answer to a call. Raises google.api_core's exception for any other status, and
        ServiceUnavailable where none came."""
        async with self._free:
            return await self._tried(call)

    async def _tried(self, call: Call) -> Answer:
        loop = asyncio.get_running_loop()
        last, refused = loop.time() + DEADLINE_S, None
        for attempt in range(TRIES):
            token = await self._token(refused)
            try:
                answer = await self._once(call, token, repeated=attempt > 0)
                if answer.status in call.answers:
                    return answer
                failure = _failure(call, answer)
                if answer.status == _UNAUTHORIZED and token and refused is None:
                    refused = token
                    continue
                if answer.status not in _AGAIN:
                    raise failure
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = _unavailable(call, error)
            if loop.time() >= last:
                break
            if attempt < TRIES - 1:
                await self._host.sleep(self._host.random.uniform(0.0, 0.5 * 2**attempt))
        raise failure

    async def _once(self, call: Call, token: str | None, *, repeated: bool) -> Answer:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(IDLE_S) as idle:

            def moved() -> None:
                idle.reschedule(loop.time() + IDLE_S)

            headers = {"accept-encoding": "gzip", **call.headers}
            if token:
                headers["authorization"] = f"Bearer {token}"
            if call.body:
                headers["content-length"] = str(sum(map(len, call.body)))
            async with self._http.request(
                call.method,
                self._host.url + call.path,
                headers=headers,
                data=_slices(call.body, moved) if call.body else None,
                allow_redirects=False,
            ) as response:
                pieces: list[bytes] = []
                async for piece, _ in response.content.iter_chunks():
                    moved()
                    pieces.append(piece)
        return Answer(response.status, _joined(response.headers), b"".join(pieces), repeated)

    async def _token(self, refused: str | None) -> str | None:
        if self._account is None:
            return None
        try:
            return await self._account.fresh(refused)
        except NoToken as error:
            from google.api_core.exceptions import Unauthenticated

            raise Unauthenticated(f"Cloud Storage: {error}") from error


async def _slices(body: Sequence[bytes], moved: Callable[[], None]) -> AsyncIterator[memoryview]:
    """A body in order, not copied."""
    for part in body:
        view = memoryview(part)
        for start in range(0, len(view), _SLICE_BYTES):
            moved()
            yield view[start : start + _SLICE_BYTES]
    moved()


def _joined(headers: Mapping[str, str]) -> dict[str, str]:
    """What came in several headers of one name, in one."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _proxy(url: str) -> str | None:
    """The proxy that the environment says for an address. aiohttp would look for it, and for a
    password, before every request, in a thread."""
    address = urlsplit(url)
    return None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)


# The module of the exceptions is imported with the first one: it takes longer than all else here.
def _failure(call: Call, answer: Answer) -> Exception:
    from google.api_core.exceptions import from_http_status

    said = answer.body[:500].decode(errors="replace")
    failure: Exception = from_http_status(answer.status, f"{call.method} {call.path}: {said}")
    return failure


def _unavailable(call: Call, error: Exception) -> Exception:
    from google.api_core.exceptions import ServiceUnavailable

    failure: Exception = ServiceUnavailable(
        f"{call.method} {call.path}: {type(error).__name__}: {error}"[:500]
    )
    failure.__cause__ = error
    return failure
