"""Google's Firestore emulator, a part of the Google Cloud SDK (2026-11: `gcloud components install
cloud-firestore-emulator`, needs Java 11 or newer). Every test uses a project id of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
_START_S = 60.0
_STOP_S = 10.0


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """The emulator's "host:port". Firestore's clients find it by FIRESTORE_EMULATOR_HOST, which is
    set from here to the session's end."""
    command = _command()
    with tempfile.TemporaryFile() as output:
        host = f"127.0.0.1:{_free_port()}"
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", host.rpartition(":")[2]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            if not _answers(process, host):
                output.seek(0)
                said = output.read().decode(errors="replace")
                pytest.fail(f"The Firestore emulator did not start:\n{said}", pytrace=False)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("FIRESTORE_EMULATOR_HOST", host)
                yield host
        finally:
            _stop(process)


def _command() -> list[str]:
    java = shutil.which("java") or _missing("there is no java on the PATH")
    gcloud = shutil.which("gcloud") or _missing("there is no gcloud on the PATH")
    asked = [gcloud, "info", "--format=value(installation.sdk_root)"]
    root = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    jar = Path(root) / _JAR
    if not root or not jar.is_file():
        _missing("the SDK lacks its component cloud-firestore-emulator")
    heap = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    return [java, "-Duser.language=en", *heap, "-cp", str(jar), main]


def _missing(what: str) -> NoReturn:
    reason = f"Firestore's emulator cannot run: {what} (README.md, Tests)."
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], host: str) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{host}/", timeout=5.0, trust_env=False).is_success:
                return True
        except httpx.TransportError:
            time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
