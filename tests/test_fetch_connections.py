"""Fetching over real connections: what the server really says, and whose certificate it has."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import InvalidRequest
from shared.fetch import Fetcher, open_transport


async def _loopback(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def served(
    answer: bytes,
    tls: ssl.SSLContext | None = None,
    handling: list[asyncio.Task[None]] | None = None,
) -> AsyncIterator[int]:
    """A server on loopback that gives every request the same bytes, and hangs up after them
    unless they promise to stay; its port. What it is `handling` ends with each connection."""
    handling = [] if handling is None else handling

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if b"keep-alive" in answer:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*handling, return_exceptions=True)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\npicture"


def test_in_development_loopback_is_fetched_over_a_real_connection() -> None:
    async def scenario() -> bytes:
        async with served(OK) as port:
            fetcher = Fetcher(allow_private=True)
            try:
                return await fetcher.fetch(f"http://127.0.0.1:{port}/a.png", "images[0].url")
            finally:
                await fetcher.close()

    assert asyncio.run(scenario()) == b"picture"


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"]
)
def test_a_server_that_speaks_nonsense_is_refused(answer: bytes) -> None:
    async def scenario() -> None:
        async with served(answer) as port:
            fetcher = Fetcher(allow_private=True)
            with pytest.raises(InvalidRequest):
                await fetcher.fetch(f"http://127.0.0.1:{port}/", "images[0].url")
            await fetcher.close()

    asyncio.run(scenario())


def test_the_certificate_must_be_the_hosts_though_the_address_is_dialled(tmp_path: Path) -> None:
    certificate = self_signed("pictures.example", tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def scenario() -> None:
        async with served(OK, server_tls) as port:
            transport = open_transport(trusting)
            fetcher = Fetcher(allow_private=True, transport=transport, resolve=_loopback)
            url = f"https://pictures.example:{port}/"
            assert await fetcher.fetch(url, "mask") == b"picture"
            with pytest.raises(InvalidRequest):
                await fetcher.fetch(url.replace("pictures", "others"), "mask")
            await fetcher.close()

    asyncio.run(scenario())


def test_no_connection_is_kept_for_another_host_at_the_same_address() -> None:
    async def scenario() -> None:
        lasting = OK.replace(b"close", b"keep-alive")
        handling: list[asyncio.Task[None]] = []
        async with served(lasting, handling=handling) as port:
            transport = open_transport()
            fetcher = Fetcher(allow_private=True, transport=transport)
            await fetcher.fetch(f"http://127.0.0.1:{port}/", "mask")
            # The server has seen the end of it before the fetcher is closed.
            await asyncio.gather(*handling)
            await fetcher.close()

    asyncio.run(scenario())


def self_signed(host: str, folder: Path) -> Path:
    """A file with a key and a certificate for that host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return file
