"""Fetch what a caller's URL points to, or send something there, without letting the caller reach
what only we can reach.

Every address a name resolves to must be public, the connection goes to an address that was checked
and not to the name, and each redirect is checked anew. `check_url` and `check_addresses` are the
rules.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from shared.connections import Connections
from shared.errors import InvalidRequest, PayloadTooLarge

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name, for a port. Raises OSError when it has none."""

MAX_BYTES = 32 * 1024 * 1024
TIMEOUT_S = 20.0
CONNECT_S = 5.0
REDIRECTS = 3
ADDRESSES = 4
PORTS = (443, 8443)

# Of their own: a name that takes long to find keeps its thread, and nobody else's.
_RESOLVERS = ThreadPoolExecutor(8, thread_name_prefix="resolve")
_AGENT = {"accept-encoding": "identity", "user-agent": "darkroom"}
_HEADERS = {"accept": "image/*", **_AGENT}
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Global by `ipaddress`, and yet they lead elsewhere: 6to4 and its relay, Teredo, documentation.
_ELSEWHERE = tuple(
    ipaddress.ip_network(net) for net in ("192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")
)


def check_url(url: str, field: str, *, allow_private: bool) -> httpx.URL:
    """The URL, if its form is one we connect to: https, no credentials, a usual port. Raises
    InvalidRequest. It says nothing yet of where the host leads."""
    try:
        target = httpx.URL(url)
        # Read here once: httpx (0.28) decodes a name of xn-- only now, and raises for a wrong one.
        host = target.host
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidRequest("This is not a valid URL.", param=field) from error
    if target.scheme not in (("https", "http") if allow_private else ("https",)):
        raise InvalidRequest("The URL must start with https://.", param=field)
    if not host:
        raise InvalidRequest("The URL names no host.", param=field)
    if target.userinfo:
        raise InvalidRequest("The URL must not contain a user name or password.", param=field)
    if not allow_private and _port(target) not in PORTS:
        raise InvalidRequest(
            f"The URL's port must be one of {', '.join(map(str, PORTS))}.", param=field
        )
    return target


def check_addresses(addresses: Sequence[str], field: str) -> None:
    """Raise InvalidRequest unless every address of a host is public: with one private among them
    it depends on chance where a connection goes."""
    if not all(map(is_public, addresses)):
        raise InvalidRequest("The URL does not lead to the public internet.", param=field)


def is_public(address: str) -> bool:
    """Whether an IP address, or the IPv4 address inside it, is one of the public internet's."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _IPV6_UNICAST:
            return False
    return (
        ip.is_global
        and not ip.is_multicast
        and not ip.is_reserved
        and not any(ip in network for network in _ELSEWHERE if network.version == ip.version)
    )


def pinned(
    method: str,
    target: httpx.URL,
    address: str,
    headers: Mapping[str, str] = _HEADERS,
    body: bytes | None = None,
) -> httpx.Request:
    """A request that connects to `address`, and for TLS and for HTTP means the URL's host. A name
    that resolves to something else a moment later changes nothing."""
    return httpx.Request(
        method,
        target.copy_with(host=address),
        headers={"host": target.netloc.decode("ascii"), **headers},
        content=body,
        extensions={
            "sni_hostname": target.raw_host.decode("ascii").rstrip("."),
            "timeout": httpx.Timeout(TIMEOUT_S, connect=CONNECT_S).as_dict(),
        },
    )


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """By the system's resolver, in the order it prefers."""
    found = await asyncio.get_running_loop().run_in_executor(
        _RESOLVERS, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    )
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Fetcher:
    """Fetches public URLs; `allow_private` (development only) opens it to any address, port and to
    plain http. It sends no cookies and no credentials of ours."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = system_resolve,
        max_bytes: int = MAX_BYTES,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._allow_private = allow_private
        self._transport = transport
        self._resolve = resolve
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def fetch(self, url: str, field: str, *, own: bool = False) -> bytes:
        """The body of a 200 answer, after at most REDIRECTS redirects. `field` is named in errors.
        A URL that is the operator's `own` may lead anywhere; where it redirects to may not. Raises
        InvalidRequest, or PayloadTooLarge beyond `max_bytes`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, field, self._allow_private or own)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise InvalidRequest(
                f"The URL did not deliver within {self._timeout_s:g} seconds. "
                "Upload the image instead.",
                param=field,
            ) from error
        except httpx.HTTPError as error:
            raise InvalidRequest(
                "The URL could not be fetched: the connection failed.",
                param=field,
                private=repr(error),
            ) from error

    async def post(self, url: str, field: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status with which a URL answers what it is sent, whatever it is: no redirect is
        followed, and the answer's body is not read. Raises InvalidRequest where none came."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = check_url(url, field, allow_private=self._allow_private)
                addresses = await self._addresses(target, field, self._allow_private)
                requests = [
                    pinned("POST", target, address, {**_AGENT, **headers}, body)
                    for address in addresses
                ]
                response = await self._send(requests)
                await response.aclose()
                return response.status_code
        except (TimeoutError, httpx.TimeoutException) as error:
            raise InvalidRequest(
                f"The URL did not answer within {self._timeout_s:g} seconds.", param=field
            ) from error
        except httpx.HTTPError as error:
            raise InvalidRequest(
                "The URL could not be reached: the connection failed.",
                param=field,
                private=repr(error),
            ) from error

    async def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _follow(self, url: str, field: str, allow_private: bool) -> bytes:
        for _ in range(REDIRECTS + 1):
            target = check_url(url, field, allow_private=allow_private)
            addresses = await self._addresses(target, field, allow_private)
            response = await self._send([pinned("GET", target, one) for one in addresses])
            try:
                if not response.has_redirect_location:
                    return await self._body(response, field)
                url = _joined(target, response.headers["location"], field)
                allow_private = self._allow_private
            finally:
                await response.aclose()
        raise InvalidRequest(f"The URL redirects more than {REDIRECTS} times.", param=field)

    async def _addresses(self, target: httpx.URL, field: str, allow_private: bool) -> Sequence[str]:
        try:
            addresses = await self._resolve(target.raw_host.decode("ascii"), _port(target))
            if not addresses:
                raise OSError("no address")
        except (OSError, ValueError) as error:
            raise InvalidRequest(
                "The URL's host cannot be found.", param=field, private=repr(error)
            ) from error
        if not allow_private:
            check_addresses(addresses, field)
        return addresses[:ADDRESSES]

    async def _send(self, requests: Sequence[httpx.Request]) -> httpx.Response:
        """The answer of the first address that takes a connection, by a request to each."""
        if self._transport is None:
            self._transport = open_transport()
        *others, last = requests
        for request in others:
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._transport.handle_async_request(last)

    async def _body(self, response: httpx.Response, field: str) -> bytes:
        if response.status_code != 200:
            raise InvalidRequest(
                f"The URL answered {response.status_code}: it must be readable without signing in.",
                param=field,
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("The URL answered with compressed content.", param=field)
        too_large = PayloadTooLarge(
            f"The URL delivers more than {self._max_bytes} bytes.", param=field
        )
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_bytes:
            raise too_large
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large
        return bytes(body)


def open_transport(tls: ssl.SSLContext | None = None) -> Connections:
    """A transport for pinned requests. No connection is kept: two hosts at one address must not
    share one's TLS session."""
    return Connections(keep=False, tls=tls)


def _port(target: httpx.URL) -> int:
    if target.port is not None:
        return target.port
    return 80 if target.scheme == "http" else 443


def _joined(target: httpx.URL, location: str, field: str) -> str:
    try:
        return str(target.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidRequest("The URL redirects to an invalid one.", param=field) from error
