"""A bucket on loopback that fails as it is told to: the emulator answers everything it can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from aiohttp import web

Fault = Callable[["Bucket", web.BaseRequest], Awaitable[web.StreamResponse]]
"""What meets a request instead of an answer."""


@dataclass
class Object:
    """One that was written: what was said of it, its bytes, and their type."""

    facts: dict[str, Any]
    data: bytes
    content_type: str


@dataclass
class Bucket:
    """What was written, every request as it came, and the faults that the next ones meet in turn.
    `most` is how many were there at once."""

    objects: dict[str, Object] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    requests: list[web.BaseRequest] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    now: int = 0
    most: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """What it says to one request."""
        self.lines.append(f"{request.method} {request.path_qs.partition('?')[0]}")
        self.requests.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.faults:
                return await self.faults.pop(0)(self, request)
            return await self.usual(request)
        finally:
            self.now -= 1

    async def usual(self, request: web.BaseRequest) -> web.StreamResponse:
        """Without a fault."""
        if request.method == "POST":
            return self._written(request, await request.read())
        told = request.path.removeprefix("/storage/v1/b/bucket/o/")
        found = self.objects.get(told.removeprefix("/bucket/"))
        if found is None:
            return web.Response(status=404)
        if told != request.path:
            size = {"size": str(len(found.data)), "generation": "1"}
            return web.json_response({**found.facts, **size, "contentType": found.content_type})
        answer = web.Response(body=found.data, headers={"content-type": found.content_type})
        answer.headers.add("x-goog-hash", f"crc32c={found.facts['crc32c']}")
        answer.headers.add("x-goog-hash", "md5=AAAA")
        return answer

    def _written(self, request: web.BaseRequest, body: bytes) -> web.Response:
        whole = f"content-type: {request.headers['content-type']}\r\n\r\n".encode() + body
        told, picture = message_from_bytes(whole, policy=HTTP).iter_parts()
        facts = json.loads(told.get_content())
        if facts["name"] in self.objects:
            return web.Response(status=412)
        boundary = request.headers["content-type"].split('"')[1].encode()
        data = body.split(b"\r\n\r\n", 2)[2].removesuffix(b"\r\n--" + boundary + b"--")
        self.objects[facts["name"]] = Object(facts, data, picture["content-type"])
        return web.json_response({"generation": "1"})


def status(code: int) -> Fault:
    """It answers so, and does nothing."""

    async def refuse(_: Bucket, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        return web.Response(status=code, text="a fault of the test")

    return refuse


async def lost(bucket: Bucket, request: web.BaseRequest) -> web.StreamResponse:
    """It does what was asked, and the answer never comes."""
    await bucket.usual(request)
    return _hung_up(request)


async def dropped(_: Bucket, request: web.BaseRequest) -> web.StreamResponse:
    """It does nothing, and hangs up."""
    return _hung_up(request)


async def silent(bucket: Bucket, request: web.BaseRequest) -> web.StreamResponse:
    """It takes all and says nothing until the bucket is full."""
    await request.read()
    await bucket.full.wait()
    return web.Response(status=500)


def damaged(data: bytes) -> Fault:
    """It answers with other bytes than it has."""

    async def damage(bucket: Bucket, request: web.BaseRequest) -> web.StreamResponse:
        bucket.objects["a"].data = data
        return await bucket.usual(request)

    return damage


def _hung_up(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving() -> AsyncIterator[Bucket]:
    """A bucket until the block ends."""
    bucket = Bucket()
    runner = web.ServerRunner(web.Server(bucket.answer, access_log=None), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    bucket.url = f"http://{host}:{port}"
    try:
        yield bucket
    finally:
        await runner.cleanup()
