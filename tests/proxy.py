"""A proxy on loopback between a Darkroom and a provider: it notes what comes by, and can be told to
do something at a certain moment, such as to kill the one who asks."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import uvicorn

Message = MutableMapping[str, Any]
PIECE_BYTES = 64 * 2**10
_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length"}


@dataclass(frozen=True)
class Seen:
    """A call: its method, path, headers and body, and the status it was answered with."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int


@dataclass(frozen=True)
class Trap:
    """Do `then` when a call comes by whose path has `part` in it: before it is passed on, when it
    has been answered, or so many pieces into the answer."""

    part: str
    when: Literal["before", "after"] | int
    then: Callable[[], None]


@dataclass
class Proxy:
    """An ASGI application that passes everything on to `upstream`. `seen` is what was passed on and
    answered; the first of the `traps` waits for its call; `pause_s` slows answers down, piece by
    piece."""

    upstream: str
    url: str = ""
    pause_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one HTTP request."""
        body = await _body(receive)
        if body is None:
            # Its sender was killed in the middle of it.
            return
        target = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
        trap = next((t for t in self.traps[:1] if t.part in scope["path"]), None)
        if trap is not None:
            self.traps.remove(trap)
        if trap is not None and trap.when == "before":
            trap.then()
            return
        headers = [pair for pair in scope["headers"] if pair[0] not in _HOP]
        async with (
            httpx.AsyncClient(timeout=60, trust_env=False) as client,
            client.stream(
                scope["method"], self.upstream + target, headers=headers, content=body
            ) as answer,
        ):
            if trap is not None and trap.when == "after":
                await answer.aread()
            named = {name.decode(): value.decode() for name, value in scope["headers"]}
            call = Seen(scope["method"], scope["path"], named, body, answer.status_code)
            self.seen.append(call)
            if trap is not None and trap.when == "after":
                trap.then()
                return
            await self._pass_back(answer, send, trap)

    async def _pass_back(
        self, answer: httpx.Response, send: Callable[[Message], Awaitable[None]], trap: Trap | None
    ) -> None:
        headers = [pair for pair in answer.headers.raw if pair[0].lower() not in _HOP]
        start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
        await send(start)
        number = 0
        async for piece in answer.aiter_raw(PIECE_BYTES):
            number += 1
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if trap is not None and trap.when == number:
                trap.then()
            await asyncio.sleep(self.pause_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """All of it; None if the connection ended before."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


@contextmanager
def between(upstream: str) -> Iterator[Proxy]:
    """A proxy before that address, in a thread of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        proxy = Proxy(upstream, f"http://127.0.0.1:{listener.getsockname()[1]}")
        config = uvicorn.Config(proxy, lifespan="off", log_level="critical", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
