"""Every provider's wire protocol, spoken by a function from httpx.Request to httpx.Response. Test
keys, the tests and the benchmarks use it; `python -m shared.sandbox` serves it on a port.

`Sandbox` answers under `/<provider>`. What a response cannot say of itself is in its `extensions`:
`delay_s`, how long to wait before it, and `fault`, "timeout" (it never comes) or "truncated" (the
connection ends in the middle of it). The results of a batch are a stream, whose pieces are made as
they are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import Protocol

import httpx

from shared.catalogue import Catalogue
from shared.sandbox.shelf import Memory, Shelf
from shared.sandbox.stored import LOOP


class Speaker(Protocol):
    """One provider: `path` is what follows its name."""

    def handle(self, request: httpx.Request, path: str) -> httpx.Response: ...


class Sandbox:
    """Every provider. The clock decides which models of the catalogue are live, how old an
    uploaded file is and how a batch stands; files and batches are kept on the shelf, which is in
    memory if none is given. Thread-safe."""

    def __init__(
        self, catalogue: Catalogue, clock: Callable[[], datetime], shelf: Shelf | None = None
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._shelf = Memory() if shelf is None else shelf
        self._speakers: Mapping[str, Speaker] | None = None
        self._gathering = Lock()

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request whose body has been read. It may take as long as painting does."""
        provider, _, path = request.url.path.removeprefix("/").partition("/")
        speakers = self._all()
        speaker = speakers.get(provider)
        if speaker is None:
            known = ", ".join(f"/{name}" for name in speakers)
            return httpx.Response(404, text=f"No provider here. The sandbox speaks {known}.\n")
        return speaker.handle(request, f"/{path}")

    def _all(self) -> Mapping[str, Speaker]:
        with self._gathering:
            if self._speakers is None:
                self._speakers = _gathered(self._catalogue, self._clock, self._shelf)
            return self._speakers


def _gathered(
    catalogue: Catalogue, clock: Callable[[], datetime], shelf: Shelf
) -> Mapping[str, Speaker]:
    """Every provider by the name it is asked under."""
    # Imported here because only test keys come this far: it is a tenth of a second.
    from shared.sandbox import ark, google, laozhang, openai, openrouter, threedaistudio, vertex
    from shared.sandbox.directives import Calls

    return {
        google.NAME: google.Google(catalogue, clock, Calls(), shelf),
        openai.NAME: openai.OpenAI(catalogue, clock, Calls(), shelf),
        ark.NAME: ark.Ark(catalogue, clock, Calls()),
        vertex.NAME: vertex.Vertex(catalogue, clock, Calls()),
        laozhang.NAME: laozhang.Laozhang(catalogue, clock, Calls()),
        openrouter.NAME: openrouter.OpenRouter(catalogue, clock, Calls()),
        threedaistudio.NAME: threedaistudio.ThreeDAIStudio(catalogue, clock, Calls()),
    }


class InProcess(httpx.AsyncBaseTransport):
    """The sandbox as a transport of an httpx client, whatever host its requests are for."""

    def __init__(
        self, sandbox: Sandbox, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._sandbox = sandbox
        self._sleep = sleep

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer in a worker thread. Raises httpx.ReadTimeout for an answer that would come after
        the client's read timeout, or never."""
        await request.aread()
        LOOP.set(asyncio.get_running_loop())
        response = await asyncio.to_thread(self._sandbox.handle, request)
        delay_s = response.extensions.get("delay_s", 0.0)
        fault = response.extensions.get("fault")
        patience_s = request.extensions.get("timeout", {}).get("read")
        late = patience_s is not None and delay_s > patience_s
        if delay_s:
            await self._sleep(patience_s if late else delay_s)
        if late or fault == "timeout":
            raise httpx.ReadTimeout("the sandbox does not answer in time", request=request)
        if fault == "truncated":
            return httpx.Response(
                response.status_code,
                headers=response.headers,
                stream=_Torn(request, response.content),
            )
        if isinstance(response.stream, httpx.ByteStream):
            return response
        return httpx.Response(
            response.status_code, headers=response.headers, stream=_Threaded(response)
        )


async def streamed(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body of an answer whose pieces are made while it is read, each in a worker thread."""
    made = response.iter_raw()
    while (piece := await asyncio.to_thread(next, made, None)) is not None:
        yield piece


class _Threaded(httpx.AsyncByteStream):
    """The body of such an answer, for a client that waits for it."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return streamed(self._response)


class _Torn(httpx.AsyncByteStream):
    """The first half of a body."""

    def __init__(self, request: httpx.Request, content: bytes) -> None:
        self._request = request
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = len(self._content) // 2
        yield self._content[:half]
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body "
            f"(received {half} bytes, expected {len(self._content)})",
            request=self._request,
        )
