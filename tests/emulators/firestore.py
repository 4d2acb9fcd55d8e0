"""Google's Firestore emulator, a part of the Google Cloud SDK (2026-11: `gcloud components install
cloud-firestore-emulator`, needs Java 11 or newer). Every test uses a project id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.emulators import java

_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"


@contextmanager
def emulating() -> Iterator[str]:
    """The emulator's "host:port", until the block ends. Firestore's clients find it by
    FIRESTORE_EMULATOR_HOST."""
    program, jar = java.installed("cloud-firestore-emulator", _JAR)
    port = java.free_port()
    heap = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command = [program, "-Duser.language=en", *heap, "-cp", jar, _MAIN]
    host = f"127.0.0.1:{port}"
    with (
        java.running([*command, "--host", "127.0.0.1", "--port", str(port)], host),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("FIRESTORE_EMULATOR_HOST", host)
        yield host


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """The same for a whole session."""
    with emulating() as host:
        yield host
