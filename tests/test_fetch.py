"""Fetching callers' URLs: what is let through, where the connection goes, and what is taken."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random

import httpx
import pytest

from shared.errors import InvalidRequest, PayloadTooLarge
from shared.fetch import Fetcher, check_addresses, check_url, is_public, pinned

PUBLIC = "93.184.216.34"
ODD = (
    *"a.-x:[]%0/@?#\\ é例ß\u200d\udc80\x00",
    "xn--",
    "%00",
    "xn--a",
    "..",
    "١",
    "xn--zzzz-",
    "。",
    "[::1]",
)
PRIVATE = (
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",  # noqa: S104  # an address to refuse
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_the_public_internets_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_a_public_address_is_let_through(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_addresses([PUBLIC, "10.0.0.1"], "webhook_url")
    assert caught.value.param == "webhook_url"
    assert "10.0.0.1" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.com/a.png",
        "example.com/a.png",
        "",
        "https://",
        "https:///a.png",
        "https:example.com",
        "https://user:secret@example.com/a.png",
        "https://example.com\\@10.0.0.1/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa\nmple.com/",
        "https://[::1/",
        "https://xn--a/",
        "https://xn--%00/",
        "https://xn--0x7f.1/",
        "https://\ud800.example/",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_url(url, "images[0].url", allow_private=False)
    assert caught.value.param == "images[0].url"


def test_an_odd_host_is_refused_or_can_be_connected_to() -> None:
    random, refused = Random(7), 0
    for _ in range(1000):
        host = "".join(random.choices(ODD, k=random.randint(1, 6)))
        try:
            target = check_url(f"https://{host}/", "url", allow_private=False)
        except InvalidRequest:
            refused += 1
            continue
        assert target.host
        assert pinned("GET", target, PUBLIC).headers["host"]
    assert 100 < refused < 900


@pytest.mark.parametrize("location", ["https://xn--a/", "https:////][0@/", "https://[::1/"])
def test_a_redirect_to_an_odd_host_is_refused(location: str) -> None:
    wire = Wire(redirect(location))
    with pytest.raises(InvalidRequest):
        fetch(wire)
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png?b=c#d", "https://example.com:8443/", "https://例え.jp/ü"]
)
def test_a_plain_https_url_is_let_through(url: str) -> None:
    check_url(url, "images[0].url", allow_private=False)


def resolves(*answers: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver with an answer for each call; the last one stays."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


class Wire(httpx.AsyncBaseTransport):
    """Answers each request from a list and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def fetch(wire: Wire, url: str = "https://pictures.example/a.png", *found: Sequence[str]) -> bytes:
    """Fetch through a wire, with a resolver's answers."""
    fetcher = Fetcher(transport=wire, resolve=resolves(*(found or ([PUBLIC],))))
    return asyncio.run(fetcher.fetch(url, "images[0].url"))


def redirect(location: str, status: int = 302) -> httpx.Response:
    """An answer that points elsewhere."""
    return httpx.Response(status, headers={"location": location})


