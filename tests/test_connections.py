"""The connections to providers, against servers that misbehave on real sockets: what an error says
of whether something was sent, and that nothing is sent twice."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from shared.exchange import _NOT_SENT
from tests.peers import CHUNKED, HEAD, OK, Peer, Play, answer, opened, saying, served, well
from tests.test_fetch_connections import self_signed

FAILURES: dict[str, tuple[Play, type[httpx.TransportError]]] = {
    "closes": (saying(), httpx.RemoteProtocolError),
    "resets": (saying(then="resets"), httpx.ReadError),
    "closes in the head": (saying(HEAD[:20]), httpx.RemoteProtocolError),
    "closes in the body": (saying(HEAD, b"short"), httpx.RemoteProtocolError),
    "resets in the body": (saying(HEAD, b"short", then="resets"), httpx.RemoteProtocolError),
    "closes in a chunk": (saying(CHUNKED, b"9\r\nshort"), httpx.RemoteProtocolError),
    "closes between chunks": (saying(CHUNKED), httpx.RemoteProtocolError),
    "sends no chunk": (saying(CHUNKED, b"zz\r\n\r\n", then="waits"), httpx.ReadTimeout),
    "is silent": (saying(then="waits"), httpx.ReadTimeout),
    "falls silent": (saying(HEAD, b"short", then="waits"), httpx.ReadTimeout),
    "goes on after 100": (saying(b"HTTP/1.1 100 Continue\r\n\r\n"), httpx.RemoteProtocolError),
    "is no web server": (saying(b"220 mail.example ESMTP\r\n", then="waits"), httpx.TransportError),
    "has a broken header": (saying(OK.replace(b"content", b"con tent")), httpx.TransportError),
    "has a length twice": (
        saying(OK.replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\n")),
        httpx.TransportError,
    ),
    "has a header without end": (saying(HEAD[:17] + b"x: " + b"x" * 2**17), httpx.TransportError),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_fails_after_the_request_says_so_and_is_sent_once(failure: str, method: str) -> None:
    play, error = FAILURES[failure]

    async def scenario() -> None:
        async with served(play) as server, opened() as connections:
            read = 0.05 if error is httpx.ReadTimeout else 5.0
            with pytest.raises(error) as raised:
                await answer(connections, server.request(method, read=read))
            assert not isinstance(raised.value, _NOT_SENT)
            assert len(server.sent) == 1

    asyncio.run(scenario())


async def never(peer: Peer) -> None:
    await peer.left()


async def speaks(peer: Peer) -> None:
    await peer.say(b"220 mail.example ESMTP\r\n")
    await peer.left()


@pytest.mark.parametrize("failure", ["port", "name", "no tls", "slow tls", "other tls", "full"])
def test_what_fails_before_the_request_says_that_nothing_was_sent(
    failure: str, tmp_path: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed("others.example", tmp_path))

    async def scenario() -> None:
        play = speaks if failure == "no tls" else never
        async with served(play, tls if failure == "other tls" else None) as server:
            request = server.request("POST")
            error: type[httpx.TransportError] = httpx.ConnectError
            hurried = {"connect": 0.05}
            if "tls" in failure:
                request.url = request.url.copy_with(scheme="https")
            if failure == "port":
                request.url = request.url.copy_with(port=1)
            if failure == "name":
                request.url = httpx.URL("http://nobody.invalid/")
            if failure == "slow tls":
                request.extensions["timeout"], error = hurried, httpx.ConnectTimeout
            with socket.socket() as full, socket.socket() as first:
                if failure == "full":
                    full.bind(("127.0.0.1", 0))
                    full.listen(0)
                    first.connect(full.getsockname())
                    request.url = request.url.copy_with(port=full.getsockname()[1])
                    request.extensions["timeout"], error = hurried, httpx.ConnectTimeout
                async with opened() as connections:
                    with pytest.raises(error) as raised:
                        await answer(connections, request)
            assert isinstance(raised.value, _NOT_SENT)
            assert server.sent == []

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://127.1/"])
def test_an_address_that_is_none_of_ours_is_not_asked(url: str) -> None:
    async def scenario() -> None:
        async with opened() as connections:
            with pytest.raises(httpx.UnsupportedProtocol):
                await answer(connections, httpx.Request("GET", url))

    asyncio.run(scenario())


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\0", b"\x1b", b"\xff"])
def test_a_header_that_cannot_be_sent_is_said_before_anything_is(value: bytes) -> None:
    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            for header in ((b"x", value), (value, b"x")):
                with pytest.raises(httpx.LocalProtocolError):
                    await answer(connections, server.request(headers=[header]))
            assert server.peers == []

    asyncio.run(scenario())


def test_tls_that_breaks_after_the_handshake_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    certificate = self_signed("a.example", tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    ours.load_verify_locations(certificate)
    # With TLS 1.3 a client hears only after its request that it should have shown who it is.
    ours.verify_mode = ssl.CERT_REQUIRED

    async def scenario() -> None:
        tls = ssl.create_default_context(cafile=str(certificate))
        async with served(well, ours) as server, opened(tls=tls) as connections:
            request = server.request("POST", scheme="https")
            request.extensions["sni_hostname"] = "a.example"
            with pytest.raises(httpx.TransportError) as raised:
                await answer(connections, request)
            assert not isinstance(raised.value, _NOT_SENT)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_nothing_is_sent_again_on_a_kept_connection_that_closes(method: str) -> None:
    async def once(peer: Peer) -> None:
        await peer.taken()
        await peer.say(OK)
        await peer.taken()

    async def scenario() -> None:
        async with served(once) as server, opened() as connections:
            await answer(connections, server.request(method))
            with pytest.raises(httpx.RemoteProtocolError):
                await answer(connections, server.request(method))
            assert len(server.sent) == 2
            assert len(server.peers) == 1

    asyncio.run(scenario())


def test_a_kept_connection_that_was_closed_a_moment_ago_is_not_used() -> None:
    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            await answer(connections, server.request())
            # The loop has no time to see it before the next request goes out.
            server.peers[0].writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            await answer(connections, server.request("POST"))
            assert len(server.peers) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("seen", [False, True])
def test_what_a_server_says_unasked_is_nobodys_answer(seen: bool) -> None:
    async def scenario() -> None:
        async with served(well) as server, opened() as connections:
            await answer(connections, server.request())
            server.peers[0].writer.write(OK.replace(b"ok", b"no"))
            for _ in range(9 if seen else 0):
                await asyncio.sleep(0)
            response = await answer(connections, server.request("POST"))
            assert response.content == b"ok"
            assert len(server.peers) == 2

    asyncio.run(scenario())


def test_two_answers_to_one_request_are_one() -> None:
    async def scenario() -> None:
        async with served(saying(OK + OK, then="waits")) as server, opened() as connections:
            for number in (1, 2):
                assert (await answer(connections, server.request())).content == b"ok"
                assert len(server.peers) == number

    asyncio.run(scenario())


def test_an_answer_before_the_body_was_read_is_the_answer() -> None:
    async def early(peer: Peer) -> None:
        peer.sent.append(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.say(OK.replace(b"200", b"413"))

    async def scenario() -> None:
        async with served(early) as server, opened() as connections:
            for number in (1, 2):
                request = server.request("POST", content=bytes(20 * 2**20))
                assert (await answer(connections, request)).status_code == 413
                assert len(server.sent) == len(server.peers) == number

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["connecting", "sending", "waiting", "reading"])
def test_who_is_cancelled_leaves_no_connection(moment: str) -> None:
    async def play(peer: Peer) -> None:
        if moment == "sending":
            await peer.reader.readuntil(b"\r\n\r\n")
        elif moment != "connecting":
            await peer.taken()
        if moment == "reading":
            await peer.say(HEAD + b"short")
        reached.set()
        await peer.left()

    async def scenario() -> None:
        async with served(play) as server, opened() as connections:
            body = bytes(20 * 2**20) if moment == "sending" else b"{}"
            request = server.request("POST", content=body)
            if moment == "connecting":
                request.url = request.url.copy_with(scheme="https")
            task = asyncio.create_task(answer(connections, request))
            await reached.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The server sees the end of it before the client is closed.
            await asyncio.gather(*server.playing)

    reached = asyncio.Event()
    asyncio.run(scenario())
