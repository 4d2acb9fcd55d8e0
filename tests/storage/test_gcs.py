"""What only Cloud Storage has: the cost in requests, and signed uploads."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth import compute_engine
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as library
from google.oauth2 import service_account

from shared import app as root
from shared.settings import Settings
from shared.storage import PIECE_BYTES, Ticket
from shared.storage import gcs as gcs_module
from shared.storage.gcs import Gcs
from shared.storage.gcs_client import signing
from shared.storage.gcs_session import Host
from tests.emulators.storage import Sent, emulator_client, new_bucket, on_emulator, seen

pytestmark = pytest.mark.emulator

EMAIL = "uploads@test.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """A service account's private key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("size", [1_000, 9 * 1024 * 1024])
def test_writing_and_reading_cost_one_request_each(
    storage_emulator: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(storage_emulator)
    sent = seen(storage_emulator, monkeypatch)
    post = f"POST /upload/storage/v1/b/{bucket}/o"
    # The XML API's path: only its answers carry the labels, whatever the emulator does.
    read, missing = f"GET /{bucket}/a/0", f"GET /{bucket}/a/1"
    data = b"x" * size

    async def scenario() -> None:
        gcs = on_emulator(storage_emulator, bucket)
        assert await gcs.put("a/0", data, "image/png", {"route": "r"})
        assert lines(sent) == [post]
        blob = await gcs.get("a/0")
        assert lines(sent) == [post, read]
        assert blob is not None
        assert (len(blob.data), blob.content_type, blob.labels) == (
            size,
            "image/png",
            {"route": "r"},
        )
        assert await gcs.get("a/1") is None
        assert not await gcs.put("a/0", data, "image/png", {"route": "r"})
        await gcs.close()

    asyncio.run(scenario())
    assert lines(sent) == [post, read, missing, post]


def test_what_was_uploaded_as_gzip_is_not_unfolded(storage_emulator: str) -> None:
    client, name = emulator_client(storage_emulator), new_bucket(storage_emulator)
    packed = gzip.compress(b"z" * 1_000_000)
    blob = client.bucket(name).blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed, content_type="image/png")

    async def scenario() -> None:
        gcs = on_emulator(storage_emulator, name)
        found = await gcs.get("a")
        assert found is not None
        assert found.data == packed
        assert b"".join([piece async for piece in gcs.stream("a")]) == packed
        await gcs.close()

    asyncio.run(scenario())