def body(content: bytes = b"picture", **headers: str) -> httpx.Response:
    """A good answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(200, stream=httpx.ByteStream(content), headers=named)


def test_the_connection_goes_to_the_checked_address_in_the_hosts_name() -> None:
    wire = Wire(body())
    assert fetch(wire, "https://pictures.example:8443/a%20b.png?c=d#e") == b"picture"
    request = wire.asked[0]
    assert str(request.url) == f"https://{PUBLIC}:8443/a%20b.png?c=d#e"
    assert request.url.raw_path == b"/a%20b.png?c=d"
    assert request.extensions["sni_hostname"] == "pictures.example"
    assert dict(request.headers) == {
        "host": "pictures.example:8443",
        "accept": "image/*",
        "accept-encoding": "identity",
        "user-agent": "darkroom",
    }


def test_a_name_that_changes_its_address_after_the_check_changes_nothing() -> None:
    wire = Wire(body())
    assert fetch(wire, "https://rebind.example/", [PUBLIC], ["127.0.0.1"]) == b"picture"
    assert wire.asked[0].url.host == PUBLIC


def test_a_name_that_turns_private_on_a_redirect_is_refused() -> None:
    wire = Wire(redirect("/again"))
    with pytest.raises(InvalidRequest, match="public internet"):
        fetch(wire, "https://rebind.example/", [PUBLIC], ["127.0.0.1"])
    assert len(wire.asked) == 1


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::ffff:10.0.0.1"]])
def test_nothing_is_sent_to_a_private_address(addresses: list[str]) -> None:
    wire = Wire()
    with pytest.raises(InvalidRequest, match="public internet") as caught:
        fetch(wire, "https://inside.example/", addresses)
    assert caught.value.param == "images[0].url"
    assert wire.asked == []


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_odd_spellings_of_loopback_are_seen_by_the_systems_resolver(host: str) -> None:
    wire = Wire()
    with pytest.raises(InvalidRequest):
        asyncio.run(Fetcher(transport=wire).fetch(f"https://{host}/", "images[0].url"))
    assert wire.asked == []


@pytest.mark.parametrize("failure", [OSError("no such host"), UnicodeError("label too long")])
def test_a_name_that_is_not_known_is_refused(failure: Exception) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise failure

    fetcher = Fetcher(transport=Wire(), resolve=resolve)
    with pytest.raises(InvalidRequest, match="cannot be found"):
        asyncio.run(fetcher.fetch("https://nowhere.example/", "images[0].url"))


def test_the_next_address_is_tried_when_one_takes_no_connection() -> None:
    wire = Wire(httpx.ConnectError("unreachable"), body())
    assert fetch(wire, "https://pictures.example/", ["2606:4700::1111", PUBLIC]) == b"picture"
    assert [request.url.host for request in wire.asked] == ["2606:4700::1111", PUBLIC]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_relative_to_where_it_came_from(status: int) -> None:
    wire = Wire(redirect("../b.png?x=1", status), body())
    assert fetch(wire, "https://pictures.example/a/c/a.png") == b"picture"
    assert wire.asked[1].url.raw_path == b"/a/b.png?x=1"
    assert wire.asked[1].headers["host"] == "pictures.example"


@pytest.mark.parametrize(
    "location",
    ["http://pictures.example/", "file:///etc/passwd", "https://a:b@c.example/", "https://[::1/"],
)
def test_a_redirect_to_another_form_of_url_is_refused(location: str) -> None:
    wire = Wire(redirect(location))
    with pytest.raises(InvalidRequest):
        fetch(wire)
    assert len(wire.asked) == 1


def test_the_fourth_redirect_is_not_followed() -> None:
    wire = Wire(*(redirect(f"/{n}") for n in range(9)))
    with pytest.raises(InvalidRequest, match="more than 3 times"):
        fetch(wire)
    assert len(wire.asked) == 4


def test_cookies_are_not_carried_along() -> None:
    first = httpx.Response(302, headers={"location": "/b", "set-cookie": "a=b"})
    wire = Wire(first, body())
    fetch(wire)
    assert "cookie" not in wire.asked[1].headers


@pytest.mark.parametrize("status", [204, 206, 304, 401, 404, 500])
def test_another_status_is_refused_and_named(status: int) -> None:
    with pytest.raises(InvalidRequest, match=str(status)):
        fetch(Wire(httpx.Response(status)))


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, gzip"])
def test_compressed_content_is_refused(coding: str) -> None:
    packed = gzip.compress(b"\0" * 1_000_000)
    with pytest.raises(InvalidRequest, match="compressed"):
        fetch(Wire(body(packed, content_encoding=coding)))


def small(wire: httpx.AsyncBaseTransport) -> Fetcher:
    """A fetcher that takes a thousand bytes."""
    return Fetcher(transport=wire, resolve=resolves([PUBLIC]), max_bytes=1000)


def test_a_length_that_is_too_much_is_refused_unread() -> None:
    class Unread(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("read")

    answer = httpx.Response(200, stream=Unread(), headers={"content-length": "1001"})
    with pytest.raises(PayloadTooLarge) as caught:
        asyncio.run(small(Wire(answer)).fetch("https://pictures.example/", "images[0].url"))
    assert caught.value.param == "images[0].url"


def test_a_stream_without_end_is_left_at_the_limit() -> None:
    read = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 100
                yield b"x" * 100

    with pytest.raises(PayloadTooLarge):
        asyncio.run(
            small(Wire(httpx.Response(200, stream=Endless()))).fetch("https://a.example/", "mask")
        )
    assert read == 1100


def test_a_body_of_exactly_the_limit_is_taken() -> None:
    wire = Wire(body(b"x" * 1000))
    assert len(asyncio.run(small(wire).fetch("https://a.example/", "mask"))) == 1000


def test_a_server_that_dawdles_is_left_when_the_time_is_up() -> None:
    class Dawdling(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"x"
                await asyncio.sleep(0.001)

    wire = Wire(httpx.Response(200, stream=Dawdling()))
    fetcher = Fetcher(transport=wire, resolve=resolves([PUBLIC]), timeout_s=0.03)
    with pytest.raises(InvalidRequest, match=r"0\.03 seconds"):
        asyncio.run(fetcher.fetch("https://a.example/", "mask"))


@pytest.mark.parametrize(
    "failure", [httpx.ReadError("reset"), httpx.RemoteProtocolError("nonsense")]
)
def test_a_connection_that_breaks_is_the_callers_to_know(failure: Exception) -> None:
    with pytest.raises(InvalidRequest, match="connection failed"):
        fetch(Wire(failure))


def post(wire: Wire, url: str = "https://shop.example/hook", *found: Sequence[str]) -> int:
    """Send two bytes through a wire, with a resolver's answers."""
    fetcher = Fetcher(transport=wire, resolve=resolves(*(found or ([PUBLIC],))), timeout_s=0.05)
    return asyncio.run(fetcher.post(url, "webhook_url", b"{}", {"content-type": "text/x"}))


