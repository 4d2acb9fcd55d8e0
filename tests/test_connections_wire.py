"""What the connections to providers send and take in, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from shared.connections import LARGE_BYTES, PIECE_BYTES
from shared.errors import ProviderError
from shared.receiving import receive
from tests.peers import CHUNKED, OK, Peer, answer, opened, saying, served, well

TARGETS = (
    "/a%2Fb?x=%2F&y=a+b&z=%C3%A9&s=Ab%2b~%7e",
    "//a//b?u=http://c/../d?e&f=%00",
    "/a?",
    "/%7Euser;v=1,2/(x)'*!$&=:@[]|",
    "/\u00e9 x?\u00e9 y",
)


@pytest.mark.parametrize("path", TARGETS)
def test_a_request_is_sent_as_it_is(path: str) -> None:
    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            headers = [("X-One", "1"), ("X-One", "2"), ("content-type", "a/b")]
            request = server.request("POST", path + "#there", content=b"{}", headers=headers)
            await answer(connections, request)
            lines = [b": ".join(header) for header in request.headers.raw]
            first = b"POST " + request.url.raw_path + b" HTTP/1.1"
            assert server.sent == [b"\r\n".join([first, *lines, b"", b"{}"])]

    asyncio.run(scenario())


def test_a_name_and_a_password_in_a_url_are_not_ours_to_send() -> None:
    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            request = server.request(headers={"authorization": "Bearer x"})
            request.url = request.url.copy_with(username="u", password="p")
            await answer(connections, request)
            assert server.sent[0].count(b"uthorization: ") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [0, 1, LARGE_BYTES, LARGE_BYTES + 1])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_of_any_size_is_sent_with_its_length(size: int, streamed: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(size)

    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            body = pieces() if streamed else bytes(size)
            await answer(connections, server.request("POST", content=body))
            head, _, sent = server.sent[0].partition(b"\r\n\r\n")
            assert sent == bytes(size)
            assert b"\r\ncontent-length: %d" % size in head.lower()
            assert b"chunked" not in head

    asyncio.run(scenario())


PLAIN = b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b"
ANSWERS: dict[str, tuple[str, bytes, int, bytes]] = {
    "no content": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": ("GET", PLAIN % (b"304 x", 9, b""), 304, b""),
    "HEAD": ("HEAD", PLAIN % (b"200 x", 9, b""), 200, b""),
    "redirect": ("GET", PLAIN % (b"302 x\r\nlocation: /b", 0, b""), 302, b""),
    "after others": ("POST", b"HTTP/1.1 103 x\r\na: b\r\n\r\n" + OK, 200, b"ok"),
    "chunks": ("POST", CHUNKED + b"0\r\nx: y\r\n\r\n", 200, b"hello"),
    "no reason": ("GET", OK.replace(b" OK", b""), 200, b"ok"),
    "many headers": ("GET", OK[:-6] + b"\r\nx: y" * 200 + b"\r\n\r\nok", 200, b"ok"),
    "long header": ("GET", OK[:-6] + b"\r\nx: " + b"y" * 60_000 + b"\r\n\r\nok", 200, b"ok"),
}


@pytest.mark.parametrize("which", ANSWERS)
def test_an_unusual_answer_is_read_and_its_connection_used_again(which: str) -> None:
    method, said, status, body = ANSWERS[which]

    async def play(peer: Peer) -> None:
        while True:
            await peer.taken()
            await peer.say(said)

    async def scenario() -> None:
        async with served(play) as server, opened() as connections:
            for number in (1, 2):
                response = await answer(connections, server.request(method))
                assert (response.status_code, response.content) == (status, body)
                assert (len(server.sent), len(server.peers)) == (number, 1)

    asyncio.run(scenario())


def test_headers_of_an_answer_come_as_they_are_and_cookies_stay_away() -> None:
    async def play(peer: Peer) -> None:
        while True:
            await peer.taken()
            await peer.say(OK.replace(b"OK", b"OK\r\nSet-Cookie: a=b\r\nset-cookie: c=\xff d"))

    async def scenario() -> None:
        async with served(play) as server, opened() as connections:
            for _ in range(2):
                response = await answer(connections, server.request())
                assert response.headers.raw == [
                    (b"Set-Cookie", b"a=b"),
                    (b"set-cookie", b"c=\xff d"),
                    (b"content-length", b"2"),
                ]
            assert b"ookie" not in server.sent[1]

    asyncio.run(scenario())


def test_a_connection_that_is_not_to_be_kept_is_not() -> None:
    async def scenario() -> None:
        async with served(well) as server, opened(keep=False) as connections:
            for number in (1, 2):
                await answer(connections, server.request())
                assert len(server.peers) == number
                assert b"\r\nConnection: close" in server.sent[-1]

    asyncio.run(scenario())


def test_what_unfolds_is_unpacked_in_small_steps() -> None:
    packed = gzip.compress(bytes(2**24), 9) * 20

    async def scenario() -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"
        async with served(saying(head + packed)) as server, opened() as connections:
            response = await connections.handle_async_request(server.request())
            steps = [len(piece) async for piece in response.aiter_raw()]
            assert max(steps) <= PIECE_BYTES
            assert sum(steps) == len(packed)
            await response.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_without_end_is_not_read_to_it(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.receiving.MAX_ANSWER_BYTES", 2**20)
    piece = bytes(2**16) if encoding == "identity" else gzip.compress(bytes(2**24))

    async def endless(peer: Peer) -> None:
        await peer.taken()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\n\r\n" % encoding.encode())
        while True:
            await peer.say(piece)

    async def scenario() -> None:
        async with served(endless) as server, opened() as connections:
            with pytest.raises(ProviderError) as raised:
                await receive(connections, server.request(), None)
            assert raised.value.paid

    asyncio.run(scenario())
