"""The sandbox as an ASGI application, for a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx

from shared.sandbox import Sandbox, streamed

LARGEST_BODY_BYTES = 120 * 2**20
PIECE_BYTES = 64 * 2**10
SILENCE_S = 600.0
"""How long a request that is never answered is kept."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Server:
    """An ASGI application around a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        content = await _body(receive)
        if content is None:
            await _send(httpx.Response(413, text="The body is too large.\n"), scope, send)
            return
        try:
            request = _request(scope, content)
        except (httpx.InvalidURL, ValueError):
            await _send(httpx.Response(400, text="The address cannot be read.\n"), scope, send)
            return
        response = await asyncio.to_thread(self._sandbox.handle, request)
        if await _gone(receive, response.extensions.get("delay_s", 0.0)):
            return
        fault = response.extensions.get("fault")
        if fault == "timeout":
            await _gone(receive, SILENCE_S)
            return
        if isinstance(response.stream, httpx.ByteStream):
            await _send(response, scope, send, torn=fault == "truncated")
        else:
            await _stream(response, scope, receive, send)


def _request(scope: Scope, content: bytes) -> httpx.Request:
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    host = dict(headers).get("host") or "{}:{}".format(*scope["server"])
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    # The answer to HEAD is that to GET; its body is left out in the end.
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return httpx.Request(method, f"http://{host}{target}", headers=headers, content=content)


async def _body(receive: Receive) -> bytes | None:
    """The whole body, None if it is larger than is taken or breaks off."""
    pieces, size = [], 0
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST_BODY_BYTES or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _gone(receive: Receive, wait_s: float) -> bool:
    """Wait that long; True as soon as the client has hung up."""
    if not wait_s:
        return False
    try:
        async with asyncio.timeout(wait_s):
            await _hung_up(receive)
    except TimeoutError:
        return False
    return True


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stream(response: httpx.Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a body while it is made, until the client hangs up."""
    headers = [(name.lower(), value) for name, value in response.headers.raw]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    gone = asyncio.create_task(_hung_up(receive))
    try:
        if scope["method"] != "HEAD":
            async for line in streamed(response):
                for start in range(0, len(line), PIECE_BYTES):
                    if gone.done():
                        return
                    piece = line[start : start + PIECE_BYTES]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def _send(response: httpx.Response, scope: Scope, send: Send, torn: bool = False) -> None:
    content = response.content
    headers = [
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.lower() != b"content-length"
    ]
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else content[: len(content) // 2] if torn else content
    for start in range(0, len(body), PIECE_BYTES):
        piece = body[start : start + PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if not torn:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
