"""What every test shares: a guard that keeps sockets on loopback, and the emulators' fixtures."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

pytest_plugins = [
    "tests.emulators.firestore",
    "tests.emulators.firestore_wire",
    "tests.emulators.storage",
]


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
