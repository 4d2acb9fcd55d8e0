"""HTTP connections to providers: a transport of httpx's over aiohttp's connections, which take a
body of megabytes in at a fifth of the cost (docs/adr/20261122-connections.md).

What matters of an error is whether anything was sent: only httpx's ConnectError, ConnectTimeout,
LocalProtocolError and UnsupportedProtocol say that nothing was. aiohttp is imported at the first
request.
"""

from __future__ import annotations

import asyncio
import re
import select
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import aiohttp
    import yarl
    from aiohttp.client_middlewares import ClientHandlerType
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEPT_FOR_S = 4.0
"""How long a connection that nobody uses is kept. Many servers (Node's, uvicorn) close theirs after
5 seconds: one that does so just as it is used again leaves the outcome unknown."""
READ_AHEAD_BYTES = 2**23
"""What is taken in of an answer, twice over, before its server has to wait for whoever reads it.
Who reads at once never gets there: a TLS server that waits, and then hangs up without a word, would
cost us the end of its answer (uvloop 0.23)."""
PIECE_BYTES = 2**16
"""Of a compressed body, how much is unpacked at once: it may unfold a thousandfold."""
LARGE_BYTES = 2**20
"""A body from which on it is sent in slices, so that others get their turn meanwhile."""
SLICE_BYTES = 2**18
LONGEST_HEADER = 2**16
MOST_HEADERS = 1000
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Connections(httpx.AsyncBaseTransport):
    """As many connections as there are requests, for one event loop; HTTP/1.1, each kept for the
    next request unless `keep` is false. Nothing is followed or unpacked, and none is sent twice."""

    def __init__(self, *, keep: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self._keep = keep
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        import aiohttp

        session = self._session or self._opened()
        limits = request.extensions.get("timeout", {})
        read_s = limits.get("read")
        body = await request.aread()
        if request.headers.pop("transfer-encoding", None):
            # It came in pieces, and is whole now.
            request.headers["content-length"] = str(len(body))
        headers = _headers(request)
        with _as_httpx_puts_it():
            response = await session.request(
                request.method,
                _exactly(request.url),
                headers=headers,
                data=_slices(body) if len(body) > LARGE_BYTES else body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(connect=limits.get("connect"), sock_read=read_s),
                server_hostname=request.extensions.get("sni_hostname"),
            )
        return httpx.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=_Body(response, read_s),
            request=request,
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        tls = self._tls or httpx.create_ssl_context(trust_env=False)
        tls.set_alpn_protocols(["http/1.1"])
        self._session = aiohttp.ClientSession(
            connector=_connector(tls, self._keep),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_AHEAD_BYTES,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            middlewares=(_once,),
        )
        return self._session


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, read_s: float | None) -> None:
        self._response = response
        self._read_s = read_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        packed = "content-encoding" in self._response.headers
        with _as_httpx_puts_it():
            while piece := await self._next():
                if not packed:
                    yield piece
                    continue
                for start in range(0, len(piece), PIECE_BYTES):
                    yield piece[start : start + PIECE_BYTES]

    async def aclose(self) -> None:
        # One that was not read to its end cannot be used again.
        self._response.close()

    async def _next(self) -> bytes:
        # aiohttp (3.14) stops its own clock at a chunk it cannot read, and tells nobody.
        async with asyncio.timeout(self._read_s):
            return await self._response.content.readany()


def _connector(tls: ssl.SSLContext, keep: bool) -> aiohttp.TCPConnector:
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        """Leaves a kept connection on which the server said something unasked, or hung up: aiohttp
        (3.14) would take that for the answer to the next request."""

        async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
            while (kept := await super()._get(key, traces)) is not None and not _silent(kept):
                kept.close()
            return kept

    # aiohttp wants the one or the other.
    if keep:
        return Connector(limit=0, ssl=tls, keepalive_timeout=KEPT_FOR_S)
    return Connector(limit=0, ssl=tls, force_close=True)


def _silent(kept: Connection) -> bool:
    if kept.protocol is None or kept.protocol.should_close or kept.transport is None:
        return False
    unread = select.poll()
    unread.register(kept.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not unread.poll(0)


async def _once(
    request: aiohttp.ClientRequest, handler: ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp sends a GET, PUT or DELETE again at an error of its own that it knows."""
    with _as_httpx_puts_it():
        return await handler(request)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    """Raises LocalProtocolError for one that cannot be sent as it is."""
    raw = request.headers.raw
    if any(_CONTROL.search(part) for header in raw for part in header):
        raise httpx.LocalProtocolError("a header with a control character")
    try:
        return [(name.decode(), value.decode()) for name, value in raw]
    except UnicodeDecodeError as error:
        raise httpx.LocalProtocolError("a header that is not UTF-8") from error


async def _slices(body: bytes) -> AsyncIterator[memoryview]:
    whole = memoryview(body)
    for start in range(0, len(whole), SLICE_BYTES):
        yield whole[start : start + SLICE_BYTES]


def _exactly(url: httpx.URL) -> yarl.URL:
    """The URL as it is: another spelling of a signed one is another URL. Without the user's name
    that may stand in it, as httpx sends it."""
    import yarl

    # All of it is the path, for yarl drops a question mark with nothing after it.
    target, authority = url.raw_path.decode("ascii"), url.netloc.decode("ascii")
    return yarl.URL.build(scheme=url.scheme, authority=authority, path=target, encoded=True)


@contextmanager
def _as_httpx_puts_it() -> Iterator[None]:
    """aiohttp's errors (3.14) as httpx's. What is not known to have come before the first byte was
    sent is taken to have come after it."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
    except (
        aiohttp.ClientPayloadError,
        aiohttp.ClientResponseError,
        aiohttp.ServerDisconnectedError,
        aiohttp.http.HttpProcessingError,
    ) as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise httpx.ReadError(str(error)) from error
