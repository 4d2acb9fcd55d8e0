"""Load over HTTP/1.1 from connections that each send the next request when they have the last
answer, cheap enough to leave a 2-core machine to what is measured: nothing of a body is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

_PIECE = bytearray(2**20)
"""All connections read into this one: they never read at the same time."""
_KEPT = 4096
"""Of an error's body, to be shown."""


@dataclass(frozen=True)
class Ask:
    """A request, sent as it is again and again: an answer counts if its status is 200 and its body
    has at least so many bytes."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    least_bytes: int = 0

    def head(self) -> bytes:
        """What is sent."""
        where = urlsplit(self.url)
        target = where.path + (f"?{where.query}" if where.query else "")
        lines = {
            "host": where.netloc,
            "content-type": "application/json",
            "content-length": str(len(self.body)),
            **self.headers,
        }
        said = "\r\n".join(f"{name}: {value}" for name, value in lines.items())
        return f"POST {target} HTTP/1.1\r\n{said}\r\n\r\n".encode() + self.body


@dataclass
class Outcome:
    """What came of it: seconds of every good answer, the others, and the seconds of it all."""

    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies_s) / self.wall_s if self.wall_s else 0.0

    def percentile_ms(self, percent: float) -> float:
        """Of the good answers; none is not a number."""
        if not self.latencies_s:
            return float("nan")
        ordered = sorted(self.latencies_s)
        at = min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))
        return ordered[at] * 1000


class _Connection(asyncio.BufferedProtocol):
    """One request after the other; of each answer the status and the length are looked at."""

    def __init__(self, ask: Ask, load: _Load) -> None:
        self._request = ask.head()
        self._ask = ask
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._begin()

    def _begin(self) -> None:
        self._head = bytearray()
        self._body_bytes = 0
        self._expected: int | None = None
        self._status = 0
        self._said = bytearray()
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._load.take():
            self._begin()
            self._sent_at = time.perf_counter()
            self._transport.write(self._request)
        else:
            self._transport.close()

    def get_buffer(self, sizehint: int) -> bytearray:
        return _PIECE

    def buffer_updated(self, nbytes: int) -> None:
        if self._status:
            self._body(memoryview(_PIECE)[:nbytes])
            return
        self._head += memoryview(_PIECE)[:nbytes]
        head, end, body = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        lines = bytes(head).lower().split(b"\r\n")
        self._status = int(lines[0].split(b" ", 2)[1])
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                self._expected = int(value)
        self._body(memoryview(body))

    def _body(self, piece: memoryview) -> None:
        self._body_bytes += len(piece)
        if self._status != 200 and len(self._said) < _KEPT:
            self._said += piece[:_KEPT]
        if self._expected is None:
            # Chunked: nothing comes after the last piece until we ask again.
            self._tail = (self._tail + bytes(piece[-5:]))[-5:]
            if self._tail != b"0\r\n\r\n":
                return
        elif self._body_bytes < self._expected:
            return
        self._finished()

    def _finished(self) -> None:
        took_s = time.perf_counter() - self._sent_at
        if self._status == 200 and self._body_bytes >= self._ask.least_bytes:
            self._load.good(took_s)
        else:
            said = bytes(self._said).decode(errors="replace")
            self._load.bad(f"{self._status}, {self._body_bytes} bytes: {said}")
        self._sent_at = 0.0
        self._next()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_at:
            self._load.bad(f"the connection was lost: {exc}")
        self._load.left()


class _Load:
    """So many requests over so many connections."""

    def __init__(self, requests: int, connections: int) -> None:
        self._left = requests
        self._open = connections
        self.outcome = Outcome()
        self.done = asyncio.Event()

    def take(self) -> bool:
        """Whether there is another to send."""
        self._left -= 1
        return self._left >= 0

    def good(self, took_s: float) -> None:
        """Note an answer."""
        self.outcome.latencies_s.append(took_s)

    def bad(self, why: str) -> None:
        """Note a failure."""
        self.outcome.failures.append(why)

    def left(self) -> None:
        """Note a closed connection."""
        self._open -= 1
        if self._open == 0:
            self.done.set()


async def _run(ask: Ask, requests: int, connections: int, timeout_s: float) -> Outcome:
    load = _Load(requests, connections)
    loop, where = asyncio.get_running_loop(), urlsplit(ask.url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    begun = time.perf_counter()
    opened = [
        loop.create_connection(lambda: _Connection(ask, load), host, port)
        for _ in range(connections)
    ]
    transports = [transport for transport, _ in await asyncio.gather(*opened)]
    try:
        async with asyncio.timeout(timeout_s):
            await load.done.wait()
    except TimeoutError:
        for transport in transports:
            transport.abort()
        await load.done.wait()
    load.outcome.wall_s = time.perf_counter() - begun
    return load.outcome


def run(ask: Ask, requests: int, connections: int, timeout_s: float = 120.0) -> Outcome:
    """Send that many requests over that many connections. What has no answer in time has failed."""
    return uvloop.run(_run(ask, requests, connections, timeout_s))
