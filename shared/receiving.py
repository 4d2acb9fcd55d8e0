"""Taking in a provider's answer, which may be megabytes long, compressed, or a stream of events."""

from __future__ import annotations

import asyncio

import httpx

from shared import sse
from shared.errors import ProviderError
from shared.providers import Inline, Provider

MAX_ANSWER_BYTES = 256 * 2**20


class Sketches:
    """Shows the sketches in one stream of events to whoever listens, and waits for nobody."""

    def __init__(self, adapter: Provider, shown: asyncio.Queue[Inline]) -> None:
        self._adapter = adapter
        self._shown = shown
        self._events = sse.Splitter()

    async def take(self, piece: bytes) -> None:
        """The next piece of the stream."""
        events = self._events.feed(piece)
        if not events or self._shown.full():
            return
        found = await asyncio.to_thread(lambda: [self._adapter.sketch(event) for event in events])
        for sketch in found:
            if sketch is not None and not self._shown.full():
                self._shown.put_nowait(sketch)


async def receive(
    by: httpx.AsyncBaseTransport, request: httpx.Request, sketches: Sketches | None
) -> httpx.Response:
    """The whole answer, decompressed and at most MAX_ANSWER_BYTES long. The sketches of one that is
    a stream are shown while it comes. Raises ProviderError for one that cannot be read, and
    httpx.TransportError."""
    response = await by.handle_async_request(request)
    try:
        if "," in response.headers.get("content-encoding", ""):
            raise _unread("is compressed more than once")
        streams = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        pieces, size = [], 0
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise _unread("is too long")
            if sketches is not None and streams:
                await sketches.take(piece)
    except httpx.DecodingError as error:
        raise _unread("cannot be decompressed") from error
    finally:
        await response.aclose()
    headers = [
        (k, v)
        for k, v in response.headers.multi_items()
        if k not in ("content-encoding", "content-length", "transfer-encoding")
    ]
    return httpx.Response(
        response.status_code, headers=headers, content=b"".join(pieces), request=request
    )


def _unread(why: str) -> ProviderError:
    """The error of an answer that may have held what was paid for."""
    error = ProviderError(f"The provider's answer {why}.")
    error.paid = True
    return error