def test_what_is_sent_goes_to_the_checked_address_with_its_headers() -> None:
    wire = Wire(httpx.Response(202))
    assert post(wire, "https://shop.example/hook?a=b", ["2606:4700::1111"]) == 202
    request = wire.asked[0]
    assert (request.method, request.content) == ("POST", b"{}")
    assert str(request.url) == "https://[2606:4700::1111]/hook?a=b"
    assert request.extensions["sni_hostname"] == "shop.example"
    assert dict(request.headers) == {
        "host": "shop.example",
        "accept-encoding": "identity",
        "user-agent": "darkroom",
        "content-type": "text/x",
        "content-length": "2",
    }


@pytest.mark.parametrize("status", [204, 301, 307, 401, 500])
def test_every_answer_to_what_is_sent_is_an_answer_and_none_is_followed(status: int) -> None:
    wire = Wire(redirect("https://elsewhere.example/", status))
    assert post(wire) == status
    assert len(wire.asked) == 1


def test_the_body_of_an_answer_to_what_was_sent_is_left_unread() -> None:
    class Endless(httpx.AsyncByteStream):
        closed = False

        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("read")

        async def aclose(self) -> None:
            self.closed = True

    stream = Endless()
    assert post(Wire(httpx.Response(200, stream=stream))) == 200
    assert stream.closed


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"]])
def test_nothing_is_posted_to_a_private_address(addresses: list[str]) -> None:
    wire = Wire()
    with pytest.raises(InvalidRequest, match="public internet"):
        post(wire, "https://inside.example/", addresses)
    with pytest.raises(InvalidRequest, match="https"):
        post(wire, "http://shop.example/")
    assert wire.asked == []


def test_the_next_address_is_posted_to_only_when_nothing_was_sent() -> None:
    wire = Wire(httpx.ConnectError("unreachable"), httpx.Response(200))
    assert post(wire, "https://shop.example/", ["2606:4700::1111", PUBLIC]) == 200
    broken = Wire(httpx.ReadError("reset"), httpx.Response(200))
    with pytest.raises(InvalidRequest, match="connection failed"):
        post(broken, "https://shop.example/", ["2606:4700::1111", PUBLIC])
    assert len(broken.asked) == 1


def test_a_server_that_does_not_answer_what_is_sent_is_left() -> None:
    class Silent(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            return httpx.Response(200)

    with pytest.raises(InvalidRequest, match=r"did not answer within 0\.05 seconds"):
        post(Silent())


def test_the_operators_own_address_may_be_a_private_one_but_not_where_it_redirects() -> None:
    async def own(wire: Wire) -> bytes:
        fetcher = Fetcher(transport=wire, resolve=resolves(["127.0.0.1"]))
        return await fetcher.fetch("http://localhost:9000/keys", "keys", own=True)

    assert asyncio.run(own(Wire(body()))) == b"picture"
    for elsewhere in ("http://localhost:9000/", "https://inside.example/"):
        wire = Wire(redirect(elsewhere), body())
        with pytest.raises(InvalidRequest, match=r"https|public internet"):
            asyncio.run(own(wire))
        assert len(wire.asked) == 1
