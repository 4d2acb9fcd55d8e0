"""What every test shares: a guard that keeps sockets on loopback, and the emulators' fixtures."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import ssl
from typing import Any

import pytest
from hypothesis import settings

from shared import catalogue

pytest_plugins = [
    "tests.emulators.firestore",
    "tests.emulators.firestore_wire",
    "tests.emulators.pubsub",
    "tests.emulators.storage",
]

# How long an example takes says more of the machine than of the code. CI looks at more of them.
settings.register_profile("untimed", deadline=None, max_examples=100 if "CI" in os.environ else 40)
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def read_once() -> Any:
    """Every test builds its own App; reading the same catalogue and certificates each time would
    be most of it."""
    with pytest.MonkeyPatch.context() as patch:
        trusted = functools.cache(ssl.create_default_context)
        patch.setattr(ssl, "create_default_context", trusted)
        patch.setattr("shared.app.load", functools.cache(catalogue.load))
        yield


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Any:
    """No test reaches another machine: connecting anywhere else fails at once."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to connect to {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
