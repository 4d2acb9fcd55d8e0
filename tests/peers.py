"""Servers on loopback that do as they are told, down to the byte, and our connections to them."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx

from shared.connections import Connections

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"


@dataclass
class Peer:
    """One connection as the server has it; `sent` is what came, of all connections."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: list[bytes]

    async def taken(self) -> bytes:
        """The next request, whole."""
        request = await self.reader.readuntil(b"\r\n\r\n")
        if length := re.search(rb"content-length: (\d+)", request, re.IGNORECASE):
            request += await self.reader.readexactly(int(length[1]))
        self.sent.append(request)
        return request

    async def say(self, answer: bytes) -> None:
        self.writer.write(answer)
        await self.writer.drain()

    async def left(self) -> None:
        """Wait for the client to hang up."""
        with suppress(ConnectionError):
            while await self.reader.read(2**20):
                pass

    def reset(self) -> None:
        """Hang up with an error instead of an end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """Where a server is, and what came to it."""

    port: int
    peers: list[Peer] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    playing: list[asyncio.Task[None]] = field(default_factory=list)

    def request(self, method: str = "GET", path: str = "/", **more: object) -> httpx.Request:
        timeout = {"connect": 5.0, "read": more.pop("read", 5.0)}
        scheme = more.pop("scheme", "http")
        url = f"{scheme}://127.0.0.1:{self.port}{path}"
        return httpx.Request(method, url, extensions={"timeout": timeout}, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def served(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that plays the same piece on every connection, then hangs up."""
    here = Server(0)

    async def handle(peer: Peer) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await play(peer)
        peer.writer.close()
        with suppress(OSError):
            await peer.writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.peers.append(Peer(reader, writer, here.sent))
        here.playing.append(asyncio.create_task(handle(here.peers[-1])))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await asyncio.gather(*here.playing)


@asynccontextmanager
async def opened(**more: object) -> AsyncIterator[Connections]:
    """Connections, closed twice in the end."""
    connections = Connections(**more)  # type: ignore[arg-type]
    try:
        yield connections
    finally:
        await connections.aclose()
        await connections.aclose()


async def answer(connections: Connections, request: httpx.Request) -> httpx.Response:
    """The whole answer, as it is on the wire."""
    response = await connections.handle_async_request(request)
    try:
        response._content = b"".join([piece async for piece in response.aiter_raw()])
    finally:
        await response.aclose()
    return response


def saying(*pieces: bytes, then: str = "closes") -> Play:
    """Take one request and answer it in pieces, then close, reset or wait."""

    async def play(peer: Peer) -> None:
        await peer.taken()
        for piece in pieces:
            await peer.say(piece)
            for _ in range(9):
                await asyncio.sleep(0)
        if then == "resets":
            peer.reset()
        elif then == "waits":
            await peer.left()

    return play


async def well(peer: Peer) -> None:
    """Answer whatever comes."""
    while True:
        await peer.taken()
        await peer.say(OK)