def test_the_store_is_made_from_the_environment(
    storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one() -> AsyncIterator[bytes]:
        yield b"y"

    async def scenario() -> None:
        gcs = root.build(Settings.from_env(), signs=False).storage
        assert await gcs.put("a", b"x", "image/png", {})
        assert await gcs.put_stream("b", one(), "image/png", {})
        assert await gcs.list("") == ("a", "b")
        await gcs.close()

    monkeypatch.setenv("DARKROOM_BUCKET", new_bucket(storage_emulator))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    asyncio.run(scenario())


def test_a_store_that_was_never_used_connects_to_nothing() -> None:
    asyncio.run(Gcs("nowhere", Host()).close())


def test_credentials_that_cannot_sign_give_no_ticket(storage_emulator: str) -> None:
    gcs = on_emulator(storage_emulator)
    assert asyncio.run(_ticket(gcs)) is None
    assert signing(AnonymousCredentials(), None) is None


def test_a_ticket_is_signed_for_these_headers_and_this_long(
    storage_emulator: str, key: rsa.RSAPrivateKey
) -> None:
    bucket = new_bucket(storage_emulator)
    ticket = asyncio.run(_ticket(_signing_gcs(storage_emulator, bucket, key)))
    assert ticket is not None
    assert ticket.headers == {
        "content-type": "image/png",
        "x-goog-content-length-range": "0,1000",
        "x-goog-if-generation-match": "0",
    }
    address = urlsplit(ticket.url)
    query = dict(parse_qsl(address.query))
    assert address.path == f"/{bucket}/uploads/acc/upl_1/photo.png"
    assert query["X-Goog-Expires"] == "900"
    assert query["X-Goog-SignedHeaders"] == (
        "content-type;host;x-goog-content-length-range;x-goog-if-generation-match"
    )
    assert query["X-Goog-Credential"].startswith(f"{EMAIL}/")
    verify(ticket, key.public_key())
    forged = Ticket(ticket.url, {**ticket.headers, "x-goog-content-length-range": "0,9999"})
    with pytest.raises(InvalidSignature):
        verify(forged, key.public_key())


def test_a_ticket_takes_the_upload(storage_emulator: str, key: rsa.RSAPrivateKey) -> None:
    bucket = new_bucket(storage_emulator)
    gcs = _signing_gcs(storage_emulator, bucket, key)
    ticket = asyncio.run(_ticket(gcs, {"darkroom-prompt": "a cup"}))
    assert ticket is not None
    verify(ticket, key.public_key())
    forged = Ticket(ticket.url, {**ticket.headers, "x-goog-meta-darkroom-prompt": "a fish"})
    with pytest.raises(InvalidSignature):
        verify(forged, key.public_key())
    answer = httpx.put(
        ticket.url, content=b"picture", headers=dict(ticket.headers), trust_env=False
    )
    assert answer.status_code == 200

    async def scenario() -> None:
        reader = on_emulator(storage_emulator, bucket)
        assert await reader.list("uploads/acc/upl_1/") == ("uploads/acc/upl_1/photo.png",)
        blob = await reader.get("uploads/acc/upl_1/photo.png")
        assert blob is not None
        assert (blob.data, blob.content_type) == (b"picture", "image/png")
        described = await reader.describe("uploads/acc/upl_1/photo.png")
        assert described is not None
        assert described.labels == {"darkroom-prompt": "a cup"}
        await reader.close()

    asyncio.run(scenario())


def test_uploads_lie_in_a_bucket_of_their_own(storage_emulator: str) -> None:
    images, uploads = new_bucket(storage_emulator), new_bucket(storage_emulator)
    client = emulator_client(storage_emulator)

    async def scenario() -> None:
        gcs = on_emulator(storage_emulator, images, uploads_bucket=uploads)
        for name in ("images/req_1/0", "uploads/acc/upl_1/a.png"):
            assert await gcs.put(name, b"x", "image/png", {})
            assert await gcs.get(name) is not None
        assert await gcs.list("") == ("images/req_1/0", "uploads/acc/upl_1/a.png")
        assert await gcs.list("uploads/acc/") == ("uploads/acc/upl_1/a.png",)
        assert await gcs.list("images/") == ("images/req_1/0",)
        assert [blob.name for blob in client.list_blobs(images)] == ["images/req_1/0"]
        assert [blob.name for blob in client.list_blobs(uploads)] == ["uploads/acc/upl_1/a.png"]
        await gcs.delete("uploads/acc/upl_1/a.png")
        assert await gcs.list("") == ("images/req_1/0",)
        await gcs.close()

    asyncio.run(scenario())


def test_a_write_in_pieces_expects_that_nothing_is_there(
    storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = seen(storage_emulator, monkeypatch)

    async def one() -> AsyncIterator[bytes]:
        yield b"x"

    async def scenario() -> None:
        gcs = on_emulator(storage_emulator, bucket)
        assert await gcs.put_stream("uploads/a", one(), "text/plain", {})
        await gcs.close()

    bucket = new_bucket(storage_emulator)
    sent.clear()
    asyncio.run(scenario())
    assert (sent[1].query["uploadType"], sent[1].query["ifGenerationMatch"]) == ("resumable", "0")


def test_a_large_object_is_read_in_a_request_for_each_piece(
    storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(storage_emulator)
    sent = seen(storage_emulator, monkeypatch)

    async def scenario() -> str:
        gcs = on_emulator(storage_emulator, bucket)
        await gcs.put("a", b"x" * (PIECE_BYTES + 1), "text/plain", {})
        described = await gcs.describe("a")
        assert described is not None
        sent.clear()
        assert len([piece async for piece in gcs.stream("a")]) == 2
        await gcs.close()
        return described.generation

    generation = asyncio.run(scenario())
    assert lines(sent) == [f"GET /{bucket}/a"] * 2
    assert [one.query for one in sent] == [{}, {"generation": generation}]
    assert [one.headers["range"] for one in sent] == [
        f"bytes=0-{PIECE_BYTES - 1}",
        f"bytes={PIECE_BYTES}-{2 * PIECE_BYTES - 1}",
    ]


def test_a_long_list_comes_by_its_pages(
    storage_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_module, "PAGE", 2)

    async def scenario() -> None:
        gcs = on_emulator(storage_emulator)
        names = tuple(f"a/{n}" for n in range(5))
        await asyncio.gather(*(gcs.put(name, b"x", "text/plain", {}) for name in names))
        sent = seen(storage_emulator, monkeypatch)
        assert await gcs.list("a/") == names
        assert len(sent) == 3
        await gcs.close()

    asyncio.run(scenario())


def test_a_machine_without_a_key_signs_through_iam(
    storage_emulator: str, key: rsa.RSAPrivateKey
) -> None:
    bucket = new_bucket(storage_emulator)
    google = FakeGoogle(key, [])
    credentials = signing(compute_engine.Credentials(universe_domain="googleapis.com"), google)
    assert credentials is not None
    client = library.Client(
        project="test", credentials=credentials, client_options={"api_endpoint": storage_emulator}
    )
    gcs = on_emulator(storage_emulator, bucket, client=client)
    ticket = asyncio.run(_ticket(gcs))
    assert ticket is not None
    verify(ticket, key.public_key())
    assert EMAIL in ticket.url.replace("%40", "@")
    assert any(f"/{EMAIL}:signBlob" in url for url in google.called)
    asked = [url for url in google.called if "/token" in url]
    assert asked
    assert all("cloud-platform" in url for url in asked)


def lines(sent: list[Sent]) -> list[str]:
    """The methods and paths."""
    return [one.line for one in sent]


async def _ticket(gcs: Gcs, labels: dict[str, str] | None = None) -> Ticket | None:
    life = timedelta(minutes=15)
    ticket = await gcs.ticket("uploads/acc/upl_1/photo.png", "image/png", labels or {}, 1000, life)
    await gcs.close()
    return ticket


def _signing_gcs(url: str, bucket: str, key: rsa.RSAPrivateKey) -> Gcs:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    info = {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": pem.decode(),
        "token_uri": f"{url}/token",
    }
    credentials = service_account.Credentials.from_service_account_info(info)
    endpoint = {"api_endpoint": url}
    client = library.Client("test", credentials=credentials, client_options=endpoint)
    return on_emulator(url, bucket, client=client)


def verify(ticket: Ticket, public_key: rsa.RSAPublicKey) -> None:
    """Check the signature as the service would, from the request that the holder would send
    (docs of Google, "V4 signing process", 2026-11)."""
    address = urlsplit(ticket.url)
    query = dict(parse_qsl(address.query))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    headers = {**ticket.headers, "host": address.netloc}
    signed = query["X-Goog-SignedHeaders"]
    canonical = "\n".join(
        [
            "PUT",
            address.path,
            urlencode(sorted(query.items()), quote_via=quote, safe="~"),
            *(f"{name}:{headers[name]}" for name in signed.split(";")),
            "",
            signed,
            "UNSIGNED-PAYLOAD",
        ]
    )
    scope = query["X-Goog-Credential"].split("/", 1)[1]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, digest])
    public_key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


@dataclass
class GoogleAnswer:
    """What google.auth expects of its transport."""

    status: int
    data: bytes
    headers: dict[str, str]


@dataclass
class FakeGoogle:
    """The metadata server and the IAM API of a machine that runs as EMAIL."""

    key: rsa.RSAPrivateKey
    called: list[str]

    def __call__(self, url: str, body: bytes | None = None, **_: Any) -> GoogleAnswer:
        self.called.append(url)
        answers: dict[str, Callable[[], dict[str, Any]]] = {
            ":signBlob": lambda: {"signedBlob": self._signed(json.loads(body or b"")["payload"])},
            "/token": lambda: {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"},
            "service-accounts/default/": lambda: {"email": EMAIL, "scopes": ["any"]},
            "universe": lambda: {},
        }
        answer = next(make for part, make in answers.items() if part in url)()
        data = b"googleapis.com" if "universe" in url else json.dumps(answer).encode()
        return GoogleAnswer(200, data, {"content-type": "application/json"})

    def _signed(self, payload: str) -> str:
        message = base64.b64decode(payload)
        signature = self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()
